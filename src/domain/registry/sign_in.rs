//! What makes an identity provider one that people can sign in with; each error says where and what.

use std::collections::HashMap;
use std::path::{Component, Path};

use super::check::{inline, remote};
use super::{IdentityProvider, KeySource, RegistryError, SignIn, TenantSection};
use crate::protocol::scope::Scope;

/// The id under which the people of `serve --dev` sign in.
const RESERVED: &str = "dev";

/// Where an identity provider's keys come from. One for sign-in may say so itself.
pub(super) fn provider_keys(place: &str, idp: &IdentityProvider) -> Result<KeySource, RegistryError> {
    match (&idp.jwks, &idp.jwks_uri) {
        (Some(jwks), None) => inline(place, jwks),
        (None, Some(uri)) => remote(place, uri),
        (None, None) if idp.sign_in.is_some() => Ok(KeySource::Discovered(idp.issuer.clone())),
        _ => Err(RegistryError::new(
            place,
            "needs exactly one of `jwks` and `jwks_uri`; with `sign_in` both may be left out",
        )),
    }
}

/// Checks how people sign in.
pub(super) fn check_sign_in(section: &TenantSection) -> Result<(), RegistryError> {
    let mut domains = HashMap::new();
    for idp in &section.identity_providers {
        let Some(sign_in) = &idp.sign_in else { continue };
        let place = format!("identity_provider {}", idp.id);
        check(idp, sign_in).map_err(|why| RegistryError::new(&place, why))?;
        for domain in &sign_in.domains {
            if let Some(other) = domains.insert(domain.to_ascii_lowercase(), &idp.id) {
                let why = format!("sign_in: the domain {domain:?} already chooses {other}");
                return Err(RegistryError::new(&place, why));
            }
        }
    }
    Ok(())
}

fn check(idp: &IdentityProvider, sign_in: &SignIn) -> Result<(), String> {
    // The id stands in the address that the provider sends browsers back to.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if idp.id.is_empty() || idp.id.len() > 128 || !idp.id.bytes().all(plain) || idp.id.starts_with('.') {
        return Err("sign_in: the provider's id is 1 to 128 of A-Z a-z 0-9 - _ .".into());
    }
    if idp.id == RESERVED {
        return Err("sign_in: the id `dev` is that of the development sign-in".into());
    }
    // OpenID Connect Core §2: the issuer is "a case-sensitive URL using the `https` scheme that contains scheme, host, and
    // optionally, port number and path components and no query or fragment components".
    let https = url::Url::parse(&idp.issuer).is_ok_and(|url| {
        url.scheme() == "https" && url.has_host() && url.query().is_none() && url.fragment().is_none()
    });
    if !https {
        return Err("sign_in: the issuer is an https URL without query and fragment".into());
    }
    if sign_in.client_id.is_empty() || sign_in.client_id.chars().any(char::is_control) {
        return Err("sign_in: client_id is what the provider knows this server by".into());
    }
    // OpenID Connect Core §3.1.2.1: "OpenID Connect requests MUST contain the `openid` scope value."
    let scopes = Scope::parse(&sign_in.scopes.join(" "));
    if !scopes.is_ok_and(|scopes| scopes.contains("openid")) {
        return Err("sign_in: scopes are scope tokens, and openid is among them".into());
    }
    if sign_in.client_secret_file.as_deref().is_some_and(|file| !is_below_secrets(file)) {
        return Err("sign_in: client_secret_file is a path below secrets/ in the server's data directory, for example secrets/corp".into());
    }
    let domain = |name: &String| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.') || byte >= 0x80;
        !name.is_empty() && name.len() <= 253 && name.bytes().all(plain)
    };
    match sign_in.domains.iter().find(|name| !domain(name)) {
        Some(name) => Err(format!("sign_in: {name:?} is not a domain")),
        None => Ok(()),
    }
}

/// Whether a path from the registry stays below `secrets`. Whoever may write the registry says where secrets are sent to: no
/// other file of the server may be named.
pub fn is_below_secrets(path: &str) -> bool {
    let mut parts = Path::new(path).components();
    let below = parts.next() == Some(Component::Normal("secrets".as_ref()));
    let mut rest = parts.peekable();
    below && rest.peek().is_some() && rest.all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn section(change: impl FnOnce(&mut Value)) -> TenantSection {
        let mut section = json!({ "tenant": "main", "identity_providers": [
            { "id": "corp", "issuer": "https://idp.example", "sign_in": { "client_id": "us", "domains": ["example.com"] } },
        ] });
        change(&mut section["identity_providers"]);
        serde_json::from_value(section).unwrap()
    }

    #[test]
    fn what_cannot_work_is_not_taken() {
        assert!(check_sign_in(&section(|_| {})).is_ok());
        let wrong: [(&str, Value); 9] = [
            ("/0/id", json!("dev")),
            ("/0/id", json!("a/b")),
            ("/0/issuer", json!("http://idp.example")),
            ("/0/issuer", json!("https://idp.example?a=b")),
            ("/0/sign_in/client_id", json!("")),
            ("/0/sign_in/scopes", json!(["profile"])),
            ("/0/sign_in/scopes", json!(["openid", "a b\""])),
            ("/0/sign_in/client_secret_file", json!("wrapping.key")),
            ("/0/sign_in/domains", json!(["a b"])),
        ];
        for (place, value) in wrong {
            let mut section = json!({ "id": "corp", "issuer": "https://idp.example",
                "sign_in": { "client_id": "us", "scopes": ["openid"], "client_secret_file": "secrets/x", "domains": [] } });
            let pointer = place.strip_prefix("/0").unwrap();
            *section.pointer_mut(pointer).unwrap() = value.clone();
            let section = self::section(|providers| providers[0] = section);
            assert!(check_sign_in(&section).is_err(), "{place} {value}");
        }
        let twice = section(|providers| {
            let mut other = providers[0].clone();
            other["id"] = json!("other");
            other["issuer"] = json!("https://other.example");
            other["sign_in"]["domains"] = json!(["EXAMPLE.com"]);
            providers.as_array_mut().unwrap().push(other);
        });
        assert!(check_sign_in(&twice).is_err());
    }

    #[test]
    fn secrets_lie_below_their_folder() {
        for good in ["secrets/corp", "secrets/a/b.txt"] {
            assert!(is_below_secrets(good), "{good}");
        }
        for bad in
            ["secrets", "secrets/", "wrapping.key", "/etc/passwd", "secrets/../wrapping.key", "../x", ""]
        {
            assert!(!is_below_secrets(bad), "{bad}");
        }
    }
}

//! Where the server's endpoints are (RFC 8414).

use serde_json::{Map, Value};
use url::Url;

use super::error::Error;

pub(super) const WHAT: &str = "the server's metadata";

/// The endpoints that an agent uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// `token_endpoint`.
    pub token_endpoint: String,
    /// `revocation_endpoint`, where the server has one.
    pub revocation_endpoint: Option<String>,
}

/// Which URLs may be spoken to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach {
    /// Plain HTTP to machines other than this one.
    pub(super) allow_http: bool,
}

impl Reach {
    /// Checks one URL: credentials and tokens go over TLS, except on this machine.
    pub(super) fn check(self, url: &str) -> Result<Url, String> {
        let parsed = Url::parse(url).map_err(|_| format!("{url:?} is not a URL"))?;
        if parsed.fragment().is_some() || !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(format!("{url:?} has a fragment or credentials in it"));
        }
        match parsed.scheme() {
            "https" => Ok(parsed),
            "http" if self.allow_http || is_loopback(&parsed) => Ok(parsed),
            _ => Err(format!("{url:?} would be spoken to in the clear: https is needed")),
        }
    }
}

pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Where the metadata of `issuer` is.
pub(super) fn metadata_url(issuer: &str) -> String {
    format!("{}/.well-known/oauth-authorization-server", issuer.trim_end_matches('/'))
}

impl Endpoints {
    /// Reads the metadata of `issuer`.
    pub(super) fn read(members: &Map<String, Value>, issuer: &str, reach: Reach) -> Result<Self, Error> {
        // RFC 8414 §3.3: "The "issuer" value returned MUST be identical to the authorization server's issuer identifier
        // value … If these values are not identical, the data contained in the response MUST NOT be used."
        if members.get("issuer").and_then(Value::as_str) != Some(issuer) {
            return Err(Error::malformed(WHAT, format!("its issuer isn't {issuer}, to the letter")));
        }
        let endpoint = |name: &str| match members.get(name) {
            None => Ok(None),
            Some(Value::String(url)) => match reach.check(url) {
                Ok(_) => Ok(Some(url.clone())),
                Err(why) => Err(Error::malformed(WHAT, format!("{name}: {why}"))),
            },
            Some(_) => Err(Error::malformed(WHAT, format!("{name} isn't text"))),
        };
        Ok(Self {
            token_endpoint: endpoint("token_endpoint")?
                .ok_or_else(|| Error::malformed(WHAT, "token_endpoint is missing"))?,
            revocation_endpoint: endpoint("revocation_endpoint")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const STRICT: Reach = Reach { allow_http: false };

    #[test]
    fn credentials_go_in_the_clear_only_on_this_machine() {
        for url in ["https://a.example", "http://127.0.0.1:8080", "http://[::1]:1", "http://localhost/t/x"] {
            assert!(STRICT.check(url).is_ok(), "{url}");
        }
        for url in [
            "http://a.example",
            "http://localhost.a.example",
            "ftp://a",
            "a.example",
            "https://u:p@a.example",
        ] {
            assert!(STRICT.check(url).is_err(), "{url}");
        }
        assert!(Reach { allow_http: true }.check("http://taskpass:8080").is_ok());
    }

    #[test]
    fn the_issuer_is_compared_to_the_byte() {
        let read =
            |document: Value| Endpoints::read(document.as_object().unwrap(), "https://a.example", STRICT);
        let token = "https://a.example/oauth/token";
        assert!(read(json!({"issuer": "https://a.example", "token_endpoint": token})).is_ok());
        for document in [
            json!({"token_endpoint": token}),
            json!({"issuer": "https://a.example/", "token_endpoint": token}),
            json!({"issuer": "https://A.example", "token_endpoint": token}),
            json!({"issuer": "https://a.example"}),
            json!({"issuer": "https://a.example", "token_endpoint": "http://a.example/oauth/token"}),
            json!({"issuer": "https://a.example", "token_endpoint": token, "revocation_endpoint": 1}),
        ] {
            assert!(read(document.clone()).is_err(), "{document}");
        }
    }
}

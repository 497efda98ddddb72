//! What a client says of itself: in a Client ID Metadata Document (draft-ietf-oauth-client-id-metadata-document-02), or when it
//! registers itself (RFC 7591). Nobody vouches for any of it but the host that the document lies on.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::registry::KeySource;
use crate::jose::JwkSet;
use crate::protocol::redirect_uri::{self, UnfitRedirectUri};

/// What distinguishes the ids that the server gives to clients that register themselves.
pub const DYNAMIC_PREFIX: &str = "dyn_";
/// The longest URL that is taken as a `client_id`, in bytes: it stands in every token of that client.
const LONGEST_ID: usize = 512;
/// The longest name, in characters.
const LONGEST_NAME: usize = 100;
/// The most redirect URIs that a client may have.
const MOST_REDIRECTS: usize = 32;

/// Why a client isn't taken as it describes itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnfitMetadata {
    /// The document is about another client.
    #[error("client_id is not the URL at which the document lies, to the byte")]
    OtherClient,
    /// A member isn't of the type that RFC 7591 gives it.
    #[error("{0} is not of the type that RFC 7591 gives it")]
    Malformed(&'static str),
    /// No browser can be sent back.
    #[error("redirect_uris has none that can be taken, or more than 32")]
    NoRedirectUri,
    /// A browser must not be sent there.
    #[error("redirect_uris: {0}")]
    RedirectUri(#[from] UnfitRedirectUri),
    /// A shared secret, or a method that needs one, or that is not known here.
    #[error("token_endpoint_auth_method is none or private_key_jwt; there are no shared secrets")]
    AuthenticationMethod,
    /// Keys that can't be used, or both ways to give them, or none where they are needed.
    #[error("private_key_jwt needs either jwks or jwks_uri (https), with public keys alone")]
    Keys,
    /// A grant or response type that leaves the client nothing to do here.
    #[error("grant_types has authorization_code and response_types has code, where they are there")]
    GrantTypes,
    /// It wants its tokens bound to a key.
    #[error("tokens bound by DPoP or mTLS are not issued; the client must not demand them")]
    SenderConstraint,
    /// A name that can't be shown.
    #[error("client_name is at most 100 characters, without control or direction characters")]
    Name,
}

impl UnfitMetadata {
    /// Whether it is the redirect URIs: RFC 7591 §3.2.2 has a code of its own for them.
    pub fn is_about_redirects(&self) -> bool {
        matches!(self, Self::NoRedirectUri | Self::RedirectUri(_))
    }
}

/// A client as it describes itself, checked.
#[derive(Clone, Debug)]
pub struct ClientMetadata {
    /// What it calls itself.
    pub name: Option<String>,
    /// Where a person's browser may be sent back to.
    pub redirect_uris: Vec<String>,
    /// By which keys it proves who it is; a public client has none.
    pub keys: Option<KeySource>,
    /// Whether it wants refresh tokens.
    pub refreshes: bool,
}

/// Whether a `client_id` can be the URL of a metadata document.
///
/// draft-ietf-oauth-client-id-metadata-document-02 §3: a Client Identifier URL MUST be https, MUST have a path, and MUST NOT have
/// single-dot or double-dot segments, user information or a fragment. A path of `/` names a site and no document, and the clients'
/// own libraries refuse it.
pub fn is_document_url(client_id: &str) -> bool {
    let path = client_id.strip_prefix("https://").and_then(|rest| rest.split_once('/')).map(|(_, path)| path);
    client_id.len() <= LONGEST_ID
        && redirect_uri::check(client_id).is_ok()
        && path.is_some_and(|path| !path.is_empty() && !path.starts_with('?'))
}

/// The host of a document's URL.
pub fn host_of(client_id: &str) -> Option<String> {
    url::Url::parse(client_id).ok()?.host_str().map(str::to_owned)
}

impl ClientMetadata {
    /// Reads the document that lies at `url`.
    pub fn from_document(url: &str, document: &Map<String, Value>) -> Result<Self, UnfitMetadata> {
        // §4: "The Client ID Metadata Document MUST contain a `client_id` property whose value MUST match the Client Identifier
        // URL …; comparisons MUST be made using simple string comparison".
        if document.get("client_id").and_then(Value::as_str) != Some(url) {
            return Err(UnfitMetadata::OtherClient);
        }
        let keys = match (member(document, "jwks"), text(document, "jwks_uri")?) {
            (None, Some(url)) if is_document_url(url) => Some(KeySource::Remote(url.to_owned())),
            (jwks, None) => inline(jwks)?,
            _ => return Err(UnfitMetadata::Keys),
        };
        // One document speaks to every server. A redirect URI that can't be taken here is as if it weren't there, for nothing
        // ever matches it; it doesn't make the others useless.
        let fit = |uri: &String| redirect_uri::check(uri).is_ok();
        let redirect_uris =
            texts(document, "redirect_uris")?.unwrap_or_default().into_iter().filter(fit).collect();
        Self::read(document, redirect_uris, keys)
    }

    /// Reads what a client sends to register itself. Its keys come with it: what it publishes elsewhere, it can publish as a
    /// metadata document.
    pub fn from_registration(request: &Map<String, Value>) -> Result<Self, UnfitMetadata> {
        if member(request, "jwks_uri").is_some() {
            return Err(UnfitMetadata::Keys);
        }
        let redirect_uris = texts(request, "redirect_uris")?.unwrap_or_default();
        redirect_uris.iter().try_for_each(|uri| redirect_uri::check(uri))?;
        Self::read(request, redirect_uris, inline(member(request, "jwks"))?)
    }

    fn read(
        metadata: &Map<String, Value>,
        redirect_uris: Vec<String>,
        keys: Option<KeySource>,
    ) -> Result<Self, UnfitMetadata> {
        if !(1..=MOST_REDIRECTS).contains(&redirect_uris.len()) {
            return Err(UnfitMetadata::NoRedirectUri);
        }
        // RFC 9449 §5.2, RFC 8705 §3.4: such a client MUST be given bound tokens or none. It must not be given less.
        for demand in ["dpop_bound_access_tokens", "tls_client_certificate_bound_access_tokens"] {
            if !matches!(member(metadata, demand), None | Some(Value::Bool(false))) {
                return Err(UnfitMetadata::SenderConstraint);
            }
        }
        let grant_types = texts(metadata, "grant_types")?;
        let response_types = texts(metadata, "response_types")?;
        let lacks = |types: Option<&Vec<String>>, needed: &str| {
            types.is_some_and(|types| !types.iter().any(|one| one == needed))
        };
        if lacks(grant_types.as_ref(), "authorization_code") || lacks(response_types.as_ref(), "code") {
            return Err(UnfitMetadata::GrantTypes);
        }
        Ok(Self {
            name: name(metadata)?,
            redirect_uris,
            keys: check_authentication(metadata, keys)?,
            // RFC 7591 §2 would have a client without `grant_types` go without refresh tokens. Access tokens live four minutes
            // here, and many documents leave the member out; such a client would send its person to the browser again and
            // again. A refresh token opens nothing beyond what the person has agreed to, so only a client that lists its grants
            // and leaves this one out goes without. MCP's SEP-2207 leaves the choice to the server.
            refreshes: !lacks(grant_types.as_ref(), "refresh_token"),
        })
    }

    /// As it is answered and stored (RFC 7591 §3.2.1): what was taken, and not what was sent.
    pub fn to_json(&self) -> Map<String, Value> {
        let mut grant_types = vec!["authorization_code"];
        grant_types.extend(self.refreshes.then_some("refresh_token"));
        let method = if self.keys.is_some() { "private_key_jwt" } else { "none" };
        let mut members = Map::new();
        members.insert("redirect_uris".into(), json!(self.redirect_uris));
        members.insert("grant_types".into(), json!(grant_types));
        members.insert("response_types".into(), json!(["code"]));
        members.insert("token_endpoint_auth_method".into(), json!(method));
        if let Some(name) = &self.name {
            members.insert("client_name".into(), json!(name));
        }
        match &self.keys {
            Some(KeySource::Inline(set)) => members.insert("jwks".into(), set.to_json()),
            Some(KeySource::Remote(url)) => members.insert("jwks_uri".into(), json!(url)),
            // Only identity providers' keys are found by discovery.
            Some(KeySource::Discovered(_)) | None => None,
        };
        members
    }
}

/// The keys by which a client proves who it is, if its method is the one that has keys.
fn check_authentication(
    metadata: &Map<String, Value>,
    keys: Option<KeySource>,
) -> Result<Option<KeySource>, UnfitMetadata> {
    // §4.1: "the `client_secret` and `client_secret_expires_at` properties MUST NOT be used".
    if ["client_secret", "client_secret_expires_at"].iter().any(|name| member(metadata, name).is_some()) {
        return Err(UnfitMetadata::AuthenticationMethod);
    }
    match (text(metadata, "token_endpoint_auth_method")?, keys) {
        (Some("private_key_jwt"), None) => Err(UnfitMetadata::Keys),
        // RFC 7591's default is `client_secret_basic`, which can't be meant where nobody gives out secrets. RFC 6749 §3.2.1: a
        // client that has credentials MUST authenticate with them, so one that has keys does.
        (Some("private_key_jwt") | None, keys) => Ok(keys),
        (Some("none"), _) => Ok(None),
        // §4.1: it "MUST NOT include `client_secret_post`, `client_secret_basic`, `client_secret_jwt`, or any other method based
        // around a shared symmetric secret".
        (Some(_), _) => Err(UnfitMetadata::AuthenticationMethod),
    }
}

fn inline(jwks: Option<&Value>) -> Result<Option<KeySource>, UnfitMetadata> {
    let Some(jwks) = jwks else { return Ok(None) };
    // §4.1: "private key material MUST NOT be included"; the set refuses it.
    let set = JwkSet::parse(jwks).map_err(|_| UnfitMetadata::Keys)?;
    Ok(Some(KeySource::Inline(Arc::new(set))))
}

/// People read this on the page on which they say yes: nothing in it may rearrange what stands around it.
fn name(metadata: &Map<String, Value>) -> Result<Option<String>, UnfitMetadata> {
    let Some(name) = text(metadata, "client_name")?.map(str::trim).filter(|name| !name.is_empty()) else {
        return Ok(None);
    };
    let directs = |letter: char| matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let breaks =
        |letter: char| letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}') || directs(letter);
    if name.chars().count() > LONGEST_NAME || name.chars().any(breaks) {
        return Err(UnfitMetadata::Name);
    }
    Ok(Some(name.to_owned()))
}

/// A member; `null` is as if it weren't there.
fn member<'a>(metadata: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    metadata.get(name).filter(|value| !value.is_null())
}

fn text<'a>(metadata: &'a Map<String, Value>, name: &'static str) -> Result<Option<&'a str>, UnfitMetadata> {
    member(metadata, name).map(|value| value.as_str().ok_or(UnfitMetadata::Malformed(name))).transpose()
}

fn texts(metadata: &Map<String, Value>, name: &'static str) -> Result<Option<Vec<String>>, UnfitMetadata> {
    let list = |value: &Value| -> Option<Vec<String>> {
        value.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
    };
    member(metadata, name).map(|value| list(value).ok_or(UnfitMetadata::Malformed(name))).transpose()
}

#[cfg(test)]
mod tests;

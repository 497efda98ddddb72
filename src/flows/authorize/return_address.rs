//! The right to send a browser back to a client: only a known client's own redirect URI gives it.

use crate::domain::refusal::Refusal;
use crate::flows::Tenant;
use crate::flows::clients::KnownClient;
use crate::protocol::redirect_uri;
use crate::secret::Secret;

/// Where a browser may be sent back to. Nothing else builds a redirect.
#[derive(Clone, Debug)]
pub struct ReturnAddress {
    uri: String,
    state: Option<String>,
    issuer: String,
    trusted: bool,
}

impl ReturnAddress {
    /// The address, if it is one of the client's.
    ///
    /// RFC 9700 §2.1: "authorization servers MUST utilize exact string matching except for port numbers in `localhost`
    /// redirection URIs of native apps".
    pub(super) fn of(
        tenant: &Tenant,
        client: &KnownClient,
        given: Option<&str>,
        state: Option<&str>,
    ) -> Result<Self, Refusal> {
        let given = given.ok_or(Refusal::RedirectUriNotRegistered)?;
        if !client.redirect_uris.iter().any(|registered| redirect_uri::matches(registered, given)) {
            return Err(Refusal::RedirectUriNotRegistered);
        }
        Ok(Self {
            uri: given.to_owned(),
            state: state.map(str::to_owned),
            issuer: tenant.issuer.clone(),
            trusted: client.is_registered(),
        })
    }

    /// The redirect URI.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Whether an administrator has registered it. Whoever describes or registers a client chooses its address, so that a
    /// link to us would lead anywhere.
    pub fn is_trusted(&self) -> bool {
        self.trusted
    }

    /// Back with a code.
    pub fn granted(&self, code: &Secret) -> String {
        self.with(&[("code", code.expose())])
    }

    /// Back with a refusal (RFC 6749 §4.1.2.1).
    pub fn refused(&self, refusal: Refusal) -> String {
        let wire = refusal.wire();
        self.with(&[("error", wire.code.as_str()), ("error_description", wire.description)])
    }

    /// RFC 9207 §2: "In authorization responses to the client, including error responses, an authorization server supporting
    /// this specification MUST indicate its identity by including the `iss` parameter in the response."
    fn with(&self, parameters: &[(&str, &str)]) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(parameters);
        if let Some(state) = &self.state {
            query.append_pair("state", state);
        }
        query.append_pair("iss", &self.issuer);
        // RFC 6749 §3.1.2: a query that the URI has already "MUST be retained when adding additional query parameters".
        let joint = if self.uri.contains('?') { '&' } else { '?' };
        format!("{}{joint}{}", self.uri, query.finish())
    }
}

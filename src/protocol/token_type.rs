//! Token type identifiers and assertion types (RFC 8693 §3, RFC 7523 §2.2, draft-ietf-oauth-spiffe-client-auth-02).

/// `grant_type` of a token exchange (RFC 8693 §2.1).
pub const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// `grant_type` of a client acting for nobody (RFC 6749 §4.4).
pub const CLIENT_CREDENTIALS: &str = "client_credentials";
/// `grant_type` of a code that a person's browser has brought (RFC 6749 §4.1.3).
pub const AUTHORIZATION_CODE: &str = "authorization_code";
/// `grant_type` of a refresh token (RFC 6749 §6).
pub const REFRESH_TOKEN: &str = "refresh_token";
/// `grant_type` of an assertion about a person (RFC 7523 §2.1).
pub const JWT_BEARER_GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// The profile of that grant in which a company's identity provider speaks
/// (draft-ietf-oauth-identity-assertion-authz-grant-04 §7.2).
pub const ID_JAG_PROFILE: &str = "urn:ietf:params:oauth:grant-profile:id-jag";
/// `client_assertion_type` of a JWT that the client signs itself (RFC 7523 §2.2).
pub const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// `client_assertion_type` of a JWT-SVID (draft-ietf-oauth-spiffe-client-auth-02 §4.1).
pub const JWT_SPIFFE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe";

/// The declared type of a subject or actor token (RFC 8693 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenType {
    /// `…:access_token`: one of ours.
    AccessToken,
    /// `…:id_token`: an ID token of a trusted upstream.
    IdToken,
    /// `…:jwt`: a JWT of a trusted upstream, or a JWT-SVID.
    Jwt,
}

impl TokenType {
    /// Reads a token type identifier; `None` for one that is not accepted here.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "urn:ietf:params:oauth:token-type:access_token" => Some(Self::AccessToken),
            "urn:ietf:params:oauth:token-type:id_token" => Some(Self::IdToken),
            "urn:ietf:params:oauth:token-type:jwt" => Some(Self::Jwt),
            _ => None,
        }
    }

    /// The identifier on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AccessToken => "urn:ietf:params:oauth:token-type:access_token",
            Self::IdToken => "urn:ietf:params:oauth:token-type:id_token",
            Self::Jwt => "urn:ietf:params:oauth:token-type:jwt",
        }
    }
}

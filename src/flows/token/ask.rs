//! A token request as it came, and what it asks for.

use crate::domain::exchange::Request;
use crate::domain::refusal::Refusal;
use crate::flows::Credentials;
use crate::protocol::authorization_details::AuthorizationDetails;
use crate::protocol::params::{Params, ParamsError};
use crate::protocol::scope::Scope;
use crate::protocol::token_type::{
    AUTHORIZATION_CODE, CLIENT_CREDENTIALS, JWT_BEARER_GRANT, REFRESH_TOKEN, TOKEN_EXCHANGE, TokenType,
};

/// The parameters of a token request, each taken once.
#[derive(Debug, Default)]
pub struct Form<'a> {
    /// Who asks.
    pub credentials: Credentials<'a>,
    /// `grant_type`.
    pub grant_type: Option<&'a str>,
    /// `subject_token`.
    pub subject_token: Option<&'a str>,
    /// `subject_token_type`.
    pub subject_token_type: Option<&'a str>,
    /// `actor_token`.
    pub actor_token: Option<&'a str>,
    /// `actor_token_type`.
    pub actor_token_type: Option<&'a str>,
    /// `requested_token_type`.
    pub requested_token_type: Option<&'a str>,
    /// `code`.
    pub code: Option<&'a str>,
    /// `redirect_uri`.
    pub redirect_uri: Option<&'a str>,
    /// `code_verifier`.
    pub code_verifier: Option<&'a str>,
    /// `refresh_token`.
    pub refresh_token: Option<&'a str>,
    /// `assertion`.
    pub assertion: Option<&'a str>,
    /// `resource` and `audience`.
    pub targets: Vec<&'a str>,
    /// `scope`.
    pub scope: Option<&'a str>,
    /// `authorization_details`.
    pub authorization_details: Option<&'a str>,
    /// `task_purpose`.
    pub task_purpose: Option<&'a str>,
    /// `task_lifetime`.
    pub task_lifetime: Option<&'a str>,
}

/// What a request asks for.
#[derive(Debug)]
pub enum Ask<'a> {
    /// A token exchange: the subject token and its type, and the actor token and its type.
    Exchange {
        /// The subject token.
        subject: (&'a str, TokenType),
        /// The actor token, if one came.
        actor: Option<(&'a str, TokenType)>,
    },
    /// Client credentials.
    ClientCredentials,
    /// A code that a person's browser has brought.
    AuthorizationCode {
        /// The code.
        code: &'a str,
        /// Where it was brought, if the client says so.
        redirect_uri: Option<&'a str>,
        /// The proof that the client is the one that asked.
        code_verifier: &'a str,
    },
    /// A refresh token.
    RefreshToken(&'a str),
    /// What a company's identity provider says.
    IdJag(&'a str),
}

impl From<ParamsError> for Refusal {
    fn from(error: ParamsError) -> Self {
        match error {
            ParamsError::Malformed => Self::RequestMalformed,
            ParamsError::Duplicated(_) => Self::ParameterRepeated,
        }
    }
}

impl<'a> Form<'a> {
    /// Takes each parameter from a parsed body; a repeated one is refused, whichever it is.
    pub fn from_params(params: &'a Params<'a>, other_method: bool) -> Result<Self, Refusal> {
        let mut targets = params.many("resource");
        targets.extend(params.many("audience"));
        let secret = params.one("client_secret")?.is_some();
        Ok(Self {
            credentials: Credentials {
                client_id: params.one("client_id")?,
                assertion_type: params.one("client_assertion_type")?,
                assertion: params.one("client_assertion")?,
                other_method: other_method || secret,
            },
            grant_type: params.one("grant_type")?,
            subject_token: params.one("subject_token")?,
            subject_token_type: params.one("subject_token_type")?,
            actor_token: params.one("actor_token")?,
            actor_token_type: params.one("actor_token_type")?,
            requested_token_type: params.one("requested_token_type")?,
            code: params.one("code")?,
            redirect_uri: params.one("redirect_uri")?,
            code_verifier: params.one("code_verifier")?,
            refresh_token: params.one("refresh_token")?,
            assertion: params.one("assertion")?,
            targets,
            scope: params.one("scope")?,
            authorization_details: params.one("authorization_details")?,
            task_purpose: params.one("task_purpose")?,
            task_lifetime: params.one("task_lifetime")?,
        })
    }

    /// The grant, with the tokens that it needs.
    pub(super) fn ask(&self) -> Result<Ask<'a>, Refusal> {
        match self.grant_type {
            Some(TOKEN_EXCHANGE) => self.exchange(),
            Some(CLIENT_CREDENTIALS) => Ok(Ask::ClientCredentials),
            Some(AUTHORIZATION_CODE) => self.authorization_code(),
            Some(REFRESH_TOKEN) => self.refresh_token.map(Ask::RefreshToken).ok_or(Refusal::ParameterMissing),
            Some(JWT_BEARER_GRANT) => self.assertion.map(Ask::IdJag).ok_or(Refusal::AssertionMissing),
            Some(_) => Err(Refusal::GrantTypeUnsupported),
            None => Err(Refusal::ParameterMissing),
        }
    }

    fn authorization_code(&self) -> Result<Ask<'a>, Refusal> {
        let code = self.code.ok_or(Refusal::ParameterMissing)?;
        // OAuth 2.1 §4.1.3: `code_verifier` is REQUIRED where the authorization request had a `code_challenge`; here each has.
        let code_verifier = self.code_verifier.ok_or(Refusal::CodeVerifierMissing)?;
        Ok(Ask::AuthorizationCode { code, redirect_uri: self.redirect_uri, code_verifier })
    }

    fn exchange(&self) -> Result<Ask<'a>, Refusal> {
        // RFC 8693 §2.1: `subject_token` and `subject_token_type` are REQUIRED; `actor_token_type` "is REQUIRED when the
        // `actor_token` parameter is present in the request but MUST NOT be included otherwise".
        let (Some(token), Some(kind)) = (self.subject_token, self.subject_token_type) else {
            return Err(Refusal::SubjectTokenMissing);
        };
        let kind = TokenType::parse(kind).ok_or(Refusal::SubjectTokenTypeUnsupported)?;
        if self.requested_token_type.is_some_and(|kind| kind != TokenType::AccessToken.as_str()) {
            return Err(Refusal::RequestedTokenTypeUnsupported);
        }
        let actor = match (self.actor_token, self.actor_token_type) {
            (None, None) => None,
            (Some(actor), Some(kind)) => {
                Some((actor, TokenType::parse(kind).ok_or(Refusal::ActorTokenNotAccepted)?))
            }
            _ => return Err(Refusal::ActorTokenWithoutType),
        };
        Ok(Ask::Exchange { subject: (token, kind), actor })
    }

    /// What is wanted.
    pub(super) fn request(&self) -> Result<Request, Refusal> {
        let scope = self.scope.map(Scope::parse).transpose().map_err(|_| Refusal::ScopeMalformed)?;
        let details = self.authorization_details.map(AuthorizationDetails::parse).transpose();
        let lifetime = self.task_lifetime.map(str::parse::<i64>).transpose();
        let unfit = |purpose: &str| purpose.chars().count() > 500 || purpose.chars().any(char::is_control);
        if self.task_purpose.is_some_and(unfit) {
            return Err(Refusal::TaskPurposeTooLong);
        }
        Ok(Request {
            targets: self.targets.iter().map(|target| (*target).to_owned()).collect(),
            scope,
            authorization_details: details.map_err(|_| Refusal::DetailsMalformed)?,
            task_purpose: self.task_purpose.map(str::to_owned),
            task_lifetime: lifetime.map_err(|_| Refusal::TaskLifetimeNotAllowed)?,
        })
    }
}

//! The enforcer before an axum or hyper service (RFC 6750 §2.1 and §3, RFC 9449 §7, RFC 9728 §5.1).

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use serde_json::json;
use tower::{Layer, Service};

use super::{
    ClientCertificate, EnforcementError, Enforcer, Presented, TokenRefusal, VerifiedToken, metadata,
};
use crate::jose::{Algorithm, DPOP_ALGORITHMS};
use crate::protocol::error_code::ErrorCode;

impl Enforcer {
    /// A layer that lets only requests with a good token through and puts the [`VerifiedToken`] into their extensions.
    ///
    /// Tokens come under the scheme `Bearer`, or `DPoP` with a proof in the header of that name. A proof must name the URL
    /// that [`Config::public_base`](super::Config::public_base) and the path make; put the layer where it sees the whole
    /// path. For tokens that are bound to a certificate, put a [`ClientCertificate`] into the request's extensions.
    pub fn layer(self: &Arc<Self>) -> EnforcerLayer {
        EnforcerLayer { enforcer: Arc::clone(self), scope: None }
    }
}

/// Puts an [`EnforcerService`] around a service.
#[derive(Clone)]
pub struct EnforcerLayer {
    enforcer: Arc<Enforcer>,
    scope: Option<Arc<str>>,
}

impl EnforcerLayer {
    /// Also requires one scope token: without it the answer is 403 `insufficient_scope`.
    #[must_use]
    pub fn require_scope(mut self, scope: &str) -> Self {
        self.scope = Some(scope.into());
        self
    }
}

impl<S> Layer<S> for EnforcerLayer {
    type Service = EnforcerService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        EnforcerService { gate: self.clone(), inner }
    }
}

/// A service behind the enforcer.
#[derive(Clone)]
pub struct EnforcerService<S> {
    gate: EnforcerLayer,
    inner: S,
}

impl<S, B> Service<Request<B>> for EnforcerService<S>
where
    S: Service<Request<B>> + Clone + Send + 'static,
    S::Response: IntoResponse,
    S::Future: Send,
    B: Send + 'static,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // The service that was polled ready is the one to call; a fresh clone takes its place.
        let fresh = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, fresh);
        let gate = self.gate.clone();
        Box::pin(async move {
            match gate.admit(&mut request).await {
                Ok(token) => {
                    request.extensions_mut().insert(token);
                    inner.call(request).await.map(IntoResponse::into_response)
                }
                Err((scheme, refusal)) => Ok(gate.answer(scheme, &refusal)),
            }
        })
    }
}

/// How a token is sent, and so how it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Bearer,
    Dpop,
}

/// RFC 9449 §4.1.
const DPOP: HeaderName = HeaderName::from_static("dpop");

/// Why a request isn't let through.
#[derive(Debug)]
enum Refusal {
    /// RFC 6750 §3: no token was sent; the answer says where to get one and names no error.
    NoToken,
    /// RFC 6750 §3.1: more than one `Authorization`, or one that can't be read.
    MalformedRequest,
    /// The token is bad, or nobody can tell.
    Token(EnforcementError),
    /// The token is good and lacks the scope.
    ScopeMissing,
}

impl EnforcerLayer {
    async fn admit<B>(&self, request: &mut Request<B>) -> Result<VerifiedToken, (Scheme, Refusal)> {
        let (scheme, token) =
            credentials(request.headers_mut()).map_err(|refusal| (Scheme::Bearer, refusal))?;
        let certificate = request.extensions().get::<ClientCertificate>().copied();
        let url = self.enforcer.url_of(request.uri().path());
        let (headers, method) = (request.headers(), request.method());
        // What isn't visible ASCII is no proof; it counts as one all the same.
        let proofs = headers.get_all(DPOP).iter().map(|value| value.to_str().unwrap_or_default());
        let presented = match scheme {
            Scheme::Bearer => Presented::bearer(),
            Scheme::Dpop => Presented::dpop(proofs, method.as_str(), &url),
        };
        let presented = certificate.map_or(presented, |certificate| presented.certificate(certificate));
        let checked = self.enforcer.check_presented(&token, &presented).await;
        let token = checked.map_err(|error| (scheme, Refusal::Token(error)))?;
        match &self.scope {
            Some(scope_token) if !token.claims().scope.contains(scope_token) => {
                Err((scheme, Refusal::ScopeMissing))
            }
            _ => Ok(token),
        }
    }

    fn answer(&self, scheme: Scheme, refusal: &Refusal) -> Response {
        let (status, code, rule, description) = match refusal {
            Refusal::NoToken => {
                (StatusCode::UNAUTHORIZED, None, "token_missing", "no access token was sent".into())
            }
            Refusal::MalformedRequest => (
                StatusCode::BAD_REQUEST,
                Some(ErrorCode::InvalidRequest),
                "authorization_malformed",
                "the Authorization header is malformed or repeated".into(),
            ),
            Refusal::Token(EnforcementError::Refused(refused)) => {
                (StatusCode::UNAUTHORIZED, Some(refused.code()), refused.rule(), refused.to_string())
            }
            Refusal::Token(EnforcementError::Stale(cause)) => {
                tracing::warn!(%cause, "a request was refused because its token could not be checked");
                let description = "the token can not be checked at the moment".to_owned();
                (
                    StatusCode::SERVICE_UNAVAILABLE,
                    Some(ErrorCode::TemporarilyUnavailable),
                    "enforcer_stale",
                    description,
                )
            }
            Refusal::ScopeMissing => (
                StatusCode::FORBIDDEN,
                Some(ErrorCode::InsufficientScope),
                "scope_missing",
                "the access token lacks a scope".into(),
            ),
        };
        let code = code.map(ErrorCode::as_str);
        let body = json!({ "error": code.unwrap_or("invalid_token"), "error_description": description, "rule": rule });
        let mut response = (status, axum::Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        } else if let Ok(challenge) = self.challenge(scheme, code, &description).parse() {
            headers.insert(WWW_AUTHENTICATE, challenge);
            // RFC 9449 §7.2: the challenge of the scheme that was used carries the error; the other says how to come back.
            if matches!(refusal, Refusal::Token(EnforcementError::Refused(TokenRefusal::KeyBindingNotProven)))
                && let Ok(challenge) = self.challenge(Scheme::Dpop, None, "").parse()
            {
                headers.append(WWW_AUTHENTICATE, challenge);
            }
        }
        response
    }

    /// RFC 6750 §3 or RFC 9449 §7.1, with `resource_metadata` of RFC 9728 §5.1.
    fn challenge(&self, scheme: Scheme, code: Option<&str>, description: &str) -> String {
        let (url, _) = metadata::location(self.enforcer.resource());
        let scope = self.scope.as_ref().map(|scope| format!(", scope=\"{scope}\"")).unwrap_or_default();
        let error = code.map(|code| format!("error=\"{code}\", error_description=\"{description}\""));
        match scheme {
            Scheme::Bearer => {
                let error = error.map(|error| format!(", {error}")).unwrap_or_default();
                format!("Bearer resource_metadata=\"{url}\"{scope}{error}")
            }
            Scheme::Dpop => {
                let error = error.map(|error| format!("{error}, ")).unwrap_or_default();
                let algs = DPOP_ALGORITHMS.map(Algorithm::as_str).join(" ");
                format!("DPoP {error}algs=\"{algs}\", resource_metadata=\"{url}\"{scope}")
            }
        }
    }
}

impl Enforcer {
    /// The URL that clients know `path` by.
    fn url_of(&self, path: &str) -> String {
        match &self.config.public_base {
            Some(base) => format!("{base}{path}"),
            None => format!("{}{path}", metadata::origin(self.resource())),
        }
    }
}

/// The token (RFC 6750 §2.1, RFC 9449 §7.1). The header is marked sensitive, so that nothing behind prints it.
fn credentials(headers: &mut HeaderMap) -> Result<(Scheme, String), Refusal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Err(Refusal::NoToken);
    };
    // RFC 6750 §3.1: a request that "uses more than one method for including an access token" is an invalid_request.
    if values.next().is_some() {
        return Err(Refusal::MalformedRequest);
    }
    let text = value.to_str().map_err(|_| Refusal::MalformedRequest)?;
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    let scheme = match scheme {
        _ if scheme.eq_ignore_ascii_case("Bearer") => Scheme::Bearer,
        _ if scheme.eq_ignore_ascii_case("DPoP") => Scheme::Dpop,
        _ => return Err(Refusal::NoToken),
    };
    let token68 = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    if token.is_empty() || !token.bytes().all(token68) {
        return Err(Refusal::MalformedRequest);
    }
    let token = token.to_owned();
    if let Some(value) = headers.get_mut(AUTHORIZATION) {
        value.set_sensitive(true);
    }
    Ok((scheme, token))
}

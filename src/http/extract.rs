//! What endpoints take from a request: the tenant, a form, a bearer token, an administrator.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, RawPathParams, Request};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, StatusCode};

use super::answer::Failure;
use super::node::Node;
use crate::domain::audit::EventKind;
use crate::domain::refusal::Refusal;
use crate::domain::registry::{Administrator, Principal, PrincipalKind, Status};
use crate::flows::{FlowError, Recorder, Tenant, verify_own_token};
use crate::protocol::params::Params;
use crate::protocol::scope::Scope;

/// The tenant that the path names; `main` where it names none.
pub(super) struct InTenant(pub(super) Arc<Tenant>);

impl FromRequestParts<Node> for InTenant {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, node: &Node) -> Result<Self, Failure> {
        // The router's own word for it: the path that a nested route sees has lost its beginning.
        let parameters = RawPathParams::from_request_parts(parts, node).await;
        let parameters = parameters.map_err(|_| Failure::Refused(Refusal::EntryUnknown))?;
        let named = parameters.iter().find(|(name, _)| *name == "tenant").map(|(_, tenant)| tenant);
        let name = named.unwrap_or("main");
        node.server.tenant(name).map(Self).ok_or(Failure::Refused(Refusal::EntryUnknown))
    }
}

/// An `application/x-www-form-urlencoded` body, and whether the request authenticates by a header as well.
pub(super) struct FormBody {
    pub(super) body: Bytes,
    pub(super) bearer: Option<String>,
    pub(super) has_authorization: bool,
}

impl FromRequest<Node> for FormBody {
    type Rejection = Failure;

    async fn from_request(request: Request, node: &Node) -> Result<Self, Failure> {
        let headers = request.headers();
        // RFC 6749 §3.2: parameters are sent "using the `application/x-www-form-urlencoded` format". Anything else is
        // refused rather than read as an empty form.
        if !is_media_type(headers, "application/x-www-form-urlencoded") {
            return Err(Failure::Http(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "The body must be application/x-www-form-urlencoded.",
            ));
        }
        let (bearer, has_authorization) = (bearer(headers), headers.contains_key(AUTHORIZATION));
        let body = Bytes::from_request(request, node).await.map_err(|error| body_failure(error.status()))?;
        Ok(Self { body, bearer, has_authorization })
    }
}

impl FormBody {
    /// The parameters.
    pub(super) fn params(&self) -> Result<Params<'_>, Refusal> {
        Ok(Params::parse(&self.body)?)
    }
}

/// A parameter without which the endpoint has nothing to do.
pub(super) fn required<'a>(params: &'a Params<'_>, name: &'static str) -> Result<&'a str, Refusal> {
    params.one(name)?.ok_or(Refusal::ParameterMissing)
}

/// The JSON object of an administrator's request, parsed strictly: no member twice, bounded depth.
pub(super) struct JsonBody<T>(pub(super) T);

impl<T: serde::de::DeserializeOwned> FromRequest<Node> for JsonBody<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, node: &Node) -> Result<Self, Failure> {
        let JsonBytes(body) = JsonBytes::from_request(request, node).await?;
        // An object: a list of what its members would be reads as one as well, if nobody looks.
        let object = crate::protocol::strict_json::object(&body, 32)
            .map_err(|error| Failure::Invalid(error.to_string()))?;
        let value = serde_json::Value::Object(object);
        // With the path of the member that doesn't fit: `consents[0].expires_at: invalid type: …`.
        serde_path_to_error::deserialize(value).map(Self).map_err(|error| Failure::Invalid(error.to_string()))
    }
}

/// A JSON body, not parsed yet.
pub(super) struct JsonBytes(pub(super) Bytes);

impl FromRequest<Node> for JsonBytes {
    type Rejection = Failure;

    async fn from_request(request: Request, node: &Node) -> Result<Self, Failure> {
        if !is_media_type(request.headers(), "application/json") {
            return Err(Failure::Http(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "The body must be application/json.",
            ));
        }
        let body = Bytes::from_request(request, node).await.map_err(|error| body_failure(error.status()))?;
        Ok(Self(body))
    }
}

fn body_failure(status: StatusCode) -> Failure {
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => Failure::Http(status, "The body is too large."),
        _ => Failure::Http(StatusCode::BAD_REQUEST, "The body could not be read."),
    }
}

fn is_media_type(headers: &HeaderMap, expected: &str) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(expected)
}

/// RFC 6750 §2.1: the token of an `Authorization: Bearer` header; the scheme's name ignores case. Two headers are none.
pub(super) fn bearer(headers: &HeaderMap) -> Option<String> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else {
        return None;
    };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
}

/// An administrator's client that has proved who it is and what it may do.
pub(super) struct AdministratorOf {
    node: Node,
    pub(super) tenant: Arc<Tenant>,
    pub(super) client_id: String,
    scopes: Scope,
    rights: Vec<Administrator>,
}

impl AdministratorOf {
    /// Refuses what the token doesn't open.
    pub(super) async fn may(&self, right: Administrator) -> Result<&Self, Failure> {
        let opens = self.scopes.contains(right.as_str()) && self.rights.contains(&right);
        self.recorded(if opens { Ok(self) } else { Err(Refusal::AccessTokenLacksScope) }).await
    }

    /// What a flow decided about this administrator's order; a refusal is written down.
    pub(super) async fn recorded<T, E: Into<FlowError>>(&self, decided: Result<T, E>) -> Result<T, Failure> {
        let recorder = Recorder::new(&self.node.server, &self.tenant, EventKind::Administration);
        Ok(recorder.client(&self.client_id, decided).await?)
    }
}

impl FromRequestParts<Node> for AdministratorOf {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, node: &Node) -> Result<Self, Failure> {
        let InTenant(tenant) = InTenant::from_request_parts(parts, node).await?;
        let proved = administrator(node, &tenant, bearer(&parts.headers)).await;
        let recorder = Recorder::new(&node.server, &tenant, EventKind::Administration);
        let (client_id, scopes, rights) = recorder.stranger(None, proved).await?;
        Ok(Self { node: node.clone(), tenant, client_id, scopes, rights })
    }
}

/// The client that the token proves, what the token opens, and what the registry lets the client do.
async fn administrator(
    node: &Node,
    tenant: &Tenant,
    token: Option<String>,
) -> Result<(String, Scope, Vec<Administrator>), FlowError> {
    let token = token.ok_or(Refusal::AccessTokenMissing)?;
    let state = tenant.state();
    let verified = verify_own_token(&node.server, tenant, &state, &token, node.server.clock.now()).await?;
    let verified = verified.ok_or(Refusal::AccessTokenNotAccepted)?;
    // Only a token that was minted for this very API, whatever else its bearer may do.
    if verified.claims.aud.as_str().strip_prefix(tenant.issuer.as_str()) != Some("/admin/v1") {
        return Err(Refusal::AccessTokenNotAccepted.into());
    }
    // What the registry says now counts, not what it said when the token was minted.
    let principal = state.registry.principal(&verified.claims.client_id);
    let is_active_client = |principal: &&Principal| {
        principal.kind == PrincipalKind::Client && principal.status == Status::Active
    };
    let principal = principal.filter(is_active_client).ok_or(Refusal::AccessTokenNotAccepted)?;
    Ok((verified.claims.client_id.clone(), verified.claims.scope.clone(), principal.administrator.clone()))
}

/// A path's last segment.
pub(super) type Id = Path<std::collections::HashMap<String, String>>;

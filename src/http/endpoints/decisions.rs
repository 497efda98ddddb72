//! `POST /revocation/decisions`: enforcers bring their decisions to the audit trail.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::header::CACHE_CONTROL;
use http::{HeaderMap, StatusCode};

use crate::domain::refusal::Refusal;
use crate::flows::{enforcement, feed};
use crate::http::answer::{Failure, NO_STORE};
use crate::http::extract::{InTenant, JsonBody, bearer};
use crate::http::node::Node;

/// Takes one batch; the same batch again changes nothing and is answered the same.
pub(in crate::http) async fn decisions(
    State(node): State<Node>,
    InTenant(tenant): InTenant,
    headers: HeaderMap,
    JsonBody(batch): JsonBody<enforcement::Batch>,
) -> Result<Response, Failure> {
    let token = bearer(&headers).ok_or(Refusal::AccessTokenMissing)?;
    let enforcer = feed::subscribe(&node.server, &tenant, &token).await?;
    enforcement::record(&node.server, &tenant, &enforcer.id, batch).await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    Ok(response)
}

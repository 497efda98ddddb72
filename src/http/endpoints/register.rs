//! `POST /oauth/register` (RFC 7591 §3).

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use crate::domain::audit::EventKind;
use crate::flows::{Recorder, registration};
use crate::http::answer::{Failure, json_no_store};
use crate::http::extract::{InTenant, JsonBytes};
use crate::http::node::Node;

/// A client registers itself, where the registry lets it.
pub(in crate::http) async fn register(
    State(node): State<Node>,
    InTenant(tenant): InTenant,
    JsonBytes(body): JsonBytes,
) -> Result<Response, Failure> {
    let recorder = Recorder::new(&node.server, &tenant, EventKind::Administration);
    let registered = registration::register(&node.server, &tenant, &body).await;
    Ok(json_no_store(StatusCode::CREATED, &recorder.stranger(None, registered).await?))
}

//! `POST /oauth/token` (RFC 6749 §3.2).

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use crate::domain::audit::EventKind;
use crate::flows::Recorder;
use crate::flows::token::{self, Form};
use crate::http::answer::{Failure, json_no_store};
use crate::http::extract::{FormBody, InTenant};
use crate::http::node::Node;

/// Exchanges a token, or issues one for client credentials.
pub(in crate::http) async fn token(
    State(node): State<Node>,
    InTenant(tenant): InTenant,
    body: FormBody,
) -> Result<Response, Failure> {
    let recorder = Recorder::new(&node.server, &tenant, EventKind::Token);
    let params = recorder.stranger(None, body.params()).await?;
    let form = recorder.stranger(None, Form::from_params(&params, body.has_authorization)).await?;
    let response = token::token(&node.server, &tenant, &form).await?;
    metrics::counter!("taskpass_tokens_issued_total").increment(1);
    Ok(json_no_store(StatusCode::OK, &response))
}

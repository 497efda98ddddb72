//! `POST /oauth/revoke` (RFC 7009 §2).

use axum::extract::State;
use http::StatusCode;

use crate::domain::audit::EventKind;
use crate::domain::refusal::Refusal;
use crate::flows::Recorder;
use crate::flows::hand_back::hand_back;
use crate::flows::token::Form;
use crate::http::answer::{Failure, json_no_store};
use crate::http::extract::{FormBody, InTenant, required};
use crate::http::node::Node;
use crate::protocol::params::Params;

/// Takes back one of the client's own tokens, and the task that it belongs to.
pub(in crate::http) async fn revoke(
    State(node): State<Node>,
    InTenant(tenant): InTenant,
    body: FormBody,
) -> Result<axum::response::Response, Failure> {
    let recorder = Recorder::new(&node.server, &tenant, EventKind::Revocation);
    let params = recorder.stranger(None, body.params()).await?;
    let (form, token) = recorder.stranger(None, read(&params, body.has_authorization)).await?;
    hand_back(&node.server, &tenant, form.credentials, token).await?;
    Ok(json_no_store(StatusCode::OK, &serde_json::json!({})))
}

fn read<'a>(params: &'a Params<'a>, other_method: bool) -> Result<(Form<'a>, &'a str), Refusal> {
    let form = Form::from_params(params, other_method)?;
    let token = required(params, "token")?;
    // RFC 7009 §2.1: `token_type_hint` is OPTIONAL, and "the server … MAY ignore" it; a repeated one is still malformed.
    params.one("token_type_hint")?;
    Ok((form, token))
}

//! `POST /oauth/revoke` (RFC 7009 §2).

use axum::extract::State;
use http::StatusCode;

use crate::domain::refusal::Refusal;
use crate::flows::revocation::hand_back;
use crate::flows::token::Form;
use crate::http::answer::{Failure, json_no_store};
use crate::http::extract::{FormBody, InTenant};
use crate::http::node::Node;
use crate::protocol::params::Params;

/// Takes back one of the client's own tokens, and the task that it belongs to.
pub(in crate::http) async fn revoke(
    State(node): State<Node>,
    InTenant(tenant): InTenant,
    body: FormBody,
) -> Result<axum::response::Response, Failure> {
    let params = Params::parse(&body.body).map_err(Refusal::from)?;
    let form = Form::from_params(&params, body.has_authorization)?;
    let token = params.one("token").map_err(Refusal::from)?.ok_or(Refusal::ParameterMissing)?;
    // RFC 7009 §2.1: `token_type_hint` is OPTIONAL, and "the server … MAY ignore" it; a repeated one is still malformed.
    params.one("token_type_hint").map_err(Refusal::from)?;
    hand_back(&node.server, &tenant, form.credentials, token).await?;
    Ok(json_no_store(StatusCode::OK, &serde_json::json!({})))
}

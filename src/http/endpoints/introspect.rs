//! `POST /oauth/introspect` (RFC 7662 §2).

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::domain::audit::EventKind;
use crate::domain::refusal::Refusal;
use crate::flows::introspection::{Answer, Caller, introspect as flow};
use crate::flows::token::Form;
use crate::flows::{Credentials, Recorder};
use crate::http::answer::{Failure, NO_STORE, raw_json};
use crate::http::extract::{FormBody, InTenant, required};
use crate::http::node::Node;
use crate::protocol::params::Params;

/// Says whether a token is active, and what it may do, to an enforcer of its resource.
pub(in crate::http) async fn introspect(
    State(node): State<Node>,
    InTenant(tenant): InTenant,
    headers: HeaderMap,
    body: FormBody,
) -> Result<Response, Failure> {
    let recorder = Recorder::new(&node.server, &tenant, EventKind::Introspection);
    let params = recorder.stranger(None, body.params()).await?;
    let (caller, token) = recorder.stranger(None, read(&params, &body)).await?;
    let answer = flow(&node.server, &tenant, &caller, token).await?;
    // Whoever keeps the answer adds his time to the age of what this node knew: together they stay within the lease.
    let lease = node.server.settings.lease;
    let age = tenant.view.age(node.server.clock.uptime()).unwrap_or(lease);
    let known = lease.saturating_sub(age).as_secs();
    Ok(render(&node, &headers, answer, i64::try_from(known).unwrap_or_default()))
}

fn read<'a>(params: &'a Params<'a>, body: &'a FormBody) -> Result<(Caller<'a>, &'a str), Refusal> {
    let token = required(params, "token")?;
    let form = Form::from_params(params, false)?;
    let caller = match &body.bearer {
        // RFC 6749 §2.3: one way to authenticate, not two.
        Some(_) if form.credentials.assertion.is_some() => {
            return Err(Refusal::ClientAuthenticationAmbiguous);
        }
        Some(bearer) => Caller::Bearer(bearer),
        None => {
            let other_method = form.credentials.other_method || body.has_authorization;
            Caller::Client(Credentials { other_method, ..form.credentials })
        }
    };
    Ok((caller, token))
}

fn render(node: &Node, headers: &HeaderMap, answer: Answer, known: i64) -> Response {
    let Answer::Active { body, jti, exp } = answer else {
        let mut response = raw_json(r#"{"active":false}"#);
        response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
        return response;
    };
    let left = exp.since(node.server.clock.now()).clamp(0, known);
    let tag = HeaderValue::try_from(format!("\"{jti}\"")).unwrap_or(HeaderValue::from_static("\"\""));
    // A token's answer never changes while it is active, so its id is its tag.
    let mut response = if headers.get(IF_NONE_MATCH) == Some(&tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        raw_json(String::from(&*body))
    };
    let kept = HeaderValue::try_from(format!("private, max-age={left}")).unwrap_or(NO_STORE);
    response.headers_mut().insert(CACHE_CONTROL, kept);
    response.headers_mut().insert(ETAG, tag);
    response
}

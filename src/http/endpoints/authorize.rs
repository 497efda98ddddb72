//! `GET` and `POST /oauth/authorize` (OAuth 2.1 §4.1), `POST /oauth/par` (RFC 9126).

use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};

use crate::domain::audit::EventKind;
use crate::domain::authorization::Prompt;
use crate::domain::refusal::Refusal;
use crate::flows::authorize::{self, AuthorizationForm, Opened, Stop};
use crate::flows::token::Form;
use crate::flows::{Recorder, Tenant};
use crate::http::answer::{Failure, json_no_store};
use crate::http::browser::{Browser, see_other};
use crate::http::extract::{FormBody, InTenant};
use crate::http::node::Node;
use crate::http::pages::{base, error_page, signed_in};
use crate::protocol::params::Params;

/// An authorization request in the query.
pub(in crate::http) async fn get(
    State(node): State<Node>,
    InTenant(tenant): InTenant,
    browser: Browser,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.unwrap_or_default();
    authorize(&node, &tenant, &browser, &headers, query.as_bytes()).await
}

/// The same in a form (RFC 6749 §3.1: "The authorization server … MAY support the use of the `POST` method as well").
pub(in crate::http) async fn post(
    State(node): State<Node>,
    InTenant(tenant): InTenant,
    browser: Browser,
    headers: HeaderMap,
    body: FormBody,
) -> Response {
    authorize(&node, &tenant, &browser, &headers, &body.body).await
}

async fn authorize(
    node: &Node,
    tenant: &Tenant,
    browser: &Browser,
    headers: &HeaderMap,
    parameters: &[u8],
) -> Response {
    match opened(node, tenant, browser, headers, parameters).await {
        Ok(to) => browser.remember(see_other(&to)),
        Err(failure) => error_page(node, tenant, browser, failure),
    }
}

/// Where the browser goes: to sign in, to answer, or back to the client with a refusal.
async fn opened(
    node: &Node,
    tenant: &Tenant,
    browser: &Browser,
    headers: &HeaderMap,
    parameters: &[u8],
) -> Result<String, Failure> {
    let recorder = Recorder::new(&node.server, tenant, EventKind::Authorization);
    let params = Params::parse(parameters).map_err(Refusal::from);
    let params = recorder.stranger(None, params).await?;
    let form = recorder.stranger(None, AuthorizationForm::from_params(&params)).await?;
    let claimed = form.client_id.map(|id| id.chars().take(512).collect::<String>());
    // Each request is a row until it is answered or forgotten.
    node.server.limits.strangers.take(&tenant.name, "authorize")?;
    match authorize::open(&node.server, tenant, &form, &browser.digest()).await {
        Ok(opened) => next(node, tenant, browser, headers, &opened).await,
        Err(Stop::Here(error)) => {
            recorder.stranger(claimed, Err::<(), _>(error)).await?;
            Err(Refusal::RequestMalformed.into())
        }
        Err(Stop::Back(back, refusal)) => {
            // Written down, and told to the client rather than to the person.
            let _ = recorder.stranger(claimed, Err::<(), _>(refusal)).await;
            // RFC 9700 §4.11.2: the server "SHOULD only automatically redirect the user agent if it trusts the redirection URI".
            if !back.is_trusted() && signed_in(node, tenant, browser, headers).await?.is_none() {
                return Err(refusal.into());
            }
            Ok(back.refused(refusal))
        }
    }
}

async fn next(
    node: &Node,
    tenant: &Tenant,
    browser: &Browser,
    headers: &HeaderMap,
    opened: &Opened,
) -> Result<String, Failure> {
    let (base, handle) = (base(tenant), opened.handle.expose());
    let session = signed_in(node, tenant, browser, headers).await?;
    match (session, opened.request.prompt) {
        (None, Prompt::None) => {
            let waiting = authorize::waiting(&node.server, tenant, handle, &browser.digest()).await?;
            if waiting.back.is_trusted() {
                Ok(waiting.back.refused(Refusal::LoginRequired))
            } else {
                Err(Refusal::LoginRequired.into())
            }
        }
        (None, _) | (Some(_), Prompt::Login) => Ok(format!("{base}/sign-in?request={handle}")),
        (Some(_), _) => Ok(format!("{base}/consent?request={handle}")),
    }
}

/// A request that the client pushes.
pub(in crate::http) async fn par(
    State(node): State<Node>,
    InTenant(tenant): InTenant,
    body: FormBody,
) -> Result<Response, Failure> {
    let recorder = Recorder::new(&node.server, &tenant, EventKind::Authorization);
    let params = recorder.stranger(None, body.params()).await?;
    let form = recorder.stranger(None, AuthorizationForm::from_params(&params)).await?;
    let credentials = recorder.stranger(None, Form::from_params(&params, body.has_authorization)).await?;
    let pushed = authorize::push(&node.server, &tenant, credentials.credentials, &form).await?;
    // RFC 9126 §2.2: "the server … responds … with an HTTP `201` status code".
    Ok(json_no_store(StatusCode::CREATED, &pushed))
}

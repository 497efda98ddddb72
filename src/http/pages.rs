//! What pages of one tenant have in common, and the page for what can't go on.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::ACCEPT;
use http::{HeaderMap, StatusCode};

use super::answer::Failure;
use super::browser::{Browser, page};
use super::extract::InTenant;
use super::node::Node;
use crate::domain::refusal::Refusal;
use crate::flows::{DEVELOPMENT, FlowError, Tenant, TenantState, sessions};
use crate::storage::sessions::Session;
use crate::ui::pages::{Error, Frame, Person};

/// What surrounds every page of this tenant in this browser.
pub(super) fn frame(node: &Node, tenant: &Tenant, browser: &Browser) -> Frame {
    Frame {
        base: base(tenant),
        issuer: tenant.issuer.clone(),
        tenant: tenant.name.to_string(),
        csrf: browser.csrf(),
        development: node.server.settings.development,
    }
}

/// The path before everything of this tenant, as the browser sees it: that of its issuer.
pub(super) fn base(tenant: &Tenant) -> String {
    let path = url::Url::parse(&tenant.issuer).map(|url| url.path().trim_end_matches('/').to_owned());
    path.unwrap_or_default()
}

/// Who sits at this browser, if anybody is signed in.
pub(super) async fn signed_in(
    node: &Node,
    tenant: &Tenant,
    browser: &Browser,
    headers: &HeaderMap,
) -> Result<Option<Session>, FlowError> {
    match browser.session(headers) {
        Some(cookie) => sessions::find(&node.server, tenant, &cookie).await,
        None => Ok(None),
    }
}

/// A session's person, for a page.
pub(super) fn person(state: &TenantState, session: &Session) -> Person {
    let providers = &state.registry.section.identity_providers;
    let named = providers.iter().find(|provider| provider.id == session.idp).map(|provider| &provider.name);
    let label = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let provider = match named.filter(|name| !name.is_empty()) {
        Some(name) => name,
        None if session.idp == DEVELOPMENT => "no proof (development)",
        None => &session.idp,
    };
    Person {
        name: label(&session.name)
            .or_else(|| label(&session.email))
            .unwrap_or_else(|| session.subject.clone()),
        email: label(&session.email),
        provider: provider.to_owned(),
    }
}

/// What stands at no path. A browser is shown a page; whatever else asks is answered as every wrong request is.
pub(super) async fn nothing_here(
    State(node): State<Node>,
    tenant: Result<InTenant, Failure>,
    browser: Result<Browser, Failure>,
    headers: HeaderMap,
) -> Response {
    let accepted = headers.get(ACCEPT).and_then(|accepted| accepted.to_str().ok()).unwrap_or_default();
    match (tenant, browser) {
        (Ok(InTenant(tenant)), Ok(browser)) if accepted.contains("text/html") => {
            error_page(&node, &tenant, &browser, Refusal::EntryUnknown.into())
        }
        _ => Failure::Http(StatusCode::NOT_FOUND, "There is nothing at this path.").into_response(),
    }
}

/// The page for what can't go on; nobody is redirected from it.
pub(super) fn error_page(node: &Node, tenant: &Tenant, browser: &Browser, failure: Failure) -> Response {
    let Failure::Refused(refusal) = failure else {
        return failure.into_response();
    };
    let wire = refusal.wire();
    metrics::counter!("taskpass_refusals_total", "rule" => wire.rule).increment(1);
    let (title, to_do) = advice(refusal);
    let html = Error {
        frame: frame(node, tenant, browser),
        title: title.into(),
        happened: wire.description.into(),
        to_do: to_do.into(),
        rule: Some(wire.rule.into()),
        correlation: None,
        account_link: refusal != Refusal::SessionMissing,
    };
    let status = match wire.code.status() {
        // 401 would ask for credentials of a kind that browsers have none of.
        StatusCode::UNAUTHORIZED => StatusCode::BAD_REQUEST,
        status => status,
    };
    browser.remember(page(status, html.render(), &[]))
}

fn advice(refusal: Refusal) -> (&'static str, &'static str) {
    match refusal {
        Refusal::AuthorizationClientUnknown | Refusal::RedirectUriNotRegistered => (
            "This application can't ask you",
            "Close this page. If you came from an application that you trust, tell its makers; if the link came from somebody else, don't follow it again.",
        ),
        Refusal::AuthorizationRequestGone | Refusal::RequestUriUnknown => {
            ("This request is over", "Go back to the application and start again there.")
        }
        Refusal::FormForged => (
            "This form wasn't sent from here",
            "Nothing was changed. Open the page again and answer there; cookies must be allowed for this site.",
        ),
        Refusal::SignInStateUnknown | Refusal::SignInIssuerMixedUp | Refusal::IdTokenNotAccepted => (
            "You are not signed in",
            "Nothing was given to anybody. Go back to the application and start again there; if it happens again, tell your administrator the rule's name below.",
        ),
        Refusal::SignInRefused | Refusal::SignInFailed => (
            "You are not signed in",
            "Try again in a moment. If your company's sign-in page said no, its administrators can say why.",
        ),
        Refusal::UserDisabled | Refusal::SessionMissing | Refusal::IdentityProviderDisabled => (
            "You are not signed in",
            "Sign in again. If that doesn't work, your administrator has switched off this sign-in.",
        ),
        Refusal::EntryUnknown => {
            ("There is nothing here", "It may have ended, or have been taken back already.")
        }
        _ => (
            "This can't go on",
            "Go back to the application and start again there. If it happens again, tell its makers the rule's name below.",
        ),
    }
}

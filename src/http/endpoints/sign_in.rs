//! `/sign-in`: to an identity provider and back (OpenID Connect Core §3.1), out again, and the provider's own word that somebody
//! has signed out (OpenID Connect Back-Channel Logout 1.0).

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use http::StatusCode;

use crate::domain::audit::EventKind;
use crate::domain::authorization::AuthorizationRequest;
use crate::domain::refusal::Refusal;
use crate::flows::authorize::{self, waiting};
use crate::flows::clients::{KnownClient, Origin};
use crate::flows::sessions::SignedIn;
use crate::flows::sign_in::{self, Answer, Choice};
use crate::flows::{Recorder, Tenant, TenantState, sessions};
use crate::http::answer::{Failure, json_no_store};
use crate::http::browser::{Browser, ProtectedForm, page, see_other};
use crate::http::extract::{FormBody, Id, InTenant, required};
use crate::http::node::Node;
use crate::http::pages::{base, error_page, frame, signed_in};
use crate::protocol::params::Params;
use crate::protocol::redirect_uri;
use crate::ui::pages::{Development, DevelopmentPerson, Leaving, Provider, SignIn, SignedOut, Waiting};

/// What a person has said about how to sign in.
struct Wish<'a> {
    /// The handle of the authorization request that waits.
    request: Option<&'a str>,
    /// An e-mail address.
    login_hint: Option<&'a str>,
    /// Whether that was said in a form.
    posted: bool,
}

/// The page, or straight on to the identity provider where there is only one way.
pub(in crate::http) async fn get(
    State(node): State<Node>,
    InTenant(tenant): InTenant,
    browser: Browser,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.unwrap_or_default();
    let begun = async {
        let params = Params::parse(query.as_bytes()).map_err(Refusal::from)?;
        let one = |name| params.one(name).map_err(Refusal::from);
        let wish = Wish { request: one("request")?, login_hint: one("login_hint")?, posted: false };
        begin(&node, &tenant, &browser, wish).await
    };
    match begun.await {
        Ok(response) => browser.remember(response),
        Err(failure) => error_page(&node, &tenant, &browser, failure),
    }
}

async fn begin(node: &Node, tenant: &Tenant, browser: &Browser, wish: Wish<'_>) -> Result<Response, Failure> {
    let (state, mut view, mut targets) = (tenant.state(), None, Vec::new());
    let mut hint = wish.login_hint.map(str::to_owned);
    if let Some(handle) = wish.request {
        let authorize::Waiting { request, client, back, .. } =
            waiting(&node.server, tenant, handle, &browser.digest()).await?;
        // Whoever has agreed before goes straight on to the client; in development a form leads there.
        targets.extend(redirect_uri::origin(back.uri()));
        view = Some(waiter(handle, &request, client));
        hint = hint.or(request.login_hint);
    }
    let development = node.server.settings.development;
    let choices = sign_in::choices(&state);
    let chosen = hint.as_deref().and_then(|hint| sign_in::chosen_by(&state, hint));
    let only = match (chosen, choices.as_slice()) {
        (Some(chosen), _) if wish.posted || !development => Some(chosen),
        (None, [only]) if !development => Some(only.clone()),
        _ => None,
    };
    if let Some(only) = only {
        let wish = Wish { login_hint: hint.as_deref(), ..wish };
        return leave(node, tenant, browser, &only, wish).await;
    }
    let html = SignIn {
        frame: frame(node, tenant, browser),
        waiting: view,
        providers: choices.into_iter().map(provider).collect(),
        by_email: sign_in::can_choose(&state),
        login_hint: hint.unwrap_or_default(),
        problem: wish
            .posted
            .then(|| "No identity provider is known for this address. Choose yours below.".to_owned()),
        people: development.then(|| people(&state)),
    };
    Ok(page(StatusCode::OK, html.render(), &targets))
}

/// Sends the browser to an identity provider: at once, or, after a form, by way of a page.
async fn leave(
    node: &Node,
    tenant: &Tenant,
    browser: &Browser,
    choice: &Choice,
    wish: Wish<'_>,
) -> Result<Response, Failure> {
    let Wish { request, login_hint, posted } = wish;
    let digest = browser.digest();
    let to = sign_in::depart(&node.server, tenant, &choice.id, request, &digest, login_hint).await?;
    if !posted {
        return Ok(see_other(&to));
    }
    let provider = if choice.name.is_empty() { host(&choice.issuer) } else { choice.name.clone() };
    let html = Leaving { frame: frame(node, tenant, browser), provider, to }.render();
    Ok(page(StatusCode::OK, html, &[]))
}

fn host(url: &str) -> String {
    let url = url::Url::parse(url).ok();
    url.and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default()
}

/// The application that waits.
fn waiter(handle: &str, request: &AuthorizationRequest, client: KnownClient) -> Waiting {
    // What vouches for a client is the place that its document comes from, or else the one that the answer goes to.
    let document = client.origin == Origin::MetadataDocument;
    let client_host = host(if document { &client.id } else { &request.redirect_uri });
    Waiting {
        request: handle.to_owned(),
        client: client.name,
        client_host,
        resource: host(request.resource.as_str()),
        resource_uri: request.resource.as_str().to_owned(),
    }
}

fn provider(choice: Choice) -> Provider {
    Provider { id: choice.id, name: choice.name, issuer: choice.issuer }
}

fn people(state: &TenantState) -> Development {
    let people = state.registry.section.people.iter().map(|person| DevelopmentPerson {
        subject: person.subject.clone(),
        name: person.name.clone(),
        groups: person.groups.clone(),
    });
    Development { people: people.collect() }
}

/// The person has chosen: an identity provider, an address whose domain chooses, or, in development, whom to be.
pub(in crate::http) async fn post(
    State(node): State<Node>,
    InTenant(tenant): InTenant,
    form: ProtectedForm,
) -> Response {
    let browser = &form.browser;
    match chosen(&node, &tenant, &form).await {
        Ok(response) => browser.remember(response),
        Err(failure) => error_page(&node, &tenant, browser, failure),
    }
}

async fn chosen(node: &Node, tenant: &Tenant, form: &ProtectedForm) -> Result<Response, Failure> {
    let (request, hint) = (form.field("request")?, form.field("login_hint")?);
    let (idp, subject) = (form.field("identity_provider")?, form.field("subject")?);
    if let Some(subject) = subject {
        let asked = (request.as_deref(), &form.browser.digest());
        let entered = sign_in::develop(&node.server, tenant, &subject, asked).await?;
        return Ok(inside(tenant, &form.browser, &entered));
    }
    let (request, hint) = (request.as_deref(), hint.as_deref());
    let wish = Wish { request, login_hint: hint, posted: true };
    match idp {
        Some(id) => {
            let choices = sign_in::choices(&tenant.state()).into_iter();
            let unknown = || Choice { id: id.clone(), name: String::new(), issuer: String::new() };
            let choice = choices.into_iter().find(|choice| choice.id == id).unwrap_or_else(unknown);
            leave(node, tenant, &form.browser, &choice, wish).await
        }
        None => begin(node, tenant, &form.browser, wish).await,
    }
}

/// Somebody is signed in: on to what has waited, or to what there is to see.
fn inside(tenant: &Tenant, browser: &Browser, entered: &SignedIn) -> Response {
    let base = base(tenant);
    let to = match &entered.request {
        Some(handle) => {
            let handle: String = form_urlencoded::byte_serialize(handle.as_bytes()).collect();
            format!("{base}/consent?request={handle}")
        }
        None => format!("{base}/account"),
    };
    browser.sign_in(see_other(&to), &entered.cookie)
}

/// The identity provider sends the browser back.
pub(in crate::http) async fn callback(
    State(node): State<Node>,
    InTenant(tenant): InTenant,
    Path(path): Id,
    browser: Browser,
    RawQuery(query): RawQuery,
) -> Response {
    let query = query.unwrap_or_default();
    let arrived = async {
        let recorder = Recorder::new(&node.server, &tenant, EventKind::SignIn);
        let params = Params::parse(query.as_bytes()).map_err(Refusal::from);
        let params = recorder.stranger(None, params).await?;
        let idp = path.get("idp").map(String::as_str);
        let answer = recorder.stranger(None, read(&params, idp)).await?;
        sign_in::arrive(&node.server, &tenant, &answer, &browser.digest()).await
    };
    match arrived.await {
        Ok(entered) => inside(&tenant, &browser, &entered),
        Err(error) => error_page(&node, &tenant, &browser, error.into()),
    }
}

fn read<'a>(params: &'a Params<'_>, idp: Option<&'a str>) -> Result<Answer<'a>, Refusal> {
    Ok(Answer {
        idp,
        state: params.one("state")?,
        code: params.one("code")?,
        error: params.one("error")?,
        iss: params.one("iss")?,
    })
}

/// The identity provider says that a person has signed out (OpenID Connect Back-Channel Logout §2.5).
pub(in crate::http) async fn logout(
    State(node): State<Node>,
    InTenant(tenant): InTenant,
    Path(path): Id,
    body: FormBody,
) -> Result<Response, Failure> {
    let recorder = Recorder::new(&node.server, &tenant, EventKind::SignIn);
    let params = recorder.stranger(None, body.params()).await?;
    let token = recorder.stranger(None, required(&params, "logout_token")).await?;
    let idp = path.get("idp").map(String::as_str).unwrap_or_default();
    sign_in::back_channel_logout(&node.server, &tenant, idp, token).await?;
    // §2.8: "If the logout succeeded, the RP MUST respond with HTTP 200 OK." and it "SHOULD include `Cache-Control: no-store`".
    Ok(json_no_store(StatusCode::OK, &serde_json::json!({})))
}

/// Signs this browser out.
pub(in crate::http) async fn sign_out(
    State(node): State<Node>,
    InTenant(tenant): InTenant,
    form: ProtectedForm,
) -> Response {
    let left = async {
        let session = signed_in(&node, &tenant, &form.browser, &form.headers).await?;
        if let Some(session) = &session {
            sessions::sign_out(&node.server, &tenant, session).await?;
        }
        let state = tenant.state();
        let idp = session.and_then(|session| {
            state.registry.identity_provider_by_id(&session.idp).map(|(idp, _)| idp.clone())
        });
        Ok::<_, Failure>(idp.map(|idp| if idp.name.is_empty() { idp.id } else { idp.name }))
    };
    match left.await {
        Ok(provider) => {
            let html = SignedOut { frame: frame(&node, &tenant, &form.browser), provider }.render();
            form.browser.sign_out(page(StatusCode::OK, html, &[]))
        }
        Err(failure) => error_page(&node, &tenant, &form.browser, failure),
    }
}

//! `GET` and `POST /consent`: a person sees what is asked, and answers.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};

use crate::domain::authorization::Prompt;
use crate::domain::refusal::Refusal;
use crate::domain::registry::Registry;
use crate::flows::Tenant;
use crate::flows::clients::{KnownClient, Origin};
use crate::flows::consent::{self, Answer, Answered, DEFAULT_EXPIRY, EXPIRIES, Question};
use crate::http::answer::Failure;
use crate::http::browser::{Browser, ProtectedForm, page, see_other};
use crate::http::extract::InTenant;
use crate::http::node::Node;
use crate::http::pages::{base, error_page, frame, person, signed_in};
use crate::protocol::params::Params;
use crate::protocol::redirect_uri;
use crate::storage::sessions::Session;
use crate::time::Timestamp;
use crate::ui::pages::{Agent, Client, Consent, Expiry, KeepsAccess, Known, Permissions, ReturnsTo, Target};
use crate::ui::words;

/// The page.
pub(in crate::http) async fn get(
    State(node): State<Node>,
    InTenant(tenant): InTenant,
    browser: Browser,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    match ask(&node, &tenant, &browser, &headers, &query.unwrap_or_default()).await {
        Ok(response) => browser.remember(response),
        Err(failure) => error_page(&node, &tenant, &browser, failure),
    }
}

async fn ask(
    node: &Node,
    tenant: &Tenant,
    browser: &Browser,
    headers: &HeaderMap,
    query: &str,
) -> Result<Response, Failure> {
    let params = Params::parse(query.as_bytes()).map_err(Refusal::from)?;
    let handle = params.one("request").map_err(Refusal::from)?.ok_or(Refusal::AuthorizationRequestGone)?;
    let Some(session) = signed_in(node, tenant, browser, headers).await? else {
        return Ok(see_other(&format!("{}/sign-in?request={handle}", base(tenant))));
    };
    let place = (handle, &browser.digest());
    let mut question = consent::question(&node.server, tenant, place, &session).await?;
    if question.must_sign_in {
        return Ok(see_other(&format!("{}/sign-in?request={handle}", base(tenant))));
    }
    if question.answers_itself() {
        match consent::answer(&node.server, tenant, place, &session, Answer::Before).await? {
            Answered::GoTo(to) => return Ok(see_other(&to)),
            Answered::AskAgain => {
                question = consent::question(&node.server, tenant, place, &session).await?;
            }
        }
    }
    if question.request.prompt == Prompt::None {
        return Ok(see_other(&question.back.refused(Refusal::ConsentRequired)));
    }
    let targets: Vec<_> = redirect_uri::origin(question.back.uri()).into_iter().collect();
    let html = view(node, tenant, (browser, handle), &question, &session).render();
    Ok(page(StatusCode::OK, html, &targets))
}

/// The answer.
pub(in crate::http) async fn post(
    State(node): State<Node>,
    InTenant(tenant): InTenant,
    form: Result<ProtectedForm, Failure>,
) -> Result<Response, Failure> {
    let form = form?;
    match answered(&node, &tenant, &form).await {
        Ok(to) => Ok(see_other(&to)),
        Err(failure) => Ok(error_page(&node, &tenant, &form.browser, failure)),
    }
}

async fn answered(node: &Node, tenant: &Tenant, form: &ProtectedForm) -> Result<String, Failure> {
    let session = signed_in(node, tenant, &form.browser, &form.headers).await?;
    let session = session.ok_or(Refusal::SessionMissing)?;
    let handle = form.field("request")?.ok_or(Refusal::AuthorizationRequestGone)?;
    let answer = match form.field("decision")?.as_deref() {
        Some("allow") => {
            Answer::Allow(expiry(form.field("expiry")?.as_deref())?, form.field("shown")?.unwrap_or_default())
        }
        Some("deny") => Answer::Deny,
        _ => return Err(Refusal::RequestMalformed.into()),
    };
    let place = (handle.as_str(), &form.browser.digest());
    match consent::answer(&node.server, tenant, place, &session, answer).await? {
        Answered::GoTo(to) => Ok(to),
        Answered::AskAgain => Ok(format!("{}/consent?request={handle}", base(tenant))),
    }
}

/// One of the choices that were offered, and nothing else.
fn expiry(chosen: Option<&str>) -> Result<i64, Refusal> {
    match chosen.map(str::parse) {
        None => Ok(DEFAULT_EXPIRY),
        Some(Ok(seconds)) if EXPIRIES.contains(&seconds) => Ok(seconds),
        Some(_) => Err(Refusal::RequestMalformed),
    }
}

fn view(
    node: &Node,
    tenant: &Tenant,
    (browser, handle): (&Browser, &str),
    question: &Question,
    session: &Session,
) -> Consent {
    let state = tenant.state();
    let (registry, request) = (&state.registry, &question.request);
    let resource = registry.resource(request.resource.as_str());
    let asked = match &question.given {
        // Where the person has agreed to all of it before, all of it is shown again.
        Some(given) if !question.is_covered() => Permissions {
            scopes: question.new_scope.iter().map(str::to_owned).collect(),
            details: words::news(&request.authorization_details, &given.authorization_details, registry),
        },
        _ => Permissions {
            scopes: request.scope.iter().map(str::to_owned).collect(),
            details: words::details(&request.authorization_details, registry),
        },
    };
    let given = question.given.as_ref().filter(|_| !question.is_covered()).map(|given| Permissions {
        scopes: given.scope.iter().map(str::to_owned).collect(),
        details: words::details(&given.authorization_details, registry),
    });
    Consent {
        frame: frame(node, tenant, browser),
        request: handle.to_owned(),
        shown: question.shown(),
        person: person(&state, session),
        client: client(&question.client, registry),
        returns_to: returns_to(question.back.uri()),
        agent: request.requested_actor.as_ref().and_then(|id| registry.agent(id)).map(Agent::from),
        resource: resource.map(Target::from).unwrap_or_default(),
        asked,
        given,
        expiries: expiries(node.server.clock.now()),
        keeps_access: if question.client.refreshes { KeepsAccess::UntilExpiry } else { KeepsAccess::No },
    }
}

fn client(client: &KnownClient, registry: &Registry) -> Client {
    let known = match client.origin {
        Origin::Registered => Known::Registered {
            owner: registry.client(&client.id).map(|client| client.owner.clone()).unwrap_or_default(),
        },
        Origin::MetadataDocument => {
            let host = url::Url::parse(&client.id).ok().and_then(|url| url.host_str().map(str::to_owned));
            let host = host.unwrap_or_else(|| client.id.clone());
            let rules = registry.section.registration.as_ref();
            let host_allowed = rules.is_some_and(|rules| rules.metadata_document_hosts.contains(&host));
            Known::MetadataDocument { host, host_allowed }
        }
        Origin::Dynamic => Known::SelfRegistered { at: client.known_since.unwrap_or(Timestamp(0)) },
    };
    let reads_alike = |name: &str| {
        let plain =
            |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase();
        !name.is_empty() && plain(name) == plain(&client.name)
    };
    let section = &registry.section;
    let has_namesake = client.origin != Origin::Registered
        && (section.clients.iter().any(|other| reads_alike(&other.name) || reads_alike(&other.client))
            || section.agents.iter().any(|other| reads_alike(&other.name) || reads_alike(&other.agent)));
    Client { id: client.id.clone(), name: client.name.clone(), known, has_namesake }
}

fn returns_to(uri: &str) -> ReturnsTo {
    let Ok(url) = url::Url::parse(uri) else {
        return ReturnsTo::Host(uri.to_owned());
    };
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let host = url.host_str().map(|host| format!("{host}{port}"));
    match (url.scheme(), host) {
        ("https", Some(host)) => ReturnsTo::Host(host),
        // What is registered with http is on loopback: `protocol::redirect_uri::check`.
        ("http", Some(host)) => ReturnsTo::ThisComputer(host),
        (scheme, _) => ReturnsTo::Scheme(scheme.to_owned()),
    }
}

fn expiries(now: Timestamp) -> Vec<Expiry> {
    let choice = |seconds: i64| Expiry {
        value: seconds.to_string(),
        label: match seconds / 86_400 {
            1 => "For one day".to_owned(),
            days => format!("For {days} days"),
        },
        at: Some(now.plus(seconds)),
        checked: seconds == DEFAULT_EXPIRY,
    };
    EXPIRIES.map(choice).into()
}

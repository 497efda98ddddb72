//! `/account`: what a person has given, and taking it back.

use std::collections::HashMap;

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::domain::refusal::Refusal;
use crate::domain::registry::{Consent, Registry};
use crate::flows::account::{self, Effect, Overview, Withdrawn};
use crate::flows::{FlowError, Tenant};
use crate::http::answer::Failure;
use crate::http::browser::{Browser, ProtectedForm, page, see_other};
use crate::http::extract::InTenant;
use crate::http::node::Node;
use crate::http::pages::{base, error_page, frame, person, signed_in};
use crate::protocol::params::Params;
use crate::protocol::resource::ResourceUri;
use crate::storage::consents::GivenConsent;
use crate::storage::sessions::Session;
use crate::storage::tasks::TaskRecord;
use crate::time::Timestamp;
use crate::ui::pages::{Account, GivenBy, GivenConsent as Given, Holder, HolderKind, RunningTask};
use crate::ui::pages::{Permissions, Target};
use crate::ui::pages::{Progress, What, Withdrawn as WithdrawnPage};
use crate::ui::words;

/// Everything that holds in the person's name.
pub(in crate::http) async fn get(
    State(node): State<Node>,
    InTenant(tenant): InTenant,
    browser: Browser,
    headers: HeaderMap,
) -> Response {
    match shown(&node, &tenant, &browser, &headers).await {
        Ok(response) => browser.remember(response),
        Err(failure) => error_page(&node, &tenant, &browser, failure),
    }
}

async fn shown(
    node: &Node,
    tenant: &Tenant,
    browser: &Browser,
    headers: &HeaderMap,
) -> Result<Response, Failure> {
    let Some(session) = signed_in(node, tenant, browser, headers).await? else {
        return Ok(see_other(&format!("{}/sign-in", base(tenant))));
    };
    let overview = account::overview(&node.server, tenant, &session).await?;
    let html = view(node, tenant, browser, &session, &overview).render();
    Ok(page(StatusCode::OK, html, &[]))
}

/// Takes back a consent, or ends a task; then shows when that took effect.
pub(in crate::http) async fn withdraw(
    State(node): State<Node>,
    InTenant(tenant): InTenant,
    form: Result<ProtectedForm, Failure>,
) -> Result<Response, Failure> {
    let form = form?;
    let taken = async {
        let session = signed_in(&node, &tenant, &form.browser, &form.headers).await?;
        let session = session.ok_or(Refusal::SessionMissing)?;
        let (consent, task) = (form.field("consent")?, form.field("task")?);
        let (what, word, id) = match (&consent, &task) {
            (Some(id), None) => (Withdrawn::Consent(id), "consent", id),
            (None, Some(id)) => (Withdrawn::Task(id), "task", id),
            _ => return Err(Failure::from(Refusal::RequestMalformed)),
        };
        let revoked = account::withdraw(&node.server, &tenant, &session, what).await?;
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair(word, id).append_pair("seq", &revoked.seq.to_string());
        query.append_pair("at", &revoked.at.0.to_string());
        Ok(format!("{}/account/withdrawn?{}", base(&tenant), query.finish()))
    };
    match taken.await {
        Ok(to) => Ok(see_other(&to)),
        Err(failure) => Ok(error_page(&node, &tenant, &form.browser, failure)),
    }
}

/// How far a withdrawal has come.
pub(in crate::http) async fn withdrawn(
    State(node): State<Node>,
    InTenant(tenant): InTenant,
    browser: Browser,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    match progress(&node, &tenant, &browser, &headers, &query.unwrap_or_default()).await {
        Ok(response) => browser.remember(response),
        Err(failure) => error_page(&node, &tenant, &browser, failure),
    }
}

async fn progress(
    node: &Node,
    tenant: &Tenant,
    browser: &Browser,
    headers: &HeaderMap,
    query: &str,
) -> Result<Response, Failure> {
    let Some(session) = signed_in(node, tenant, browser, headers).await? else {
        return Ok(see_other(&format!("{}/sign-in", base(tenant))));
    };
    let params = Params::parse(query.as_bytes()).map_err(Refusal::from)?;
    let one = |name| params.one(name).map_err(Refusal::from);
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<u64>().ok());
    let seq = number(one("seq")?).ok_or(Refusal::RequestMalformed)?;
    let at = number(one("at")?).and_then(|at| i64::try_from(at).ok()).ok_or(Refusal::RequestMalformed)?;
    let what = match (one("consent")?, one("task")?) {
        (Some(id), None) => Withdrawn::Consent(id),
        (None, Some(id)) => Withdrawn::Task(id),
        _ => return Err(Refusal::RequestMalformed.into()),
    };
    // Only what is withdrawn is shown as such, whatever a link says.
    let (what, effect) = tokio::try_join!(
        described(node, tenant, &session, what),
        account::effect_soon(&node.server, tenant, seq)
    )?;
    let progress = match effect {
        Effect::InForce { watched, acknowledged } => {
            Progress::InForce { since: watched, enforcers: acknowledged }
        }
        Effect::Waiting { enforcers, acknowledged } => Progress::Waiting {
            applied: acknowledged,
            waiting: enforcers,
            latest: Timestamp(at).plus(account::LATEST),
        },
    };
    let again = format!("{}/account/withdrawn?{query}", base(tenant));
    let html =
        WithdrawnPage { frame: frame(node, tenant, browser), what, at: Timestamp(at), progress, again };
    Ok(page(StatusCode::OK, html.render(), &[]))
}

async fn described(
    node: &Node,
    tenant: &Tenant,
    session: &Session,
    what: Withdrawn<'_>,
) -> Result<What, FlowError> {
    let state = tenant.state();
    let registry = &state.registry;
    Ok(match account::taken_back(&node.server, tenant, session, what).await? {
        account::Taken::Consent(consent) => What::Consent {
            holder: holder(registry, &consent.holder, &consent.client_name),
            resource: target(registry, &consent.resource),
        },
        account::Taken::Task(task) => {
            What::Task { holder: holder(registry, &task.agent, ""), purpose: task.purpose, below: 0 }
        }
    })
}

/// The style sheet and the pictures. Their URLs carry their version, so they may be kept for ever.
pub(in crate::http) async fn asset(Path(path): Path<HashMap<String, String>>) -> Result<Response, Failure> {
    let name = path.get("name").map(String::as_str).unwrap_or_default();
    let (kind, body, _) = crate::ui::asset(name).ok_or(Refusal::EntryUnknown)?;
    let mut response = Response::new(body.into());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    Ok(response)
}

fn view(node: &Node, tenant: &Tenant, browser: &Browser, session: &Session, overview: &Overview) -> Account {
    let state = tenant.state();
    let registry = &state.registry;
    let own = overview.given.iter().map(|given| given_consent(registry, given));
    let others = overview.by_administrator.iter().map(|consent| administrators(registry, consent));
    Account {
        frame: frame(node, tenant, browser),
        person: person(&state, session),
        consents: own.chain(others).collect(),
        tasks: below(registry, overview, None),
        now: node.server.clock.now(),
    }
}

fn given_consent(registry: &Registry, given: &GivenConsent) -> Given {
    Given {
        id: given.id.clone(),
        holder: holder(registry, &given.client_id, &given.client_name),
        agent: (!given.agent.is_empty()).then(|| holder(registry, &given.agent, "")),
        resource: target(registry, &given.resource),
        permissions: Permissions {
            scopes: given.scope.iter().map(str::to_owned).collect(),
            details: words::details(&given.authorization_details, registry),
        },
        given_by: GivenBy::Person,
        since: Some(given.given_at),
        until: given.expires_at,
        changed: (given.changed_at != given.given_at).then_some(given.changed_at),
        may_withdraw: true,
    }
}

fn administrators(registry: &Registry, consent: &Consent) -> Given {
    Given {
        id: consent.consent.clone(),
        holder: holder(registry, &consent.agent, ""),
        agent: None,
        resource: target(registry, &consent.resource),
        permissions: Permissions {
            scopes: consent.scopes.iter().map(str::to_owned).collect(),
            details: words::details(&consent.authorization_details, registry),
        },
        given_by: GivenBy::Administrator,
        since: None,
        until: consent.expires_at,
        changed: None,
        may_withdraw: true,
    }
}

/// The tasks below `parent`, each with those below it.
fn below(registry: &Registry, overview: &Overview, parent: Option<&str>) -> Vec<RunningTask> {
    let is_child = |task: &&TaskRecord| {
        let ancestors = task.to_task().map(|task| task.ancestors).unwrap_or_default();
        ancestors.last().map(String::as_str) == parent
    };
    let name_of = |client: &str| {
        let given = overview.given.iter().find(|given| given.client_id == client);
        given.map_or("", |given| &given.client_name)
    };
    let running = |task: &TaskRecord| RunningTask {
        id: task.id.clone(),
        holder: holder(registry, &task.agent, name_of(&task.agent)),
        purpose: task.purpose.clone(),
        resources: overview.resources.get(&task.id).map(|uri| target(registry, uri)).into_iter().collect(),
        started: task.opened_at,
        deadline: task.deadline,
        below: below(registry, overview, Some(&task.id)),
    };
    overview.tasks.iter().filter(is_child).map(running).collect()
}

/// Who holds something: by the registry's name, or else by the one that a client gave itself when the person said yes.
fn holder(registry: &Registry, id: &str, told: &str) -> Holder {
    let agent = registry.agent(id);
    let name = agent.map(|agent| &agent.name).or_else(|| registry.client(id).map(|client| &client.name));
    let name = name.filter(|name| !name.is_empty()).map_or(told, String::as_str);
    let kind = if agent.is_some() { HolderKind::Agent } else { HolderKind::Client };
    Holder { id: id.to_owned(), name: name.to_owned(), kind }
}

fn target(registry: &Registry, uri: &ResourceUri) -> Target {
    registry
        .resource(uri.as_str())
        .map_or_else(|| Target { uri: uri.as_str().to_owned(), ..Target::default() }, Target::from)
}

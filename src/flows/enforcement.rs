//! Decisions of enforcers, taken into the tenant's audit chain: at least once from them, once in the chain.

use serde::Deserialize;
use serde_json::json;

use super::{FlowError, Server, Tenant};
use crate::domain::audit::{Event, EventKind};
use crate::domain::refusal::Refusal;
use crate::protocol::claims::{Actor, Rev};
use crate::protocol::resource::ResourceUri;
use crate::secret::Digest;
use crate::storage::journal::{Entry, Outcome};
use crate::storage::marks::Mark;
use crate::time::Timestamp;

/// Decisions in one batch at most.
const MOST: usize = 512;
/// The longest id, name or rule, in bytes.
const LONGEST_TEXT: usize = 1024;
/// The longest chain of actors that is written down.
const LONGEST_CHAIN: usize = 16;
/// How long a batch is known by its id, in seconds: much longer than an enforcer needs to learn that it arrived.
const KNOWN_FOR: i64 = 30 * 86_400;

/// What an enforcer brings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// A random id; the same batch again changes nothing.
    pub batch: String,
    /// The decisions, oldest first.
    pub events: Vec<Decision>,
}

/// One decision of an enforcer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    event: Kind,
    granted: bool,
    rule: Option<String>,
    jti: Option<String>,
    sub: Option<String>,
    act: Option<Actor>,
    client_id: Option<String>,
    task: Option<String>,
    tool: Option<String>,
    resource: ResourceUri,
    rev: Option<Rev>,
    lease_age_ms: Option<u64>,
    #[serde(default)]
    dry_run: bool,
    at: Timestamp,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Enforcement,
}

/// Writes a batch of `enforcer`'s decisions down. When this returns they are durable.
pub async fn record(server: &Server, tenant: &Tenant, enforcer: &str, batch: Batch) -> Result<(), FlowError> {
    check(&batch)?;
    let count = u32::try_from(batch.events.len()).unwrap_or(u32::MAX);
    server.limits.decisions.take_many(&tenant.name, enforcer, count)?;
    for _ in 0..3 {
        let state = tenant.state();
        let own = state.registry.principal(enforcer).ok_or(Refusal::AccessTokenNotAccepted)?;
        // An enforcer speaks for its own resources: it must not fill the record of others.
        if !batch.events.iter().all(|decision| own.resources.contains(&decision.resource)) {
            return Err(Refusal::DecisionOfOtherResource.into());
        }
        let mut events: Vec<_> =
            batch.events.iter().map(|decision| event(enforcer, decision.clone())).collect();
        if events.is_empty() {
            return Ok(());
        }
        let mark = Mark {
            kind: "decision_batch",
            digest: Digest::of_parts(&[enforcer.as_bytes(), batch.batch.as_bytes()]),
            expires_at: server.clock.now().plus(KNOWN_FOR),
            refusal: None,
        };
        let entry = Entry {
            tenant: tenant.name.clone(),
            rev: tenant.view.rev(),
            registry_version: state.registry.version,
            mark: Some(mark),
            mint: None,
            event: events.remove(0),
            more: events,
        };
        match server.journal.record(entry).await? {
            Outcome::Committed | Outcome::Repeated => return Ok(()),
            Outcome::Refused(refusal) => return Err(refusal.into()),
            Outcome::Moved => server.refresh().await?,
        }
    }
    Err(Refusal::Overloaded.into())
}

/// What is written down is short, and rules are names.
fn check(batch: &Batch) -> Result<(), Refusal> {
    let id = (16..=64).contains(&batch.batch.len())
        && batch.batch.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let name = |rule: &String| {
        rule.len() <= 64
            && rule.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    let short = |decision: &Decision| {
        let Decision { jti, sub, client_id, task, tool, .. } = decision;
        let actors = decision.act.iter().flat_map(Actor::chain);
        let texts = [jti, sub, client_id, task, tool].into_iter().flatten().map(String::as_str).chain(actors);
        let rule_told =
            decision.rule.as_ref().is_none_or(name) && decision.granted == decision.rule.is_none();
        rule_told
            && texts.into_iter().all(|text| text.len() <= LONGEST_TEXT)
            && decision.act.iter().flat_map(Actor::chain).count() <= LONGEST_CHAIN
    };
    if id && batch.events.len() <= MOST && batch.events.iter().all(short) {
        Ok(())
    } else {
        Err(Refusal::RequestMalformed)
    }
}

fn event(enforcer: &str, decision: Decision) -> Event {
    let Kind::Enforcement = decision.event;
    let mut detail = json!({ "enforcer": enforcer, "at": decision.at });
    if let Some(tool) = decision.tool {
        detail["tool"] = tool.into();
    }
    if let Some(age) = decision.lease_age_ms {
        detail["lease_age_ms"] = age.into();
    }
    if decision.dry_run {
        detail["dry_run"] = true.into();
    }
    let mut event = Event::new(EventKind::Enforcement, decision.granted);
    event.rule = decision.rule.map(Into::into);
    event.client_id = decision.client_id;
    event.sub = decision.sub;
    event.act = decision.act;
    event.task = decision.task;
    event.jti = decision.jti;
    event.resource = Some(decision.resource.as_str().to_owned());
    event.rev = decision.rev;
    event.detail = Some(detail);
    event
}

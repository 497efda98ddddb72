//! What a person has given, and taking it back (design section 10): the same revocations as an administrator's, of the
//! person's own consents and tasks alone.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::revocation::{self, Order, Revoked};
use super::{FlowError, Server, Tenant, fleet};
use crate::domain::cutoff::ScopeKind;
use crate::domain::refusal::Refusal;
use crate::domain::registry::{Consent, Grantee};
use crate::protocol::claims::Rev;
use crate::protocol::resource::ResourceUri;
use crate::storage::consents::{self, GivenConsent};
use crate::storage::grants;
use crate::storage::sessions::Session;
use crate::storage::tasks::{self, TaskRecord};
use crate::time::Timestamp;

/// Everything that holds in a person's name now.
#[derive(Debug, Default)]
pub struct Overview {
    /// What the person has said yes to.
    pub given: Vec<GivenConsent>,
    /// What an administrator has said yes to for this very person.
    pub by_administrator: Vec<Consent>,
    /// The tasks that run for the person.
    pub tasks: Vec<TaskRecord>,
    /// Where those work that a client runs, by their ids.
    pub resources: HashMap<String, ResourceUri>,
}

/// After how many seconds a withdrawal is in force at the latest, whatever breaks: the longest lease and a second.
pub const LATEST: i64 = 121;

/// What was taken back, as far as it is still known.
#[derive(Debug)]
pub enum Taken {
    /// A consent.
    Consent(TakenConsent),
    /// A task.
    Task(TaskRecord),
}

/// Who may no longer act, and where.
#[derive(Debug)]
pub struct TakenConsent {
    /// The client or agent.
    pub holder: String,
    /// What a client was called when the person said yes; empty for an agent.
    pub client_name: String,
    /// Where.
    pub resource: ResourceUri,
}

/// What a person takes back.
#[derive(Clone, Copy, Debug)]
pub enum Withdrawn<'a> {
    /// A consent, by its id.
    Consent(&'a str),
    /// A task, by its id.
    Task(&'a str),
}

/// How far a withdrawal has come.
#[derive(Clone, Debug)]
pub enum Effect {
    /// It is in force everywhere.
    InForce {
        /// Since when, and after how many milliseconds, if this node has watched.
        watched: Option<(Timestamp, u64)>,
        /// At how many enforcers that have said so. Leases of the others have expired: they decide nothing.
        acknowledged: usize,
    },
    /// Some enforcers have not said so yet.
    Waiting {
        /// How many.
        enforcers: usize,
        /// How many have.
        acknowledged: usize,
    },
}

/// What holds in the name of this session's person.
pub async fn overview(server: &Server, tenant: &Tenant, session: &Session) -> Result<Overview, FlowError> {
    let now = server.clock.now();
    let mut tx = server.db.read().await?;
    let given = consents::of_user(&mut tx, &tenant.name, &session.user, now).await?;
    let running = tasks::of_sub(&mut tx, &tenant.name, &session.user, now).await?;
    // A task below one that has ended has ended with it, though nobody has written that down.
    let ids: std::collections::HashSet<_> = running.iter().map(|task| task.id.clone()).collect();
    let above = |task: &TaskRecord| task.to_task().map(|task| task.ancestors).unwrap_or_default();
    let tasks =
        running.iter().filter(|task| above(task).iter().all(|id| ids.contains(id))).cloned().collect();
    let state = tenant.state();
    let own = |consent: &&Consent| is_own(consent, session) && now < consent.expires_at;
    let by_administrator = state.registry.section.consents.iter().filter(own).cloned().collect();
    let mut resources = HashMap::new();
    for task in running.iter().filter(|task| state.registry.agent(&task.agent).is_none()) {
        if let Some(grant) = grants::find(&mut tx, &tenant.name, &task.id).await? {
            resources.insert(task.id.clone(), grant.resource);
        }
    }
    Ok(Overview { given, by_administrator, tasks, resources })
}

fn is_own(consent: &Consent, session: &Session) -> bool {
    match &consent.user {
        Some(Grantee::User { issuer, subject }) => *issuer == session.issuer && *subject == session.subject,
        _ => false,
    }
}

/// Takes back a consent or ends a task of this session's person; anybody else's is not there. Durable when this returns.
pub async fn withdraw(
    server: &Arc<Server>,
    tenant: &Arc<Tenant>,
    session: &Session,
    what: Withdrawn<'_>,
) -> Result<Revoked, FlowError> {
    let (kind, id) = match what {
        Withdrawn::Consent(id) => (ScopeKind::Consent, id),
        Withdrawn::Task(id) => (ScopeKind::Task, id),
    };
    let (_, over_since) = own(server, tenant, session, what).await?;
    if let Some(at) = over_since {
        // Once is enough: nobody fills the log by pressing a button again.
        let Rev { generation, seq } = tenant.view.rev();
        return Ok(Revoked { generation, seq, at, cutoffs: Vec::new() });
    }
    let order = Order { kind, id, reason: "withdrawn by the person", actor: &session.user };
    let revoked = revocation::revoke(server, tenant, &order).await?;
    watch(server.clone(), tenant.clone(), revoked.clone());
    Ok(revoked)
}

/// What the person has taken back; what goes on, or is anybody else's, is not there.
pub async fn taken_back(
    server: &Server,
    tenant: &Tenant,
    session: &Session,
    what: Withdrawn<'_>,
) -> Result<Taken, FlowError> {
    let (found, over_since) = own(server, tenant, session, what).await?;
    if over_since.is_some() { Ok(found) } else { Err(Refusal::EntryUnknown.into()) }
}

/// What this person has given, and since when it is over, if it is.
async fn own(
    server: &Server,
    tenant: &Tenant,
    session: &Session,
    what: Withdrawn<'_>,
) -> Result<(Taken, Option<Timestamp>), FlowError> {
    let mut tx = server.db.read().await?;
    let found = match what {
        Withdrawn::Consent(id) => {
            let given = consents::find(&mut tx, &tenant.name, id).await?;
            let given = given.filter(|given| given.user == session.user).map(|given| {
                let holder = given.client_id;
                let taken = TakenConsent { holder, client_name: given.client_name, resource: given.resource };
                (taken, given.withdrawn_at)
            });
            // Since when an administrator's is over, only the log knows.
            let listed = || {
                let (consent, is_over) = listed(tenant, session, id)?;
                Some((consent, is_over.then(|| server.clock.now())))
            };
            given.or_else(listed).map(|(consent, over_since)| (Taken::Consent(consent), over_since))
        }
        Withdrawn::Task(id) => {
            let task = tasks::find(&mut tx, &tenant.name, id).await?.filter(|task| task.sub == session.user);
            task.map(|task| {
                let over_since = task.ended_at;
                (Taken::Task(task), over_since)
            })
        }
    };
    found.ok_or_else(|| Refusal::EntryUnknown.into())
}

/// An administrator's consent for this very person, taken back or not.
fn listed(tenant: &Tenant, session: &Session, id: &str) -> Option<(TakenConsent, bool)> {
    let state = tenant.state();
    let consent = state.registry.listed_consent(id).filter(|consent| is_own(consent, session))?;
    let taken = TakenConsent {
        holder: consent.agent.clone(),
        client_name: String::new(),
        resource: consent.resource.clone(),
    };
    Some((taken, state.registry.consent(id).is_none()))
}

/// Waits in the background until it is in force, and remembers since when, for the page that asks.
fn watch(server: Arc<Server>, tenant: Arc<Tenant>, revoked: Revoked) {
    tokio::spawn(async move {
        match fleet::effective_receipt(&server, &tenant, &revoked).await {
            Ok((receipt, _)) => {
                let watched = Some((receipt.effective_at, receipt.effective_after_ms));
                let effect = Effect::InForce { watched, acknowledged: receipt.acknowledged };
                tenant.withdrawals.insert(revoked.seq, effect);
            }
            Err(error) => tracing::warn!(%error, "it could not be told when a withdrawal took effect"),
        }
    });
}

/// How often it is looked whether a withdrawal is in force, before somebody is told to wait: for three seconds, which is longer than
/// it takes unless something is broken.
const LOOKS: usize = 30;
/// How long between two of them.
const PAUSE: Duration = Duration::from_millis(100);

/// How far the withdrawal with this number has come: as soon as it is in force, or after a moment's patience.
pub async fn effect_soon(server: &Server, tenant: &Tenant, seq: u64) -> Result<Effect, FlowError> {
    for _ in 0..LOOKS {
        let effect = effect(server, tenant, seq).await?;
        if matches!(effect, Effect::InForce { .. }) {
            return Ok(effect);
        }
        tokio::time::sleep(PAUSE).await;
    }
    effect(server, tenant, seq).await
}

/// How far it has come by now.
async fn effect(server: &Server, tenant: &Tenant, seq: u64) -> Result<Effect, FlowError> {
    if let Some(effect) = tenant.withdrawals.get(&seq) {
        return Ok(effect);
    }
    if seq > tenant.view.rev().seq {
        // Another node may have written it a moment ago.
        server.refresh().await?;
    }
    let rev = Rev { seq, ..tenant.view.rev() };
    if seq > tenant.view.rev().seq {
        return Err(Refusal::EntryUnknown.into());
    }
    let standing = fleet::stands(server, tenant, &rev).await?;
    Ok(if standing.waiting > 0 {
        Effect::Waiting { enforcers: standing.waiting, acknowledged: standing.acknowledged }
    } else {
        Effect::InForce { watched: None, acknowledged: standing.acknowledged }
    })
}

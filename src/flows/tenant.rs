//! One tenant on this node: its view of the revocation log, its registry, policy and keys.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use moka::sync::Cache;

use super::own_token::Verified;
use super::signing_keys::KeyRing;
use super::{FlowError, Server};
use crate::domain::cutoff::{ScopeKind, Verdict};
use crate::domain::refusal::Refusal;
use crate::domain::registry::{Registry, Status, TenantSection, ended_session};
use crate::enforcer::view::RevocationView;
use crate::jose::is_test_key;
use crate::policy::Policy;
use crate::secret::Digest;
use crate::storage::tenants::Head;
use crate::storage::{StorageError, Tx, cutoffs, registry};

/// What a decision reads beside the log; replaced as a whole when any of it changes.
#[derive(Debug)]
pub struct TenantState {
    /// Who is who.
    pub registry: Registry,
    /// What the operator's policies say.
    pub policy: Policy,
    /// What signs.
    pub keys: KeyRing,
}

/// One tenant.
pub struct Tenant {
    /// Its name.
    pub name: Arc<str>,
    /// Its issuer URL.
    pub issuer: String,
    /// Its view of the revocation log.
    pub view: RevocationView,
    /// Verified claims by digest of the token. Claims are cached, decisions never.
    pub(super) verified: Cache<Digest, Arc<Verified>>,
    state: ArcSwap<TenantState>,
}

/// Memory for verified claims, in bytes: some twenty thousand tokens. What doesn't fit is verified again.
const CACHE_BYTES: u64 = 48 << 20;

/// Entries of the log read at once.
const PAGE: i64 = 10_000;

impl Tenant {
    pub(super) async fn load(
        server: &Server,
        tx: &mut Tx,
        head: &Head,
        known_at: Instant,
    ) -> Result<Self, FlowError> {
        // An hour of margin: this machine's clock may be ahead of the one that wrote the expiry.
        let since = server.clock.now().plus(-3600);
        let live = cutoffs::live(tx, &head.tenant, &head.rev.generation, since).await?;
        Ok(Self {
            name: head.tenant.as_str().into(),
            issuer: server.issuer(&head.tenant),
            view: RevocationView::new(head.rev.clone(), &live, known_at),
            verified: Cache::builder()
                .max_capacity(CACHE_BYTES)
                .weigher(|_, verified: &Arc<Verified>| verified.weight)
                .time_to_live(std::time::Duration::from_secs(330))
                .build(),
            state: ArcSwap::from_pointee(load_state(server, tx, head).await?),
        })
    }

    /// The registry, policy and keys as they stand.
    pub fn state(&self) -> Arc<TenantState> {
        self.state.load_full()
    }

    /// Applies what has happened since. The registry comes before the log: a node that has applied a suspension's
    /// cutoff must not still mint for the suspended.
    pub(super) async fn catch_up(
        &self,
        server: &Server,
        tx: &mut Tx,
        head: &Head,
        known_at: Instant,
    ) -> Result<(), FlowError> {
        if self.state.load().registry.version != head.registry_version {
            self.state.store(Arc::new(load_state(server, tx, head).await?));
        }
        let mut rev = self.view.rev();
        // Another read was faster than this one: going back would bring the revoked to life. If the database itself went
        // back, no read is ever news again, and the node stops deciding when its lease runs out.
        if rev.generation == head.rev.generation && rev.seq > head.rev.seq {
            return Ok(());
        }
        if rev.generation != head.rev.generation {
            let live =
                cutoffs::live(tx, &head.tenant, &head.rev.generation, server.clock.now().plus(-3600)).await?;
            self.view.replace(head.rev.clone(), &live, known_at);
            return Ok(());
        }
        while rev.seq < head.rev.seq {
            let news = cutoffs::after(tx, &head.tenant, &rev, PAGE).await?;
            let Some(last) = news.last() else {
                return Err(StorageError::Damaged(format!(
                    "the revocation log ends before its head {}",
                    head.rev.seq
                ))
                .into());
            };
            rev.seq = last.seq;
            self.view.apply(&news, known_at).map_err(|gap| StorageError::Damaged(gap.to_string()))?;
        }
        self.view.apply(&[], known_at).map_err(|gap| StorageError::Damaged(gap.to_string()))?;
        Ok(())
    }

    /// A node that can't know what is revoked decides nothing.
    pub fn check_fresh(&self, server: &Server) -> Result<(), Refusal> {
        if self.view.age() > server.settings.lease { Err(Refusal::RevocationViewStale) } else { Ok(()) }
    }

    /// Whether a verified token is alive; a view that is behind it catches up first.
    pub(super) async fn is_alive(&self, server: &Server, token: &Verified) -> Result<bool, FlowError> {
        self.check_fresh(server)?;
        match self.view.verdict(&token.claims, token.kid.as_deref()) {
            Verdict::Alive => Ok(true),
            Verdict::Cut(_) | Verdict::OtherLog => Ok(false),
            Verdict::Behind => {
                server.refresh().await?;
                Ok(self.view.verdict(&token.claims, token.kid.as_deref()) == Verdict::Alive)
            }
        }
    }
}

async fn load_state(server: &Server, tx: &mut Tx, head: &Head) -> Result<TenantState, FlowError> {
    let entries = registry::entries(tx, &head.tenant).await?;
    let suspended = registry::suspensions(tx, &head.tenant).await?;
    let damaged = |error: crate::domain::registry::RegistryError| StorageError::Damaged(error.to_string());
    let mut section = TenantSection::from_entries(&head.tenant, entries).map_err(damaged)?;
    let disabled = switch_off(&mut section, &suspended);
    let policy = Policy::compile(section.policies.as_deref()).map_err(damaged)?;
    let registry = Registry::compile(head.registry_version, section, disabled).map_err(damaged)?;
    let keys = KeyRing::load(server, tx, &head.tenant).await?;
    if server.is_production() {
        refuse_test_keys(&registry, &keys)?;
    }
    Ok(TenantState { registry, policy, keys })
}

/// A key that everybody has proves nothing: beyond loopback the server doesn't work with one.
fn refuse_test_keys(registry: &Registry, keys: &KeyRing) -> Result<(), FlowError> {
    let signing = keys.published().iter().any(is_test_key).then_some("a signing key");
    match registry.test_key_holder().or(signing) {
        Some(holder) => {
            Err(FlowError::Invalid(format!("{holder} is one of the test keys in keys/, which everybody has")))
        }
        None => Ok(()),
    }
}

/// Lays what revocation has switched off over what the registry declares. Returns the disabled people.
fn switch_off(section: &mut TenantSection, suspended: &[(ScopeKind, String)]) -> HashSet<String> {
    let off = |kind: ScopeKind, id: &str| suspended.iter().any(|(other, name)| *other == kind && name == id);
    for agent in &mut section.agents {
        if off(ScopeKind::Agent, &agent.agent) || off(ScopeKind::Client, &agent.agent) {
            agent.status = Status::Suspended;
        }
    }
    for client in &mut section.clients {
        if off(ScopeKind::Client, &client.client) {
            client.status = Status::Suspended;
        }
    }
    for enforcer in &mut section.enforcers {
        if off(ScopeKind::Client, &enforcer.enforcer) {
            enforcer.status = Status::Suspended;
        }
    }
    for resource in &mut section.resources {
        let uri = resource.resource.as_str().to_owned();
        if off(ScopeKind::Resource, &uri) {
            resource.status = Status::Suspended;
        }
        for tool in &mut resource.tools {
            tool.disabled |= off(ScopeKind::Tool, &format!("{uri}#{}", tool.name));
        }
    }
    section.consents.retain(|consent| !off(ScopeKind::Consent, &consent.consent));
    let people = |(kind, id): &(ScopeKind, String)| match kind {
        ScopeKind::User => Some(id.clone()),
        ScopeKind::Session => Some(ended_session(id)),
        _ => None,
    };
    suspended.iter().filter_map(people).collect()
}

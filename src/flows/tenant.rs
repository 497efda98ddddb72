//! One tenant on this node: its view of the revocation log, its registry, policy and keys.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use moka::sync::Cache;
use tokio::sync::Notify;

use super::account::Effect;
use super::feed::{Piece, lock};
use super::own_token::Verified;
use super::signing_keys::KeyRing;
use super::{FlowError, Server};
use crate::domain::cutoff::{Cut, CutoffSet, ScopeKind, Stretch, Verdict};
use crate::domain::lease::Leases;
use crate::domain::refusal::Refusal;
use crate::domain::registry::{
    IdentityProvider, Registry, Status, TenantSection, ended_session, revoked_client,
};
use crate::enforcer::view::RevocationView;
use crate::jose::is_test_key;
use crate::policy::Policy;
use crate::protocol::claims::Rev;
use crate::secret::Digest;
use crate::storage::tenants::Head;
use crate::storage::{StorageError, Tx, cutoffs, registry, tenants};
use crate::time::{Timestamp, Uptime};

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

/// The identity provider of `serve --dev`: nobody proves anything to it.
pub const DEVELOPMENT: &str = "dev";

impl TenantState {
    /// Whether people who came through this identity provider are still let in.
    pub(super) fn trusts(&self, idp: &str, development: bool) -> bool {
        let providers = &self.registry.section.identity_providers;
        let active = |provider: &IdentityProvider| provider.id == idp && provider.status == Status::Active;
        if idp == DEVELOPMENT { development } else { providers.iter().any(active) }
    }
}

/// One tenant.
pub struct Tenant {
    /// Its name.
    pub name: Arc<str>,
    /// Its issuer URL.
    pub issuer: String,
    /// Its view of the revocation log.
    pub view: RevocationView,
    /// The leases that this node has granted to enforcers.
    pub(super) leases: Mutex<Leases>,
    /// Told whenever an enforcer has said how far it has come.
    pub(super) acknowledged: Notify,
    /// When the leases were last reported to the other nodes.
    pub(super) reported: Mutex<Option<Uptime>>,
    /// Pieces of the log as they go down the streams: made once for all who lack the same.
    pub(super) rendered: Cache<Piece, Bytes>,
    /// The newest signed word on how far the log has come.
    pub(super) head_proof: ArcSwapOption<(Rev, String)>,
    /// Verified claims by digest of the token. Claims are cached, decisions never.
    pub(super) verified: Cache<Digest, Arc<Verified>>,
    /// When people's latest withdrawals took effect, by their number in the log.
    pub(super) withdrawals: Cache<u64, Effect>,
    state: ArcSwap<TenantState>,
}

/// Memory for verified claims, in bytes: some twenty thousand tokens. What doesn't fit is verified again.
const CACHE_BYTES: u64 = 48 << 20;

/// Memory for pieces of the log on their way down the streams, in bytes.
const RENDERED_BYTES: u64 = 16 << 20;

/// Entries of the log read at once.
const PAGE: i64 = 10_000;

impl Tenant {
    pub(super) async fn load(
        server: &Server,
        tx: &mut Tx,
        head: &Head,
        known_at: Uptime,
    ) -> Result<Self, FlowError> {
        Ok(Self {
            name: head.tenant.as_str().into(),
            issuer: server.issuer(&head.tenant),
            view: RevocationView::new(read_log(server, tx, head).await?, known_at),
            leases: Mutex::new(Leases::of(&head.rev.generation)),
            acknowledged: Notify::new(),
            reported: Mutex::default(),
            rendered: Cache::builder()
                .max_capacity(RENDERED_BYTES)
                .weigher(|_, bytes: &Bytes| u32::try_from(bytes.len() + 256).unwrap_or(u32::MAX))
                .time_to_live(std::time::Duration::from_secs(10))
                .build(),
            head_proof: ArcSwapOption::empty(),
            verified: Cache::builder()
                .max_capacity(CACHE_BYTES)
                .weigher(|_, verified: &Arc<Verified>| verified.weight)
                .time_to_live(std::time::Duration::from_secs(330))
                .build(),
            withdrawals: Cache::new(1000),
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
        known_at: Uptime,
    ) -> Result<(), FlowError> {
        let mut rev = self.view.rev();
        let other_log = rev.generation != head.rev.generation;
        // A log that was given another name knows the old one. One that doesn't is older than what this node follows.
        if other_log && !tenants::former_generations(tx, &self.name).await?.contains(&rev.generation) {
            return Err(FlowError::SetBack(rev));
        }
        // In a database that was set back, an old number can stand for another registry.
        if other_log || self.state.load().registry.version != head.registry_version {
            self.state.store(Arc::new(load_state(server, tx, head).await?));
        }
        if other_log {
            let log = read_log(server, tx, head).await?;
            self.view
                .start_over(log, Some(known_at))
                .map_err(|error| StorageError::Damaged(error.to_string()))?;
            lock(&self.leases).start_over(&head.rev.generation);
            return Ok(());
        }
        // Reads take turns, so an older one can't come after a newer one: the database itself has gone back. Going back
        // with it would bring the revoked to life; what this node knows is the proof by which the log gets another name.
        if rev.seq > head.rev.seq {
            return Err(FlowError::SetBack(rev));
        }
        while rev.seq < head.rev.seq {
            let news = cutoffs::after(tx, &head.tenant, &rev, PAGE).await?;
            let stretch = Stretch::whole(rev.seq, news.iter().map(Cut::from).collect());
            let stretch = stretch.map_err(|error| StorageError::Damaged(error.to_string()))?;
            if stretch.seq == rev.seq {
                let why = format!("the revocation log ends before its head {}", head.rev.seq);
                return Err(StorageError::Damaged(why).into());
            }
            rev.seq = stretch.seq;
            let applied = self.view.apply(&stretch, server.clock.uptime());
            applied.map_err(|error| StorageError::Damaged(error.to_string()))?;
        }
        self.view.confirm(known_at);
        Ok(())
    }

    /// A node that can't know what is revoked decides nothing.
    pub fn check_fresh(&self, server: &Server) -> Result<(), Refusal> {
        let fresh = self.view.is_fresh(server.settings.lease, server.clock.uptime());
        if fresh { Ok(()) } else { Err(Refusal::RevocationViewStale) }
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

/// The log as the database has it. What is left out at its beginning is older than any token.
async fn read_log(server: &Server, tx: &mut Tx, head: &Head) -> Result<CutoffSet, FlowError> {
    // An hour of margin: this machine's clock may be ahead of the one that wrote the expiry.
    let since = server.clock.now().plus(-3600);
    let live = cutoffs::live(tx, &head.tenant, &head.rev.generation, since).await?;
    let floor = live.first().map_or(head.rev.seq, |first| first.seq - 1);
    let cuts = live.iter().filter(|cutoff| cutoff.seq <= head.rev.seq).map(Cut::from).collect();
    let set = CutoffSet::restore(head.rev.clone(), floor, cuts, server.clock.uptime().seconds());
    Ok(set.map_err(|error| StorageError::Damaged(error.to_string()))?)
}

async fn load_state(server: &Server, tx: &mut Tx, head: &Head) -> Result<TenantState, FlowError> {
    let entries = registry::entries(tx, &head.tenant).await?;
    let suspended = registry::suspensions(tx, &head.tenant).await?;
    let damaged = |error: crate::domain::registry::RegistryError| StorageError::Damaged(error.to_string());
    let mut section = TenantSection::from_entries(&head.tenant, entries).map_err(damaged)?;
    let disabled = switch_off(&mut section, &suspended);
    let policy = Policy::compile(section.policies.as_deref()).map_err(damaged)?;
    let mut registry = Registry::compile(head.registry_version, section, disabled).map_err(damaged)?;
    registry.logged_out = logged_out(&suspended);
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

/// What is switched off, and since when.
type Suspension = (ScopeKind, String, Timestamp);

/// People whose provider has logged them out of everything, and when: in the place of a session stands the person.
fn logged_out(suspended: &[Suspension]) -> HashMap<String, Timestamp> {
    let people =
        suspended.iter().filter(|(kind, id, _)| *kind == ScopeKind::Session && id.starts_with("usr_"));
    people.map(|(_, id, at)| (id.clone(), *at)).collect()
}

/// Lays what revocation has switched off over what the registry declares. Returns who has no entry there: people, their sessions, and
/// clients, for those among them that nobody registered.
fn switch_off(section: &mut TenantSection, suspended: &[Suspension]) -> HashSet<String> {
    let off =
        |kind: ScopeKind, id: &str| suspended.iter().any(|(other, name, _)| *other == kind && name == id);
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
    (section.withdrawn_consents, section.consents) = std::mem::take(&mut section.consents)
        .into_iter()
        .partition(|consent| off(ScopeKind::Consent, &consent.consent));
    let people = |(kind, id, _): &Suspension| match kind {
        ScopeKind::User => Some(id.clone()),
        ScopeKind::Session => Some(ended_session(id)),
        ScopeKind::Client => Some(revoked_client(id)),
        _ => None,
    };
    suspended.iter().filter_map(people).collect()
}

//! What every flow works with.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use moka::sync::Cache;
use tokio_util::sync::CancellationToken;

use super::fleet::Peers;
use super::tenant::Tenant;
use super::{FlowError, Limits, restore};
use crate::domain::authorization::REQUEST_LIFETIME;
use crate::domain::task::TaskLimits;
use crate::entropy::Entropy;
use crate::protocol::claims::Rev;
use crate::storage::journal::Journal;
use crate::storage::tenants::{self, Head};
use crate::storage::wrapping::WrappingKey;
use crate::storage::{Db, StorageError, Tx};
use crate::time::{Clock, Uptime};
use crate::upstream::{ClientDocuments, Keys};

/// What an operator sets.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The URL under which the world reaches this server; issuer URLs come from it, never from a request.
    pub public_url: String,
    /// How old this node's own view of the revocation log may be before it refuses to decide.
    pub lease: Duration,
    /// Bounds of tasks.
    pub tasks: TaskLimits,
    /// How long a signing key is used, in seconds.
    pub key_lifetime: i64,
    /// How long a new key is published before it signs, in seconds.
    pub key_publication: i64,
    /// Whether the people of the registry may sign in by a click, without any proof.
    pub development: bool,
    /// Where the files lie that the registry names.
    pub data_dir: PathBuf,
}

/// One node. Nothing in it is the truth: everything can be read again from the database.
pub struct Server {
    /// What the operator set.
    pub settings: Settings,
    /// The database.
    pub db: Db,
    /// The way to durable decisions.
    pub journal: Journal,
    /// The time.
    pub clock: Clock,
    /// Chance.
    pub entropy: Entropy,
    /// Keys that are published elsewhere.
    pub keys: Keys,
    /// What clients publish about themselves.
    pub documents: ClientDocuments,
    /// The key that wraps signing keys.
    pub wrapping: WrappingKey,
    /// How often anybody may ask.
    pub limits: Limits,
    /// People whose row is known to be written: `tenant usr_…`.
    pub(super) seen_users: Cache<String, ()>,
    /// This process among the nodes that share the database; a restarted one is another.
    pub(super) node: String,
    /// Rises with each report on its leases.
    pub(super) beat: AtomicU64,
    /// When the other nodes were last heard of.
    pub(super) peers: std::sync::Mutex<Peers>,
    /// Cancelled when the node stops: streams end then.
    pub stopping: CancellationToken,
    tenants: RwLock<HashMap<String, Arc<Tenant>>>,
    /// Held while this node's leases are reported to the others.
    pub(super) reporting: tokio::sync::Mutex<()>,
    /// Held while the database is read to catch up; from when the knowledge is that the last one gained.
    refreshing: tokio::sync::Mutex<Option<Uptime>>,
}

impl Server {
    /// A node without tenants; [`Server::refresh`] loads them.
    pub fn new(
        settings: Settings,
        db: Db,
        journal: Journal,
        clock: Clock,
        ((keys, documents), wrapping, limits): ((Keys, ClientDocuments), WrappingKey, Limits),
    ) -> Self {
        let entropy = Entropy::default();
        Self {
            node: entropy.ordered_id("node", clock.now()),
            beat: AtomicU64::new(0),
            peers: std::sync::Mutex::default(),
            stopping: CancellationToken::new(),
            settings,
            db,
            journal,
            clock,
            entropy,
            keys,
            documents,
            wrapping,
            limits,
            seen_users: Cache::new(100_000),
            tenants: RwLock::default(),
            reporting: tokio::sync::Mutex::default(),
            refreshing: tokio::sync::Mutex::default(),
        }
    }

    /// The tenant of that name.
    pub fn tenant(&self, name: &str) -> Option<Arc<Tenant>> {
        self.tenants.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Every tenant.
    pub fn tenants(&self) -> Vec<Arc<Tenant>> {
        self.tenants.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Whether anybody but this machine can reach the server: plain http is for loopback alone.
    pub fn is_production(&self) -> bool {
        self.settings.public_url.starts_with("https://")
    }

    /// The issuer URL of a tenant.
    pub fn issuer(&self, tenant: &str) -> String {
        match tenant {
            "main" => self.settings.public_url.clone(),
            other => format!("{}/t/{other}", self.settings.public_url),
        }
    }

    /// Creates a tenant with its log, its chain and its first signing key, unless it is there.
    pub async fn create_tenant(&self, name: &str) -> Result<bool, FlowError> {
        let mut tx = self.db.write_in_any_room().await?;
        let generation = crate::domain::cutoff::generation(&self.entropy);
        let created = tenants::create(&mut tx, name, &generation, self.clock.now()).await?;
        tx.commit().await?;
        self.refresh().await?;
        Ok(created)
    }

    /// Brings every tenant up to date with the database: its log, its registry, its keys. Knowledge counts from before
    /// the read was sent.
    pub async fn refresh(&self) -> Result<(), FlowError> {
        // One at a time, and read only when it is this one's turn: a snapshot that was taken before another refresh
        // applied a newer one would look like a log that was set back, and put a revoked token back into force.
        let asked_at = self.clock.uptime();
        let mut refreshed = self.refreshing.lock().await;
        if refreshed.is_some_and(|known_at| known_at > asked_at) {
            return Ok(());
        }
        let known_at = self.clock.uptime();
        let set_back = self.read_news(known_at).await?;
        for (tenant, known) in &set_back {
            restore::rename_if_set_back(self, tenant, known).await?;
        }
        if !set_back.is_empty() {
            self.read_news(known_at).await?;
        }
        *refreshed = Some(known_at);
        Ok(())
    }

    /// Brings every tenant up to date; those whose log in the database is shorter than here come back.
    async fn read_news(&self, known_at: Uptime) -> Result<Vec<(String, Rev)>, FlowError> {
        let mut tx = self.db.control_read().await?;
        let heads = tenants::heads(&mut tx).await?;
        let (mut first_error, mut set_back) = (None, Vec::new());
        for head in heads {
            match self.refresh_one(&mut tx, &head, known_at).await {
                Ok(()) => {}
                Err(FlowError::SetBack(rev)) => set_back.push((head.tenant, rev)),
                // One tenant that can't be read must not make the others stale.
                Err(error) => {
                    tracing::error!(tenant = %head.tenant, %error, "a tenant could not be brought up to date");
                    first_error = first_error.or(Some(error));
                }
            }
        }
        if let Some(error) = first_error {
            return Err(error);
        }
        tx.commit().await?;
        Ok(set_back)
    }

    async fn refresh_one(&self, tx: &mut Tx, head: &Head, known_at: Uptime) -> Result<(), FlowError> {
        if let Some(tenant) = self.tenant(&head.tenant) {
            return tenant.catch_up(self, tx, head, known_at).await;
        }
        let tenant = Tenant::load(self, tx, head, known_at).await?;
        let mut tenants = self.tenants.write().unwrap_or_else(PoisonError::into_inner);
        tenants.insert(head.tenant.clone(), Arc::new(tenant));
        Ok(())
    }

    /// Forgets what nothing valid can carry any more.
    pub async fn prune(&self) -> Result<(), StorageError> {
        // A day, for records of tokens and for marks: a node whose clock is hours ahead must not forget what others rely on.
        const DAY: i64 = 86_400;
        // What anybody can make us keep is kept no longer than it must.
        const HOUR: i64 = 3600;
        let now = self.clock.now();
        let mut tx = self.db.write_in_any_room().await?;
        crate::storage::marks::prune(&mut tx, now.plus(-DAY)).await?;
        for tenant in self.tenants() {
            let before = self.entropy.ordered_id("tok", now.plus(-DAY));
            crate::storage::tokens::prune(&mut tx, &tenant.name, &before).await?;
            crate::storage::leases::prune(&mut tx, &tenant.name, now.plus(-DAY)).await?;
            crate::storage::grants::prune(&mut tx, &tenant.name, now.plus(-DAY)).await?;
            crate::storage::sessions::prune(&mut tx, &tenant.name, now.plus(-DAY)).await?;
            // Long enough to tell a person, or an auditor, what it was.
            crate::storage::consents::prune(&mut tx, &tenant.name, now.plus(-90 * DAY)).await?;
            crate::storage::clients::prune(&mut tx, &tenant.name, now.plus(-DAY)).await?;
            // Far longer than any identity provider's token of an ended session is valid.
            crate::storage::registry::prune_sessions(&mut tx, &tenant.name, now.plus(-90 * DAY)).await?;
        }
        // A pushed one is answered by the request that a browser opened with it, as long as that waits.
        crate::storage::requests::prune(&mut tx, now.plus(-REQUEST_LIFETIME)).await?;
        crate::storage::logins::prune(&mut tx, now.plus(-HOUR)).await?;
        tx.commit().await
    }
}

//! What every flow works with.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use moka::sync::Cache;

use super::FlowError;
use super::tenant::Tenant;
use crate::domain::task::TaskLimits;
use crate::entropy::Entropy;
use crate::storage::journal::Journal;
use crate::storage::wrapping::WrappingKey;
use crate::storage::{Db, StorageError, tenants};
use crate::time::{Clock, monotonic};
use crate::upstream::Keys;

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
    /// The key that wraps signing keys.
    pub wrapping: WrappingKey,
    /// People whose row is known to be written: `tenant usr_…`.
    pub(super) seen_users: Cache<String, ()>,
    tenants: RwLock<HashMap<String, Arc<Tenant>>>,
}

impl Server {
    /// A node without tenants; [`Server::refresh`] loads them.
    pub fn new(
        settings: Settings,
        db: Db,
        journal: Journal,
        clock: Clock,
        (keys, wrapping): (Keys, WrappingKey),
    ) -> Self {
        Self {
            settings,
            db,
            journal,
            clock,
            entropy: Entropy::default(),
            keys,
            wrapping,
            seen_users: Cache::new(100_000),
            tenants: RwLock::default(),
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
        let mut tx = self.db.write().await?;
        let generation = crate::domain::cutoff::generation(&self.entropy);
        let created = tenants::create(&mut tx, name, &generation, self.clock.now()).await?;
        tx.commit().await?;
        self.refresh().await?;
        Ok(created)
    }

    /// Brings every tenant up to date with the database: its log, its registry, its keys. Knowledge counts from before
    /// the read was sent.
    pub async fn refresh(&self) -> Result<(), FlowError> {
        let known_at = monotonic();
        let mut tx = self.db.read().await?;
        let heads = tenants::heads(&mut tx).await?;
        for head in heads {
            if let Some(tenant) = self.tenant(&head.tenant) {
                tenant.catch_up(self, &mut tx, &head, known_at).await?;
                continue;
            }
            let tenant = Tenant::load(self, &mut tx, &head, known_at).await?;
            let mut tenants = self.tenants.write().unwrap_or_else(PoisonError::into_inner);
            tenants.insert(head.tenant.clone(), Arc::new(tenant));
        }
        tx.commit().await?;
        Ok(())
    }

    /// Forgets what nothing valid can carry any more.
    pub async fn prune(&self) -> Result<(), StorageError> {
        // Records of tokens are kept a day; marks ten minutes past their expiry, so that a clock stepping back brings
        // nothing back.
        const DAY: i64 = 86_400;
        const TEN_MINUTES: i64 = 600;
        let now = self.clock.now();
        let mut tx = self.db.write().await?;
        crate::storage::tokens::prune_marks(&mut tx, now.plus(-TEN_MINUTES)).await?;
        for tenant in self.tenants() {
            let before = self.entropy.ordered_id("tok", now.plus(-DAY));
            crate::storage::tokens::prune(&mut tx, &tenant.name, &before).await?;
        }
        tx.commit().await
    }
}

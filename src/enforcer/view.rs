//! The revocation view: the cutoffs a verifier knows of, and how fresh that knowledge is.

use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::domain::cutoff::{Cutoff, CutoffSet, Gap, Verdict};
use crate::protocol::claims::{AccessTokenClaims, Rev};
use crate::time::monotonic;

/// A shared view of one tenant's revocation log.
#[derive(Debug)]
pub struct RevocationView {
    started: Instant,
    inner: RwLock<Inner>,
}

#[derive(Debug)]
struct Inner {
    set: CutoffSet,
    /// When the read that brought the newest knowledge was **sent**; what happened since is unknown.
    known_at: Instant,
}

impl RevocationView {
    /// A view of a log at `rev`, with the entries that can still hit a token, as known at `known_at`.
    pub fn new(rev: Rev, live: &[Cutoff], known_at: Instant) -> Self {
        let view = Self {
            started: monotonic(),
            inner: RwLock::new(Inner { set: CutoffSet::new(rev.clone()), known_at }),
        };
        view.replace(rev, live, known_at);
        view
    }

    fn uptime(&self) -> u64 {
        monotonic().saturating_duration_since(self.started).as_secs()
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far the view has come.
    pub fn rev(&self) -> Rev {
        self.read().set.rev().clone()
    }

    /// How old its knowledge is.
    pub fn age(&self) -> Duration {
        monotonic().saturating_duration_since(self.read().known_at)
    }

    /// How many live entries it holds.
    pub fn len(&self) -> usize {
        self.read().set.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Applies entries in order. A gap leaves everything before it applied, and the knowledge as old as it was.
    pub fn apply(&self, entries: &[Cutoff], known_at: Instant) -> Result<(), Gap> {
        let uptime = self.uptime();
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        for cutoff in entries {
            inner.set.apply(cutoff, uptime)?;
        }
        inner.set.purge(uptime);
        inner.known_at = inner.known_at.max(known_at);
        Ok(())
    }

    /// Starts over from a snapshot: another log, or one that was missed too far.
    pub fn replace(&self, rev: Rev, live: &[Cutoff], known_at: Instant) {
        let uptime = self.uptime();
        let mut set = CutoffSet::new(rev);
        for cutoff in live {
            set.insert(cutoff, uptime);
        }
        *self.inner.write().unwrap_or_else(PoisonError::into_inner) = Inner { set, known_at };
    }

    /// Whether a token is dead.
    pub fn verdict(&self, claims: &AccessTokenClaims, kid: Option<&str>) -> Verdict {
        self.read().set.verdict(claims, kid)
    }

    /// Whether calls of `tool` at `resource` are cut.
    pub fn is_tool_cut(&self, resource: &str, tool: &str) -> bool {
        self.read().set.is_tool_cut(resource, tool)
    }
}

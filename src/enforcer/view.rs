//! The revocation view: the cutoffs a verifier knows of, and how fresh that knowledge is.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use tokio::sync::watch;

use crate::domain::cutoff::{Cut, CutoffSet, LogError, Stretch, Verdict};
use crate::domain::feed::Visibility;
use crate::protocol::claims::{AccessTokenClaims, Rev};
use crate::time::Uptime;

/// A shared view of one tenant's revocation log. The server's nodes and every enforcer decide by one of these.
#[derive(Debug)]
pub struct RevocationView {
    inner: RwLock<Inner>,
    /// Changes whenever the view does.
    news: watch::Sender<Rev>,
}

#[derive(Debug)]
struct Inner {
    set: CutoffSet,
    /// When the read that brought the newest knowledge was **sent**; what happened since is unknown.
    known_at: Option<Uptime>,
}

/// What the view says about a token at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The view is older than the lease allows: nobody can tell.
    Stale,
    /// The view is fresh, and says this.
    Known(Verdict),
}

/// A snapshot is older than what is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the snapshot is older than what is known of the revocation log")]
pub struct Older;

impl RevocationView {
    /// A view that knows nothing, and is stale until it learns something.
    pub fn unknown() -> Self {
        let rev = Rev { generation: String::new(), seq: 0 };
        Self {
            news: watch::Sender::new(rev.clone()),
            inner: RwLock::new(Inner { set: CutoffSet::new(rev), known_at: None }),
        }
    }

    /// A view of a log, as it was known at `known_at`.
    pub fn new(set: CutoffSet, known_at: Uptime) -> Self {
        let news = watch::Sender::new(set.rev().clone());
        Self { inner: RwLock::new(Inner { set, known_at: Some(known_at) }), news }
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far the view has come.
    pub fn rev(&self) -> Rev {
        self.read().set.rev().clone()
    }

    /// How old its knowledge is at `now`; nothing if it has none.
    pub fn age(&self, now: Uptime) -> Option<Duration> {
        self.read().known_at.map(|known_at| now.since(known_at))
    }

    /// Whether its knowledge is no older than `lease` at `now`.
    pub fn is_fresh(&self, lease: Duration, now: Uptime) -> bool {
        self.age(now).is_some_and(|age| age <= lease)
    }

    /// How many live entries it holds.
    pub fn len(&self) -> usize {
        self.read().set.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The newest entry that it can no longer tell of.
    pub fn floor(&self) -> u64 {
        self.read().set.floor()
    }

    /// Changes whenever the view learns of entries.
    pub fn news(&self) -> watch::Receiver<Rev> {
        self.news.subscribe()
    }

    /// Applies a stretch of the log, which makes the view no fresher.
    ///
    /// # Errors
    /// The stretch doesn't follow on what is known; nothing is applied then.
    pub fn apply(&self, stretch: &Stretch, now: Uptime) -> Result<(), LogError> {
        let mut inner = self.write();
        let before = inner.set.rev().seq;
        inner.set.apply(stretch, now.seconds())?;
        inner.set.purge(now.seconds());
        let rev = inner.set.rev().clone();
        drop(inner);
        if rev.seq != before {
            self.news.send_replace(rev);
        }
        Ok(())
    }

    /// Everything that was committed before `known_at` has been applied.
    pub fn confirm(&self, known_at: Uptime) {
        let mut inner = self.write();
        inner.known_at = Some(inner.known_at.map_or(known_at, |before| before.max(known_at)));
    }

    /// Starts over from a snapshot: of another log, or of this one where too much was missed. Of this log it only goes
    /// forward, and what is known stays as fresh as it was; another log is as fresh as `known_at`.
    ///
    /// # Errors
    /// The snapshot is older than what is known: going back would bring the revoked to life.
    pub fn start_over(&self, set: CutoffSet, known_at: Option<Uptime>) -> Result<(), Older> {
        let rev = set.rev().clone();
        let mut inner = self.write();
        let same_log = inner.set.rev().generation == rev.generation;
        if same_log && rev.seq < inner.set.rev().seq {
            return Err(Older);
        }
        let known_at = if same_log { inner.known_at } else { known_at };
        *inner = Inner { set, known_at };
        drop(inner);
        self.news.send_replace(rev);
        Ok(())
    }

    /// What the view says about a token at `now`, if it is no older than `lease`.
    pub fn decide(
        &self,
        claims: &AccessTokenClaims,
        kid: Option<&str>,
        lease: Duration,
        now: Uptime,
    ) -> Decision {
        let inner = self.read();
        match inner.known_at {
            Some(known_at) if now.since(known_at) <= lease => Decision::Known(inner.set.verdict(claims, kid)),
            _ => Decision::Stale,
        }
    }

    /// Whether a token is dead, however old the view is.
    pub fn verdict(&self, claims: &AccessTokenClaims, kid: Option<&str>) -> Verdict {
        self.read().set.verdict(claims, kid)
    }

    /// Whether calls of `tool` at the token's resource are cut.
    pub fn is_tool_cut(&self, claims: &AccessTokenClaims, tool: &str) -> bool {
        self.read().set.is_tool_cut(claims, tool)
    }

    /// What somebody who sees this much lacks after `seq`, and the log it is of; no stretch if that is forgotten already.
    pub fn after(&self, seq: u64, sees: &Visibility) -> (Rev, Option<Stretch>) {
        let inner = self.read();
        let rev = inner.set.rev().clone();
        let visible =
            |cuts: &mut dyn Iterator<Item = &Cut>| cuts.filter(|cut| sees.shows(cut)).cloned().collect();
        let known = inner.set.after(seq).filter(|_| seq <= rev.seq);
        let stretch = known.map(|mut cuts| Stretch { prev: seq, seq: rev.seq, cutoffs: visible(&mut cuts) });
        (rev, stretch)
    }
}

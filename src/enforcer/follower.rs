//! The enforcer's side of the revocation protocol, without any network: what it asks, and what an answer changes.
//!
//! Freshness counts from when a lease request was **sent**. The server reads the head of its log after the request
//! arrived, so whatever was committed before it was sent is in the answer, however long that was on its way. A stream
//! brings news sooner and makes nothing fresher.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::view::{Decision, RevocationView};
use crate::domain::cutoff::{CutoffSet, LogError, Stretch};
use crate::domain::feed::{LeaseAnswer, LeaseRequest, Snapshot};
use crate::protocol::claims::{AccessTokenClaims, Rev};
use crate::time::{Clock, Timestamp, Uptime};

/// Requests whose answers may still come.
const OUTSTANDING: usize = 8;

/// Why a message changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FollowError {
    /// An answer to nothing that was asked: replayed, forged, or too late.
    #[error("the answer is to no question of ours")]
    Unasked,
    /// It is about another tenant's log.
    #[error("the message is about another tenant")]
    OtherTenant,
    /// It is about another log: start over from a snapshot.
    #[error("the log has been replaced")]
    OtherLog,
    /// The server's log is shorter than what we have applied: its database was set back. What we know stays, and nothing
    /// makes it fresh until the log has another name.
    #[error("the server's revocation log has been set back")]
    SetBack,
    /// Entries are missing or out of order: ask for a lease, which brings them.
    #[error(transparent)]
    Log(#[from] LogError),
}

#[derive(Debug)]
struct Asked {
    nonce: String,
    sent: Uptime,
    rev: Rev,
}

/// One process of an enforcer following the log of its tenant.
#[derive(Debug)]
pub struct Follower {
    tenant: Mutex<Option<String>>,
    instance: String,
    lease: Duration,
    view: RevocationView,
    asked: Mutex<Vec<Asked>>,
    head_proof: Mutex<Option<String>>,
    /// The issuer's time, as of one of our own moments.
    issuer_time: Mutex<Option<(Timestamp, Uptime)>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Follower {
    /// A follower that knows nothing yet. `instance` names this process; `lease` is how long it relies on an answer.
    pub fn new(instance: String, lease: Duration) -> Self {
        Self {
            tenant: Mutex::default(),
            instance,
            lease,
            view: RevocationView::unknown(),
            asked: Mutex::default(),
            head_proof: Mutex::default(),
            issuer_time: Mutex::default(),
        }
    }

    /// What it knows.
    pub fn view(&self) -> &RevocationView {
        &self.view
    }

    /// How long it relies on an answer.
    pub fn lease(&self) -> Duration {
        self.lease
    }

    /// Whether a snapshot has been read, so that a lease can be asked for.
    pub fn has_begun(&self) -> bool {
        lock(&self.tenant).is_some()
    }

    /// Begins, or starts over, from a snapshot whose signature has been verified. It makes nothing fresh.
    ///
    /// # Errors
    /// The snapshot is another tenant's, older than what is known, or not in order.
    pub fn start_over(&self, snapshot: Snapshot, now: Uptime) -> Result<(), FollowError> {
        let mut tenant = lock(&self.tenant);
        if tenant.as_ref().is_some_and(|known| *known != snapshot.tenant) {
            return Err(FollowError::OtherTenant);
        }
        let rev = Rev { generation: snapshot.generation, seq: snapshot.seq };
        let set = CutoffSet::restore(rev, snapshot.floor, snapshot.cutoffs, now.seconds())?;
        self.view.start_over(set, None).map_err(|_| FollowError::SetBack)?;
        // No answer to what was asked before may make fresh what is known now.
        lock(&self.asked).clear();
        *tenant = Some(snapshot.tenant);
        Ok(())
    }

    /// The question to send now; `nonce` is random. Nothing before the first snapshot.
    pub fn ask(&self, nonce: String, now: Uptime) -> Option<LeaseRequest> {
        self.has_begun().then(|| {
            let rev = self.view.rev();
            let mut asked = lock(&self.asked);
            if asked.len() >= OUTSTANDING {
                asked.remove(0);
            }
            asked.push(Asked { nonce: nonce.clone(), sent: now, rev: rev.clone() });
            LeaseRequest {
                generation: rev.generation,
                applied_seq: rev.seq,
                nonce,
                instance: self.instance.clone(),
                lease_seconds: self.lease.as_secs(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                head_proof: lock(&self.head_proof).clone(),
            }
        })
    }

    /// An answer has come: what it brings is applied, and the view is as fresh as the question was when it was sent.
    ///
    /// # Errors
    /// The answer changes nothing, for this reason.
    pub fn answered(&self, answer: &LeaseAnswer, now: Uptime) -> Result<(), FollowError> {
        let asked = {
            let mut asked = lock(&self.asked);
            let at =
                asked.iter().position(|asked| asked.nonce == answer.nonce).ok_or(FollowError::Unasked)?;
            asked.remove(at)
        };
        if lock(&self.tenant).as_ref() != Some(&answer.tenant) {
            return Err(FollowError::OtherTenant);
        }
        if answer.generation != asked.rev.generation || answer.generation != self.view.rev().generation {
            return Err(FollowError::OtherLog);
        }
        if answer.head_seq < asked.rev.seq {
            return Err(FollowError::SetBack);
        }
        self.view.apply(&answer.stretch(asked.rev.seq), now)?;
        self.view.confirm(asked.sent);
        self.hear_time((answer.at, asked.sent), now);
        if answer.head_proof.is_some() {
            lock(&self.head_proof).clone_from(&answer.head_proof);
        }
        Ok(())
    }

    /// The stream has brought a stretch of the log.
    ///
    /// # Errors
    /// It doesn't follow on what is known.
    pub fn streamed(&self, generation: &str, stretch: &Stretch, now: Uptime) -> Result<(), FollowError> {
        if generation != self.view.rev().generation {
            return Err(FollowError::OtherLog);
        }
        Ok(self.view.apply(stretch, now)?)
    }

    /// The issuer has told its time, to a question that was sent at that moment. An answer that was long on its way makes
    /// it look later than it is; what was heard before may then be nearer.
    fn hear_time(&self, told: (Timestamp, Uptime), now: Uptime) {
        const PROMPT: Duration = Duration::from_secs(2);
        let mut held = lock(&self.issuer_time);
        let late = now.since(told.1) > PROMPT;
        let nearer = held.filter(|held| late && carried_on(*held, now) < carried_on(told, now));
        *held = Some(nearer.unwrap_or(told));
    }

    /// The time by which tokens are judged: the issuer's as it was told last, carried on by a clock that only runs
    /// forward. It is ahead by at most the time that the answer took and a second, and less than a second behind, so no
    /// token lives longer than that, whatever this machine's wall clock says.
    pub fn now(&self, clock: &Clock) -> Timestamp {
        match *lock(&self.issuer_time) {
            Some(told) => carried_on(told, clock.uptime()),
            None => clock.now(),
        }
    }

    /// What this enforcer can say about a token at `now`.
    pub fn decide(&self, claims: &AccessTokenClaims, kid: Option<&str>, now: Uptime) -> Decision {
        self.view.decide(claims, kid, self.lease, now)
    }
}

/// The issuer's time at `now`. A second that has begun counts: what the issuer told is cut to whole seconds already.
fn carried_on((at, since): (Timestamp, Uptime), now: Uptime) -> Timestamp {
    let elapsed = now.since(since).as_nanos().div_ceil(1_000_000_000);
    at.plus(i64::try_from(elapsed).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;

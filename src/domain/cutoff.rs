//! Revocation: cutoffs, the scopes they hit, and the one rule that says whether a token is dead.
//!
//! A token is dead if its log differs, or if it was decided before a cutoff of **any** scope that it matches. Integers,
//! no timestamps. Every scope is always tested: no level masks another.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::access_token::{LEEWAY, LIFETIME_CEILING};
use crate::entropy::Entropy;
use crate::protocol::claims::{AccessTokenClaims, Rev};
use crate::time::Timestamp;

/// What a cutoff cuts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScopeKind {
    /// Every token of the tenant.
    Tenant,
    /// Every token signed with this key.
    Key,
    /// Every token for this resource.
    Resource,
    /// Every call of this tool; the tokens live on.
    Tool,
    /// Every token in which this agent is an actor.
    Agent,
    /// Every token issued to this client.
    Client,
    /// Every token for this person.
    User,
    /// Every token of this session.
    Session,
    /// Every token that rests on this consent.
    Consent,
    /// Every token of this task and of those below it.
    Task,
    /// This token.
    Token,
}

impl ScopeKind {
    /// Every kind; the position is the kind's number.
    pub const ALL: [Self; 11] = [
        Self::Tenant,
        Self::Key,
        Self::Resource,
        Self::Tool,
        Self::Agent,
        Self::Client,
        Self::User,
        Self::Session,
        Self::Consent,
        Self::Task,
        Self::Token,
    ];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Key => "key",
            Self::Resource => "resource",
            Self::Tool => "tool",
            Self::Agent => "agent",
            Self::Client => "client",
            Self::User => "user",
            Self::Session => "session",
            Self::Consent => "consent",
            Self::Task => "task",
            Self::Token => "token",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// One entry of the revocation log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cutoff {
    /// Its number; gap-free within one log.
    pub seq: u64,
    /// When it was committed.
    pub at: Timestamp,
    /// What kind of thing was cut.
    pub scope_kind: ScopeKind,
    /// Which one.
    pub scope_id: String,
    /// Why, in the words of whoever cut it.
    pub reason: String,
    /// Who cut it.
    pub actor: String,
    /// When the last token that it could hit has expired.
    pub expires_at: Timestamp,
}

/// How long a view remembers a cutoff, in seconds: longer than any token that it could hit.
const MEMORY_SECONDS: u64 = (LIFETIME_CEILING + 2 * LEEWAY + LONGEST_LEASE).unsigned_abs();

/// The oldest view under which a node may still mint, in seconds; such a token is that much older than it looks.
const LONGEST_LEASE: i64 = 120;

/// When a cutoff made now has nothing left to hit.
pub fn expires_at(now: Timestamp) -> Timestamp {
    now.plus(LIFETIME_CEILING + 2 * LEEWAY + LONGEST_LEASE)
}

/// A name for a new log: random, so that a restored or replaced log can't pass for the one that it was.
pub fn generation(entropy: &Entropy) -> String {
    entropy
        .bytes::<12>()
        .iter()
        .map(|byte| char::from(b"0123456789abcdefghjkmnpqrstvwxyz"[usize::from(byte & 31)]))
        .collect()
}

/// Every scope that could kill this token. `kid` is the key that signed it; opaque tokens have none.
pub fn scopes<'a>(
    claims: &'a AccessTokenClaims,
    kid: Option<&'a str>,
) -> impl Iterator<Item = (ScopeKind, &'a str)> {
    let one = |kind, id: Option<&'a str>| id.map(|id| (kind, id)).into_iter();
    one(ScopeKind::Tenant, Some(&claims.tenant))
        .chain(one(ScopeKind::Key, kid))
        .chain(one(ScopeKind::Resource, Some(claims.aud.as_str())))
        .chain(claims.actors().map(|agent| (ScopeKind::Agent, agent)))
        // An agent that acts for nobody is also the subject; a client that isn't an agent simply never matches.
        .chain(one(ScopeKind::Agent, Some(&claims.sub)))
        .chain(one(ScopeKind::Agent, Some(&claims.client_id)))
        .chain(one(ScopeKind::Client, Some(&claims.client_id)))
        .chain(one(ScopeKind::User, Some(&claims.sub)))
        .chain(one(ScopeKind::Session, claims.sid.as_deref()))
        .chain(one(ScopeKind::Consent, claims.consent.as_deref()))
        .chain(one(ScopeKind::Task, claims.task.as_deref()))
        .chain(claims.task_ancestors.iter().map(|task| (ScopeKind::Task, task.as_str())))
        .chain(one(ScopeKind::Token, Some(&claims.jti)))
}

/// What the view says about a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No cutoff hits it.
    Alive,
    /// A cutoff of this kind hits it.
    Cut(ScopeKind),
    /// It was minted under another log: a database was restored since, or the token is from elsewhere.
    OtherLog,
    /// It was minted under entries that this view has not applied yet: catch up, then ask again.
    Behind,
}

/// The cutoffs that can still hit a token: exact, in hash maps, as small as rate × lifetime.
#[derive(Clone, Debug)]
pub struct CutoffSet {
    rev: Rev,
    /// The newest entry that has been forgotten.
    floor: u64,
    live: [HashMap<Box<str>, u64>; ScopeKind::ALL.len()],
    /// (uptime in seconds at which it can be forgotten, seq, kind, id).
    expiry: BTreeSet<(u64, u64, usize, Box<str>)>,
}

/// An entry was missed: the log must be read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the revocation log has a gap before entry {0}")]
pub struct Gap(pub u64);

impl CutoffSet {
    /// An empty view of a log that has come to `rev`.
    pub fn new(rev: Rev) -> Self {
        Self { rev, floor: 0, live: std::array::from_fn(|_| HashMap::new()), expiry: BTreeSet::new() }
    }

    /// How far this view has come.
    pub fn rev(&self) -> &Rev {
        &self.rev
    }

    /// How many live entries it holds.
    pub fn len(&self) -> usize {
        self.expiry.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.expiry.is_empty()
    }

    /// Applies the next entry at `uptime`. One that is already applied changes nothing; a gap is refused.
    pub fn apply(&mut self, cutoff: &Cutoff, uptime: u64) -> Result<(), Gap> {
        if cutoff.seq <= self.rev.seq {
            return Ok(());
        }
        if cutoff.seq != self.rev.seq + 1 {
            return Err(Gap(cutoff.seq));
        }
        self.insert(cutoff, uptime);
        self.rev.seq = cutoff.seq;
        Ok(())
    }

    /// Adds an entry of a snapshot, whose expired entries are left out and leave gaps.
    ///
    /// When it may be forgotten is counted in `uptime` (seconds on a clock that only runs forward) from when it was
    /// learnt: a wall clock that steps ahead and back again must not bring the dead back.
    pub fn insert(&mut self, cutoff: &Cutoff, uptime: u64) {
        let kind = cutoff.scope_kind as usize;
        let id: Box<str> = cutoff.scope_id.as_str().into();
        let newest = self.live[kind].entry(id.clone()).or_default();
        *newest = cutoff.seq.max(*newest);
        self.expiry.insert((uptime + MEMORY_SECONDS, cutoff.seq, kind, id));
    }

    /// Forgets what can no longer hit a token.
    pub fn purge(&mut self, uptime: u64) {
        while self.expiry.first().is_some_and(|(forget_at, ..)| *forget_at <= uptime) {
            let Some((_, seq, kind, id)) = self.expiry.pop_first() else {
                break;
            };
            self.floor = self.floor.max(seq);
            // A newer cutoff of the same scope lives on under its own number.
            if self.live[kind].get(&id) == Some(&seq) {
                self.live[kind].remove(&id);
            }
        }
    }

    /// Whether a token decided at `rev` is dead, by any of its scopes.
    pub fn verdict(&self, claims: &AccessTokenClaims, kid: Option<&str>) -> Verdict {
        if claims.rev.generation != self.rev.generation {
            return Verdict::OtherLog;
        }
        // What was decided before an entry that is already forgotten is older than any token may be.
        if claims.rev.seq < self.floor {
            return Verdict::Cut(ScopeKind::Tenant);
        }
        // A key is never used again, and whoever stole it writes any `rev` he likes: its cutoff is absolute.
        let hit = |(kind, id): &(ScopeKind, &str)| {
            let cut = self.live[*kind as usize].get(*id);
            cut.is_some_and(|seq| *kind == ScopeKind::Key || claims.rev.seq < *seq)
        };
        match scopes(claims, kid).find(hit) {
            Some((scope, _)) => Verdict::Cut(scope),
            None if claims.rev.seq > self.rev.seq => Verdict::Behind,
            None => Verdict::Alive,
        }
    }

    /// Whether calls of `tool` at `resource` are cut.
    pub fn is_tool_cut(&self, resource: &str, tool: &str) -> bool {
        let tools = &self.live[ScopeKind::Tool as usize];
        !tools.is_empty() && tools.contains_key(format!("{resource}#{tool}").as_str())
    }
}

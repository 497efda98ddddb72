//! Revocation: cutoffs, the scopes they hit, and the one rule that says whether a token is dead.
//!
//! A token is dead if its log differs, or if it was decided before a cutoff of **any** scope that it matches. Integers,
//! no timestamps. Every scope is always tested: no level masks another.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

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

/// A cutoff as enforcers see it: what was cut, not by whom or why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// Its number in the log.
    pub seq: u64,
    /// What kind of thing was cut.
    pub scope_kind: ScopeKind,
    /// Which one.
    pub scope_id: Arc<str>,
}

impl From<&Cutoff> for Cut {
    fn from(cutoff: &Cutoff) -> Self {
        Self { seq: cutoff.seq, scope_kind: cutoff.scope_kind, scope_id: cutoff.scope_id.as_str().into() }
    }
}

/// A stretch of the log: everything that its reader may see after entry `prev`, up to and including entry `seq`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stretch {
    /// The entry before the stretch.
    pub prev: u64,
    /// The last entry that it covers, whether the reader may see that one or not.
    pub seq: u64,
    /// The entries.
    pub cutoffs: Vec<Cut>,
}

impl Stretch {
    /// The stretch after `prev` of a log of which nothing is hidden.
    ///
    /// # Errors
    /// A number is missing.
    pub fn whole(prev: u64, cutoffs: Vec<Cut>) -> Result<Self, LogError> {
        match (prev + 1..).zip(&cutoffs).find(|(seq, cut)| *seq != cut.seq) {
            Some((seq, _)) => Err(LogError::Gap(seq - 1)),
            None => Ok(Self { prev, seq: cutoffs.last().map_or(prev, |last| last.seq), cutoffs }),
        }
    }

    fn check(&self) -> Result<(), LogError> {
        let rising = self.cutoffs.windows(2).all(|pair| pair[0].seq < pair[1].seq);
        let within = self.cutoffs.first().is_none_or(|first| first.seq > self.prev)
            && self.cutoffs.last().is_none_or(|last| last.seq <= self.seq);
        if rising && within && self.prev <= self.seq { Ok(()) } else { Err(LogError::Disordered) }
    }
}

/// How long a view remembers a cutoff, in seconds: longer than any token that it could hit.
pub const MEMORY_SECONDS: u64 = (LIFETIME_CEILING + 2 * LEEWAY + LONGEST_LEASE).unsigned_abs();

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
    /// The newest entry that has been forgotten, or was never learnt.
    floor: u64,
    live: [HashMap<Arc<str>, u64>; ScopeKind::ALL.len()],
    /// The same entries in the order of their numbers, each with the uptime in seconds at which it can be forgotten.
    entries: VecDeque<(u64, Cut)>,
}

/// Why a piece of the log can't be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// Entries before it were missed: the log must be read again.
    #[error("the revocation log has a gap after entry {0}")]
    Gap(u64),
    /// Its entries are out of order, or outside of what it says it covers.
    #[error("the entries of the revocation log are out of order")]
    Disordered,
}

impl CutoffSet {
    /// An empty view of a log that has come to `rev`.
    pub fn new(rev: Rev) -> Self {
        Self { floor: 0, live: std::array::from_fn(|_| HashMap::new()), entries: VecDeque::new(), rev }
    }

    /// A view of a log that has come to `rev`, from the entries after `floor` that can still hit a token.
    ///
    /// # Errors
    /// The entries are not in order, or not between `floor` and `rev`.
    pub fn restore(rev: Rev, floor: u64, cutoffs: Vec<Cut>, uptime: u64) -> Result<Self, LogError> {
        let stretch = Stretch { prev: floor, seq: rev.seq, cutoffs };
        let mut set = Self::new(Rev { seq: floor, ..rev });
        set.floor = floor;
        set.apply(&stretch, uptime)?;
        Ok(set)
    }

    /// How far this view has come.
    pub fn rev(&self) -> &Rev {
        &self.rev
    }

    /// The newest entry that this view can no longer tell of.
    pub fn floor(&self) -> u64 {
        self.floor
    }

    /// How many live entries it holds.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The live entries after `seq`, oldest first; `None` if some of them may be forgotten already.
    pub fn after(&self, seq: u64) -> Option<impl Iterator<Item = &Cut>> {
        let known = seq >= self.floor;
        let from = self.entries.partition_point(|(_, cut)| cut.seq <= seq);
        known.then(|| self.entries.range(from..).map(|(_, cut)| cut))
    }

    /// Applies a stretch of the log at `uptime`. What is applied already changes nothing; a gap is refused.
    ///
    /// When an entry may be forgotten is counted in `uptime` (seconds on a clock that only runs forward) from when it was
    /// learnt: a wall clock that steps ahead and back again must not bring the dead back.
    pub fn apply(&mut self, stretch: &Stretch, uptime: u64) -> Result<(), LogError> {
        stretch.check()?;
        if stretch.prev > self.rev.seq {
            return Err(LogError::Gap(self.rev.seq));
        }
        for cut in stretch.cutoffs.iter().filter(|cut| cut.seq > self.rev.seq) {
            self.live[cut.scope_kind as usize].insert(cut.scope_id.clone(), cut.seq);
            self.entries.push_back((uptime + MEMORY_SECONDS, cut.clone()));
        }
        self.rev.seq = self.rev.seq.max(stretch.seq);
        Ok(())
    }

    /// Forgets what can no longer hit a token.
    pub fn purge(&mut self, uptime: u64) {
        while let Some((_, cut)) = self.entries.pop_front_if(|(forget_at, _)| *forget_at <= uptime) {
            self.floor = self.floor.max(cut.seq);
            let live = &mut self.live[cut.scope_kind as usize];
            // A newer cutoff of the same scope lives on under its own number.
            if live.get(&cut.scope_id) == Some(&cut.seq) {
                live.remove(&cut.scope_id);
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
            let live = &self.live[*kind as usize];
            let cut = if live.is_empty() { None } else { live.get(*id) };
            cut.is_some_and(|seq| *kind == ScopeKind::Key || claims.rev.seq < *seq)
        };
        match scopes(claims, kid).find(hit) {
            Some((scope, _)) => Verdict::Cut(scope),
            None if claims.rev.seq > self.rev.seq => Verdict::Behind,
            None => Verdict::Alive,
        }
    }

    /// Whether calls of `tool` at the token's resource are cut. A token that was decided after the cutoff was minted with
    /// the tool reinstated.
    pub fn is_tool_cut(&self, claims: &AccessTokenClaims, tool: &str) -> bool {
        let tools = &self.live[ScopeKind::Tool as usize];
        let cut = |id: String| tools.get(id.as_str()).is_some_and(|seq| claims.rev.seq < *seq);
        !tools.is_empty() && cut(format!("{}#{tool}", claims.aud))
    }
}

//! What happened, with the true time of each: the checker judges by nothing else.

use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;

use taskpass::domain::cutoff::ScopeKind;
use taskpass::protocol::claims::AccessTokenClaims;

/// Virtual time in milliseconds.
pub(crate) type Ms = u64;

/// A place in the history of a tenant's logs: which log, then how far along it.
pub(crate) type Place = (u64, u64);

/// A token that was handed out.
#[derive(Debug)]
pub(crate) struct Token {
    pub(crate) tenant: usize,
    pub(crate) claims: Rc<AccessTokenClaims>,
    pub(crate) kid: String,
    /// How far the node had come when the first check began, whatever the token says.
    pub(crate) knew: Place,
    /// When it expires, in true time.
    pub(crate) expires: Ms,
    pub(crate) mark: Option<u64>,
    /// How often the database had been set back when it was minted.
    pub(crate) restores: u64,
}

/// A revocation that was committed.
#[derive(Debug)]
pub(crate) struct Revocation {
    pub(crate) tenant: usize,
    pub(crate) kind: ScopeKind,
    pub(crate) id: String,
    pub(crate) place: Place,
    /// When it was acknowledged to whoever asked for it, if it was.
    pub(crate) acknowledged: Option<Ms>,
    /// When the receipt said that it is in force everywhere.
    pub(crate) effective: Option<Ms>,
}

/// A call was let through.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accept {
    pub(crate) at: Ms,
    pub(crate) token: usize,
    pub(crate) enforcer: usize,
    pub(crate) tool: usize,
    /// How old the knowledge may be that it rests on, by the enforcer's own clock.
    pub(crate) bound: Ms,
    /// How long an introspection answer may have been on its way on which it rests, if it does.
    pub(crate) introspected: Option<Ms>,
}

/// A message brought an enforcer an entry of the log: which enforcer, and what was cut.
pub(crate) type Sight = (usize, ScopeKind, Arc<str>);

/// Whom an enforcer belongs to.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    pub(crate) tenant: usize,
    pub(crate) resource: String,
}

#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) owners: Vec<Owner>,
    pub(crate) tokens: Vec<Token>,
    pub(crate) revocations: Vec<Revocation>,
    pub(crate) accepts: Vec<Accept>,
    pub(crate) sights: HashSet<Sight>,
    pub(crate) refusals: u64,
    pub(crate) stale: u64,
    pub(crate) restores: u64,
    pub(crate) events: u64,
    /// Enforcers that were not fresh, or refused a good token, after everything had healed.
    pub(crate) not_recovered: Vec<String>,
}

//! Minting races with revocation: what a request's checks didn't see must kill the token that it gets.
//!
//! The enforcer here knows every cutoff at once, so that whatever it accepts too late was minted wrong. That enforcers come
//! to know cutoffs in time is the feed's business.

use std::sync::atomic::{AtomicU8, Ordering};

use stateright::{Model, Property};

use crate::planted::Planted;
use crate::run::Judged;

/// How long a token lives, in ticks.
pub(crate) const LIFETIME: u8 = 8;

/// What a check looks at, and what a cutoff takes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Right {
    Agent,
    Consent,
}

impl Right {
    const ALL: [Self; 2] = [Self::Agent, Self::Consent];
}

/// How far a request has come. `rev` is what the token will say; `saw` is how much of the log each check knew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Request {
    NotYet,
    Begun { rev: u8 },
    AgentChecked { rev: u8, saw: u8 },
    Checked { rev: u8, saw: [u8; 2] },
    Minted { rev: u8, saw: [u8; 2], age: u8 },
    Refused,
}

/// Everything there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    /// The log: what each entry cuts, and how long ago it was acknowledged.
    log: [Option<(Right, u8)>; 3],
    /// How much of it the node knows.
    node: u8,
    request: Request,
}

impl State {
    fn seq(&self) -> u8 {
        self.log.iter().map(|entry| u8::from(entry.is_some())).sum()
    }

    fn is_cut(&self, right: Right, after: u8, to: u8) -> bool {
        let entries = &self.log[usize::from(after)..usize::from(to.max(after))];
        entries.iter().flatten().any(|(cut, _)| *cut == right)
    }

    /// The rule of `taskpass::domain::cutoff`, under everything that was ever cut.
    fn accepted(&self) -> bool {
        let Request::Minted { rev, age, .. } = self.request else { return false };
        age < LIFETIME && Right::ALL.iter().all(|right| !self.is_cut(*right, rev, self.seq()))
    }

    /// For how long a cutoff has been acknowledged that the token's checks didn't see.
    fn unseen_for(&self) -> Option<u8> {
        let Request::Minted { saw, .. } = self.request else { return None };
        let unseen = |(right, saw): (Right, u8)| {
            let later = self.log[usize::from(saw)..].iter().flatten();
            later.filter(move |(cut, _)| *cut == right).map(|(_, age)| *age).max()
        };
        Right::ALL.into_iter().zip(saw).filter_map(unseen).max()
    }
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Tick,
    Revoke(Right),
    NodeReads,
    /// A request arrives, a check is made, or the token is signed and committed.
    GoOn,
}

/// The model.
#[derive(Debug)]
pub(crate) struct Minting {
    planted: Planted,
    worst: AtomicU8,
}

/// What must always hold.
pub(crate) const UNSEEN_KILLS: &str = "a cutoff that a token's checks didn't see kills it";

impl Minting {
    /// The model, with or without a bug.
    pub(crate) fn new(planted: Planted) -> Self {
        Self { planted, worst: AtomicU8::new(0) }
    }

    fn go_on(&self, state: &State) -> Request {
        let node = state.node;
        let check = |right, next| if state.is_cut(right, 0, node) { Request::Refused } else { next };
        match state.request {
            // Before the first check: whatever is cut from now on has a higher number.
            Request::NotYet => {
                let ahead = self.planted == Planted::RevAheadOfChecks;
                Request::Begun { rev: if ahead { state.seq() } else { node } }
            }
            Request::Begun { rev } => check(Right::Agent, Request::AgentChecked { rev, saw: node }),
            Request::AgentChecked { rev, saw } => {
                check(Right::Consent, Request::Checked { rev, saw: [saw, node] })
            }
            Request::Checked { rev, saw } => {
                let rev = if self.planted == Planted::RevAtSigning { node } else { rev };
                Request::Minted { rev, saw, age: 0 }
            }
            done @ (Request::Minted { .. } | Request::Refused) => done,
        }
    }
}

impl Judged for Minting {
    fn worst(&self) -> u8 {
        self.worst.load(Ordering::Relaxed)
    }
}

impl Model for Minting {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State { log: [None; 3], node: 0, request: Request::NotYet }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        actions.extend([Action::Tick, Action::NodeReads, Action::GoOn]);
        if usize::from(state.seq()) < state.log.len() {
            actions.extend(Right::ALL.map(Action::Revoke));
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = *before;
        match action {
            Action::Tick => {
                state.log = state.log.map(|entry| entry.map(|(right, age)| (right, (age + 1).min(LIFETIME))));
                if let Request::Minted { age, .. } = &mut state.request {
                    *age = (*age + 1).min(LIFETIME);
                }
            }
            Action::Revoke(right) => state.log[usize::from(before.seq())] = Some((right, 0)),
            Action::NodeReads => state.node = before.seq(),
            Action::GoOn => state.request = self.go_on(before),
        }
        (state != *before).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(UNSEEN_KILLS, |model: &Self, state: &State| {
                let late = state.unseen_for().filter(|_| state.accepted());
                model.worst.fetch_max(late.unwrap_or_default(), Ordering::Relaxed);
                late.is_none()
            }),
            Property::sometimes("a token is minted and lives", |_, state: &State| state.accepted()),
            Property::sometimes("a check refuses", |_, state: &State| state.request == Request::Refused),
            Property::sometimes("a cutoff comes between check and signature", |_, state: &State| {
                state.unseen_for().is_some()
            }),
        ]
    }
}

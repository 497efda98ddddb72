//! A code is redeemed at most once, on whichever node, through crashes and retries.

use stateright::{Model, Property};

use crate::planted::Planted;
use crate::run::Judged;

/// Requests that carry the same code.
const REQUESTS: usize = 3;
const NODES: usize = 2;

/// How far a request has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Request {
    #[default]
    NotSent,
    At {
        node: usize,
    },
    /// Planted: it has looked whether the code was redeemed, and has yet to redeem it.
    FoundUnused {
        node: usize,
    },
    /// Its transaction is committed; the answer hasn't left yet.
    Committed {
        node: usize,
    },
    Answered,
    /// Refused, or lost with its node.
    Over,
}

/// Everything there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct State {
    /// The mark in the database.
    redeemed: bool,
    /// Planted: the marks in the nodes' memory.
    remembered: [bool; NODES],
    requests: [Request; REQUESTS],
    /// Tokens with a record in the database.
    tokens: u8,
    crashes: u8,
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Send { request: usize, node: usize },
    GoOn(usize),
    Crash(usize),
}

/// The model.
#[derive(Debug)]
pub(crate) struct SingleUse {
    planted: Planted,
}

/// What must always hold.
pub(crate) const ONCE: &str = "one code buys one token";

impl SingleUse {
    /// The model, with or without a bug.
    pub(crate) fn new(planted: Planted) -> Self {
        Self { planted }
    }

    fn go_on(&self, state: &mut State, request: usize) {
        state.requests[request] = match state.requests[request] {
            Request::At { node } => match self.planted {
                Planted::ReadThenWrite if !state.redeemed => Request::FoundUnused { node },
                Planted::RedeemedInMemory if !state.remembered[node] => {
                    state.remembered[node] = true;
                    Self::commit(state, node)
                }
                // `UPDATE … WHERE redeemed_at IS NULL RETURNING`: it decides and marks in one statement.
                _ if !state.redeemed && self.planted != Planted::RedeemedInMemory => {
                    state.redeemed = true;
                    Self::commit(state, node)
                }
                _ => Request::Over,
            },
            Request::FoundUnused { node } => {
                state.redeemed = true;
                Self::commit(state, node)
            }
            Request::Committed { .. } => Request::Answered,
            other => other,
        };
    }

    fn commit(state: &mut State, node: usize) -> Request {
        state.tokens += 1;
        Request::Committed { node }
    }
}

impl Judged for SingleUse {
    fn worst(&self) -> u8 {
        0
    }
}

impl Model for SingleUse {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::default()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (request, stage) in state.requests.iter().enumerate() {
            if *stage == Request::NotSent {
                actions.extend((0..NODES).map(|node| Action::Send { request, node }));
            }
            actions.push(Action::GoOn(request));
        }
        if state.crashes < 2 {
            actions.extend((0..NODES).map(Action::Crash));
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = *before;
        match action {
            Action::Send { request, node } => state.requests[request] = Request::At { node },
            Action::GoOn(request) => self.go_on(&mut state, request),
            Action::Crash(crashed) => {
                state.crashes += 1;
                state.remembered[crashed] = false;
                for stage in &mut state.requests {
                    let (Request::At { node } | Request::FoundUnused { node } | Request::Committed { node }) =
                        *stage
                    else {
                        continue;
                    };
                    if node == crashed {
                        *stage = Request::Over;
                    }
                }
            }
        }
        (state != *before).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONCE, |_, state: &State| state.tokens <= 1),
            Property::always("every token handed out has a record", |_, state: &State| {
                let answered = state.requests.iter().filter(|stage| **stage == Request::Answered).count();
                answered <= usize::from(state.tokens)
            }),
            Property::sometimes("a code is redeemed through a crash", |_, state: &State| {
                state.crashes > 0 && state.requests.contains(&Request::Answered)
            }),
        ]
    }
}

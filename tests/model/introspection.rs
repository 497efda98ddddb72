//! Introspection: an answer is knowledge of the moment up to which the node knew the log, however late it comes.

use std::sync::atomic::{AtomicU8, Ordering};

use stateright::{Model, Property};

use crate::feed::Pace;
use crate::feed::bounds::{DRIFT, SECOND};
use crate::planted::Planted;
use crate::run::Judged;

/// S, in ticks.
pub(crate) const LEASE: u8 = 4;
/// From here on every lateness is the same.
pub(crate) const HORIZON: u8 = 3 * LEASE;

/// The node's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Answer {
    active: bool,
    /// How long it may be relied on, from when it was asked for: `max-age`.
    holds: u8,
}

/// Whose clock lags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Lags {
    node: bool,
    enforcer: bool,
}

/// Everything there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    /// True time since the token was cut and that was acknowledged.
    cut: Option<u8>,
    /// Who has learnt of the cutoff: the node from the log, the enforcer by its stream.
    node_knows: bool,
    enforcer_knows: bool,
    /// How old the node's knowledge is, on its clock.
    node_age: u8,
    /// How long ago the enforcer asked, on its clock.
    asked: Option<u8>,
    /// The answer under way; it may come at any time, or never.
    under_way: Option<Answer>,
    /// The answer that the enforcer has.
    answer: Option<Answer>,
    /// Whose clock lags by as much as it may.
    lags: Lags,
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Tick { enforcer: Pace, node: Pace },
    Revoke,
    NodeReads,
    Ask,
    NodeAnswers,
    AnswerComes,
    EventComes,
}

/// The model.
#[derive(Debug)]
pub(crate) struct Introspection {
    planted: Planted,
    worst: AtomicU8,
}

/// What must always hold.
pub(crate) const IN_TIME: &str =
    "an introspection answer is relied on no later than B after the acknowledgement";
/// What must always hold.
pub(crate) const EVENT_WINS: &str = "an event that the enforcer has seen outweighs every answer";

impl Introspection {
    /// The model, with or without a bug.
    pub(crate) fn new(planted: Planted) -> Self {
        Self { planted, worst: AtomicU8::new(0) }
    }

    fn accepts(&self, state: &State) -> bool {
        let Some(Answer { active: true, holds }) = state.answer else { return false };
        if self.planted == Planted::CachedIntrospectionOvertakes {
            return true;
        }
        state.asked.is_some_and(|age| age <= holds) && !state.enforcer_knows
    }

    fn late(&self, state: &State) -> u8 {
        let late = state.cut.filter(|_| self.accepts(state)).unwrap_or_default();
        self.worst.fetch_max(late, Ordering::Relaxed);
        late
    }
}

impl Judged for Introspection {
    fn worst(&self) -> u8 {
        self.worst.load(Ordering::Relaxed)
    }
}

impl Model for Introspection {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            cut: None,
            node_knows: false,
            node_age: 0,
            asked: None,
            under_way: None,
            answer: None,
            enforcer_knows: false,
            lags: Lags::default(),
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for enforcer in [Pace::Steady, Pace::other(state.lags.enforcer)] {
            for node in [Pace::Steady, Pace::other(state.lags.node)] {
                actions.push(Action::Tick { enforcer, node });
            }
        }
        actions.extend([Action::NodeReads, Action::Ask, Action::AnswerComes]);
        if state.cut.is_none() {
            actions.push(Action::Revoke);
        }
        // A node whose view is older than its lease answers nothing.
        if state.asked.is_some() && state.node_age <= LEASE {
            actions.push(Action::NodeAnswers);
        }
        if state.node_knows {
            actions.push(Action::EventComes);
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = *before;
        match action {
            Action::Tick { enforcer, node } => {
                state.cut = state.cut.map(|age| (age + 1).min(HORIZON));
                state.node_age = (state.node_age + node.ticks()).min(LEASE + 1);
                state.lags.node ^= node != Pace::Steady;
                state.asked = state.asked.map(|age| (age + enforcer.ticks()).min(LEASE + 1));
                state.lags.enforcer ^= enforcer != Pace::Steady;
            }
            Action::Revoke => state.cut = Some(0),
            Action::NodeReads => (state.node_knows, state.node_age) = (state.cut.is_some(), 0),
            // Whoever asks again gives up on what he asked before.
            Action::Ask => (state.asked, state.under_way, state.answer) = (Some(0), None, None),
            Action::NodeAnswers => {
                let adds_up = self.planted == Planted::IntrospectionLeasesAddUp;
                let holds = if adds_up { LEASE } else { LEASE - state.node_age };
                state.under_way = Some(Answer { active: !state.node_knows, holds });
            }
            Action::AnswerComes => {
                state.answer = Some(state.under_way.take()?);
                if self.planted == Planted::IntrospectionFreshFromReceipt {
                    state.asked = Some(0);
                }
            }
            Action::EventComes => state.enforcer_knows = true,
        }
        (state != *before).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(IN_TIME, |model: &Self, state: &State| model.late(state) <= LEASE + SECOND),
            Property::always(EVENT_WINS, |model: &Self, state: &State| {
                !(state.enforcer_knows && model.accepts(state))
            }),
            Property::sometimes("the bound is reached", |model: &Self, state: &State| {
                model.late(state) == LEASE + 2 * DRIFT
            }),
            Property::sometimes("an answer comes after the event", |_, state: &State| {
                state.enforcer_knows && state.answer.is_some_and(|answer| answer.active)
            }),
        ]
    }
}

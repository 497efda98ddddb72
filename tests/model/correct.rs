//! The protocol without bugs holds its promise in every state.

use stateright::Model as _;

use crate::feed::bounds::{Bounds, Part};
use crate::feed::state::State;
use crate::feed::{Action, Feed, Pace};
use crate::introspection::Introspection;
use crate::minting::Minting;
use crate::planted::Planted;
use crate::run::{Judged, run};
use crate::single_use::SingleUse;

/// S of one second; one cutoff; two lease requests and two messages at once.
pub(crate) const SMALL: Bounds = Bounds {
    lease: 2,
    cutoffs: 1,
    restores: 0,
    requests: 2,
    in_flight: 2,
    parts: &[],
    planted: Planted::Nothing,
    beyond: 1,
};

/// The server's word that a cutoff is in force, with the shortest lease that shows what can go wrong.
pub(crate) const EFFECTIVE: Bounds = Bounds { lease: 1, parts: &[Part::Effective], ..SMALL };

/// The same with more under way at once, while time stands still.
pub(crate) const CROWDED: Bounds =
    Bounds { in_flight: 3, parts: &[Part::Effective, Part::Standstill], ..EFFECTIVE };

fn holds<M>(name: &str, model: M)
where
    M: Judged + Send + Sync + 'static,
    M::State: std::fmt::Debug + std::hash::Hash + Send + Sync + Clone + PartialEq + 'static,
    M::Action: std::fmt::Debug + Clone + PartialEq,
{
    let seen = run(name, model, false);
    assert_eq!(seen.broken, None);
    assert!(seen.missing.is_empty(), "{:?}", seen.missing);
}

/// Whether the larger bounds are looked at as well: minutes, and gigabytes of memory.
#[expect(clippy::disallowed_methods, reason = "a test has no configuration but its environment")]
fn is_long() -> bool {
    std::env::var("TASKPASS_MODEL").is_ok_and(|mode| mode == "long")
}

/// The same with larger bounds, in the longer mode.
fn holds_larger(name: &str, bounds: Bounds) {
    if is_long() {
        holds(name, Feed::new(bounds));
    }
}

#[test]
fn leases_alone() {
    holds("leases", Feed::new(Bounds { lease: 3, in_flight: 3, ..SMALL }));
    holds_larger("leases, S = 4", Bounds { lease: 4, in_flight: 3, ..SMALL });
}

#[test]
fn streams_and_snapshots() {
    let parts = &[Part::Stream, Part::StartOver];
    holds("streams", Feed::new(Bounds { parts, ..SMALL }));
    holds_larger("streams, two cutoffs", Bounds { cutoffs: 2, parts, ..SMALL });
}

#[test]
fn tokens_that_are_ahead_of_their_enforcer() {
    let parts = &[Part::CatchUp, Part::Stream];
    holds("catching up", Feed::new(Bounds { requests: 1, parts, ..SMALL }));
    holds_larger("catching up, two cutoffs", Bounds { requests: 1, cutoffs: 2, parts, ..SMALL });
}

#[test]
fn a_database_restored_from_an_older_copy() {
    holds("restore", Feed::new(Bounds { requests: 1, restores: 1, ..SMALL }));
    holds_larger("restore, two cutoffs", Bounds { requests: 1, cutoffs: 2, restores: 1, ..SMALL });
}

#[test]
fn entries_forgotten_too_early() {
    let parts = &[Part::Forgetting];
    holds("forgetting", Feed::new(Bounds { parts, ..SMALL }));
    holds_larger("forgetting, two cutoffs", Bounds { cutoffs: 2, parts, ..SMALL });
}

#[test]
fn responses_held_back() {
    holds("buffering", Feed::new(Bounds { parts: &[Part::Buffering], ..SMALL }));
}

#[test]
fn tokens_that_expire() {
    holds("expiry", Feed::new(Bounds { lease: 5, requests: 1, parts: &[Part::Expiry], ..SMALL }));
}

#[test]
fn the_word_that_a_cutoff_is_effective() {
    holds("effective", Feed::new(Bounds { requests: 1, ..EFFECTIVE }));
    holds_larger("effective, S = 2", Bounds { requests: 1, lease: 2, ..EFFECTIVE });
    let parts = &[Part::Effective, Part::Stream];
    holds_larger("effective, streams", Bounds { requests: 1, parts, ..EFFECTIVE });
    holds_larger("effective, two requests", EFFECTIVE);
}

#[test]
fn the_word_that_a_cutoff_is_effective_in_a_crowd() {
    holds("effective, crowded", Feed::new(CROWDED));
}

#[test]
fn minting_beside_revocation() {
    holds("minting", Minting::new(Planted::Nothing));
}

#[test]
fn introspection_beside_revocation() {
    holds("introspection", Introspection::new(Planted::Nothing));
}

#[test]
fn codes_on_two_nodes() {
    holds("single use", SingleUse::new(Planted::Nothing));
}

/// The state after the first step that `pick` picks.
fn step(model: &Feed, state: State, pick: fn(&Action) -> bool) -> State {
    let mut actions = Vec::new();
    model.actions(&state, &mut actions);
    let action = actions.into_iter().find(pick).unwrap();
    model.next_state(&state, action).unwrap()
}

/// Whether the enforcer accepts the token after it has asked for a lease and every message has come.
fn renews(model: &Feed, mut state: State) -> (State, bool) {
    state = step(model, state, |action| *action == Action::Ask);
    for _ in ["request", "lease"] {
        state = step(model, state, |action| matches!(action, Action::Deliver(_)));
    }
    (state, state.enforcer.accepts(state.token.unwrap(), &model.bounds))
}

#[test]
fn an_enforcer_that_was_cut_off_denies_and_recovers_alone() {
    let model = Feed::new(SMALL);
    let mut state = State::new(&SMALL);
    state = step(&model, state, |action| *action == Action::Mint);
    state = step(&model, state, |action| *action == Action::Fetch);
    state = step(&model, state, |action| matches!(action, Action::Deliver(_)));
    let (mut state, accepted) = renews(&model, state);
    assert!(accepted);
    for _ in 0..=SMALL.lease {
        state = step(&model, state, |action| matches!(action, Action::Tick { enforcer: Pace::Steady, .. }));
    }
    assert!(!state.enforcer.accepts(state.token.unwrap(), &SMALL));
    assert!(renews(&model, state).1);
}

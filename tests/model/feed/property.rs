//! What must always hold of the feed, and what must be possible at all, lest the rest hold for want of life.

use std::sync::atomic::Ordering;

use stateright::Property;

use super::Feed;
use super::bounds::{Bounds, DRIFT, Part};
use super::state::State;

/// No accept later than B after the acknowledgement.
pub(crate) const IN_TIME: &str = "nothing revoked is accepted later than B after its acknowledgement";
/// No accept after the server said that there would be none.
pub(crate) const HONEST: &str = "what the server calls effective is in force everywhere";
/// No accept that what the enforcer has acted on already forbids.
pub(crate) const CONSISTENT: &str = "an enforcer decides under all that it has ever acted on";

/// The properties of a model of this size.
pub(crate) fn of(bounds: &Bounds) -> Vec<Property<Feed>> {
    let mut all = vec![
        Property::always(IN_TIME, is_in_time),
        Property::sometimes("a token outlives the revocation of something else", outlives_another_cutoff),
    ];
    if !bounds.has(Part::Standstill) {
        all.push(Property::sometimes("the bound is reached", reaches_the_bound));
    }
    if bounds.has(Part::Effective) {
        all.push(Property::always(HONEST, is_honest));
        all.push(Property::sometimes("a cutoff becomes effective", |_, state: &State| state.claimed));
    }
    if bounds.has(Part::CatchUp) {
        all.push(Property::always(CONSISTENT, is_consistent));
    }
    if bounds.restores > 0 {
        all.push(Property::sometimes("an enforcer follows a restored log", follows_restored_log));
    }
    if !bounds.has(Part::Stream) {
        all.push(Property::sometimes("polling brings cutoffs", learns_by_lease));
    }
    all
}

fn accepts(model: &Feed, state: &State) -> bool {
    state.token.is_some_and(|token| state.enforcer.accepts(token, &model.bounds))
}

fn is_in_time(model: &Feed, state: &State) -> bool {
    let late = state.dead_for.filter(|_| accepts(model, state)).unwrap_or_default();
    model.worst.fetch_max(late, Ordering::Relaxed);
    late <= model.bounds.promise()
}

fn is_honest(model: &Feed, state: &State) -> bool {
    !(state.claimed && accepts(model, state))
}

fn is_consistent(model: &Feed, state: &State) -> bool {
    let known_dead = state.token.is_some_and(|token| {
        token.generation == state.log.generation && state.log.hits(token.rev, state.enforcer.shown)
    });
    !(known_dead && accepts(model, state))
}

/// A lease that was sent just before the cutoff, on a clock that is as late as it may be.
fn reaches_the_bound(model: &Feed, state: &State) -> bool {
    let last = model.bounds.promise() - super::bounds::SECOND;
    // With a token that expires, true time ends its life; the lease's own end depends on the enforcer's clock.
    let last = if model.bounds.has(Part::Expiry) { last } else { last + DRIFT };
    state.dead_for == Some(last) && accepts(model, state)
}

fn outlives_another_cutoff(model: &Feed, state: &State) -> bool {
    let knows_more = state.token.zip(state.enforcer.view).is_some_and(|(token, view)| view.seq() > token.rev);
    knows_more && state.dead_for.is_none() && accepts(model, state)
}

fn follows_restored_log(model: &Feed, state: &State) -> bool {
    state.enforcer.view.is_some_and(|view| view.generation > 0) && accepts(model, state)
}

fn learns_by_lease(_: &Feed, state: &State) -> bool {
    state.enforcer.lease.is_some() && state.enforcer.view.is_some_and(|view| view.seq() > 0)
}

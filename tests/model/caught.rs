//! Every planted bug is caught: the checker finds a run in which the promise breaks.

use crate::correct::{CROWDED, EFFECTIVE, SMALL};
use crate::feed::Feed;
use crate::feed::bounds::{Bounds, DRIFT, LEEWAY, LIFETIME, Part};
use crate::feed::property::{CONSISTENT, HONEST, IN_TIME};
use crate::introspection::{self, Introspection};
use crate::minting::{self, Minting, UNSEEN_KILLS};
use crate::planted::Planted;
use crate::run::{Judged, run};
use crate::single_use::{ONCE, SingleUse};

fn caught<M>(planted: Planted, model: M, broken: &str)
where
    M: Judged + Send + Sync + 'static,
    M::State: std::fmt::Debug + std::hash::Hash + Send + Sync + Clone + PartialEq + 'static,
    M::Action: std::fmt::Debug + Clone + PartialEq,
{
    let seen = run(&format!("planted {planted:?}"), model, false);
    assert_eq!(seen.broken.map(|(property, _)| property), Some(broken));
}

/// Where each bug of the feed shows, and what it breaks.
fn in_the_feed() -> Vec<(Planted, Bounds, &'static str)> {
    let one = Bounds { requests: 1, ..SMALL };
    let with = |parts| Bounds { parts, ..one };
    let effective = Bounds { requests: 1, ..EFFECTIVE };
    vec![
        (Planted::IgnoreLease, one, IN_TIME),
        (Planted::OneScopeOnly, one, IN_TIME),
        (Planted::FreshFromReceipt, one, IN_TIME),
        (Planted::IgnoreNonce, SMALL, IN_TIME),
        (Planted::ClockStopsInSleep, one, IN_TIME),
        (Planted::NoSecondLook, with(&[Part::Buffering]), IN_TIME),
        (Planted::LaggingNodeHead, with(&[Part::Stream]), IN_TIME),
        (Planted::NoCatchUp, with(&[Part::CatchUp]), CONSISTENT),
        (Planted::ReuseGenAfterRestore, Bounds { restores: 1, ..one }, IN_TIME),
        (Planted::RestoreNoticedLate, Bounds { restores: 1, ..one }, IN_TIME),
        (Planted::SnapshotWithoutFloor, with(&[Part::Forgetting]), IN_TIME),
        (Planted::LeewayNotCounted, Bounds { lease: 5, ..with(&[Part::Expiry]) }, IN_TIME),
        (Planted::EffectiveForgetsLeasesAtRestart, effective, HONEST),
        (Planted::EffectiveForgetsOtherNodes, effective, HONEST),
        (Planted::EffectiveWithoutSlack, effective, HONEST),
        (Planted::EffectiveByAnswer, effective, HONEST),
        (Planted::HeadBeforeNote, effective, HONEST),
        (Planted::StartOverKeepsAsking, CROWDED, HONEST),
    ]
}

#[test]
fn every_bug_planted_into_the_feed() {
    for (planted, bounds, broken) in in_the_feed() {
        caught(planted, Feed::new(bounds.with(planted)), broken);
    }
}

#[test]
fn every_bug_planted_into_minting() {
    for planted in [Planted::RevAtSigning, Planted::RevAheadOfChecks] {
        caught(planted, Minting::new(planted), UNSEEN_KILLS);
    }
}

#[test]
fn every_bug_planted_into_introspection() {
    caught(
        Planted::CachedIntrospectionOvertakes,
        Introspection::new(Planted::CachedIntrospectionOvertakes),
        introspection::EVENT_WINS,
    );
    for planted in [Planted::IntrospectionFreshFromReceipt, Planted::IntrospectionLeasesAddUp] {
        caught(planted, Introspection::new(planted), introspection::IN_TIME);
    }
}

#[test]
fn every_bug_planted_into_single_use() {
    for planted in [Planted::ReadThenWrite, Planted::RedeemedInMemory] {
        caught(planted, SingleUse::new(planted), ONCE);
    }
}

/// The end of what the models tell apart: a bug that gets there has no bound.
const BEYOND: u8 = 8;

/// How late each bug lets an enforcer accept, in ticks. The promise is S + 1 s: 4 ticks in the feed, and 6 where a token
/// expires and in introspection.
#[test]
fn how_late_each_planted_bug_gets() {
    for (planted, bounds, broken) in in_the_feed() {
        if broken != IN_TIME {
            continue;
        }
        let bounds = Bounds { beyond: BEYOND, ..bounds.with(planted) };
        let seen = run(&format!("all of {planted:?}"), Feed::new(bounds), true);
        let worst = match planted {
            // The lease runs again from its end.
            Planted::FreshFromReceipt => 2 * bounds.lease + DRIFT,
            Planted::LeewayNotCounted => LIFETIME + LEEWAY,
            _ => bounds.promise() + BEYOND,
        };
        assert_eq!(seen.worst, worst, "{planted:?}");
    }
    // As long as the token lives.
    assert_eq!(
        run("all of RevAtSigning", Minting::new(Planted::RevAtSigning), true).worst,
        minting::LIFETIME
    );
    for (planted, worst) in [
        (Planted::CachedIntrospectionOvertakes, introspection::HORIZON),
        (Planted::IntrospectionFreshFromReceipt, introspection::HORIZON),
        (Planted::IntrospectionLeasesAddUp, 2 * (introspection::LEASE + DRIFT)),
    ] {
        let seen = run(&format!("all of {planted:?}"), Introspection::new(planted), true);
        assert_eq!(seen.worst, worst, "{planted:?}");
    }
}

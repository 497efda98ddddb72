//! Bugs planted in enforcers of our own: the same checker, on the same kinds of history, must find each of them. What the
//! model and the simulation plant in the server isn't repeated here.

use std::time::Duration;

use super::checker::Report;
use super::enforcer::Nature;
use super::history::Ordeal;
use super::play::{EVERYBODY, Play};
use super::proxy::{Way, Weather};
use super::stage::{Kind, Plan, Stage, lease_seconds};
use super::{restored, wanted};

fn planted(natures: &[Nature], beside: &[Kind]) -> Stage {
    let kinds = natures.iter().copied().map(Kind::Own).chain(beside.iter().copied()).collect();
    Stage::build(Plan { nodes: 1, kinds, ..Plan::default() })
}

/// Plays a fault until the checker has found each of these rules broken by each of its culprits, and nothing wrong with anybody
/// else. A bug shows only if something happens within a certain time, so it may take more than one attempt.
fn assert_caught(
    stage: &Stage,
    (name, victims): (&str, usize),
    crimes: &[(&str, &[&str])],
    fault: impl for<'scope, 'env> Fn(&Play<'scope, 'env>),
) -> Report {
    const ATTEMPTS: usize = 3;
    let crimes = || crimes.iter().flat_map(|(rule, culprits)| culprits.iter().map(move |who| (*rule, *who)));
    for attempt in 1.. {
        let report = stage.play(name, victims, &fault);
        let innocent = |violation: &&String| !crimes().any(|(_, culprit)| violation.contains(culprit));
        let others: Vec<_> = report.violations.iter().filter(innocent).collect();
        assert!(others.is_empty(), "others are accused: {others:?}");
        let of = |(rule, culprit): (&str, &str)| {
            let is_it = |violation: &&String| violation.starts_with(rule) && violation.contains(culprit);
            report.violations.iter().find(is_it)
        };
        match crimes().find(|crime| of(*crime).is_none()) {
            None => {
                crimes().filter_map(of).for_each(|found| eprintln!("    caught: {found}"));
                return report;
            }
            Some((rule, culprit)) => {
                assert!(attempt < ATTEMPTS, "{culprit} got away with it ({rule})");
                eprintln!("    {culprit} got away with it ({rule}); once more");
            }
        }
    }
    unreachable!()
}

#[test]
fn ignoring_the_lease_is_caught() {
    if !wanted("ignoring_the_lease_is_caught") {
        return;
    }
    let stage = planted(&[Nature::IgnoresTheLease], &[Kind::Guard]);
    let crimes: &[(&str, &[&str])] = &[("bound", &["ignoresthelease"]), ("apart", &["ignoresthelease"])];
    assert_caught(&stage, ("planted: ignores the lease", 1), crimes, |play| {
        let set = |weather| stage.members.iter().for_each(|member| member.way.set(weather));
        let begun = play.begin(Ordeal::Apart, EVERYBODY, || set(Weather::DEAD));
        assert!(play.revoke());
        // Each request may first ask the issuer, in vain, for three seconds.
        play.outlast(1.0);
        play.sleep(4.5);
        play.end(begun, || set(Weather::FAIR));
    });
}

/// Answers are long under way. The last one comes when the lease that it grants has all but run out.
#[test]
fn counting_freshness_from_receipt_is_caught() {
    if !wanted("counting_freshness_from_receipt_is_caught") {
        return;
    }
    let stage = planted(&[Nature::FreshFromReceipt], &[Kind::Own(Nature::Polling)]);
    let slow = Weather { delay_down: Duration::from_millis(1_700), ..Weather::FAIR };
    let crimes: &[(&str, &[&str])] = &[("bound", &["freshfromreceipt"])];
    assert_caught(&stage, ("planted: freshness from receipt", 1), crimes, |play| {
        let set = |weather| stage.members.iter().for_each(|member| member.way.set(weather));
        let troubled = play.begin(Ordeal::Troubled, EVERYBODY, || set(slow));
        play.sleep(2.0);
        let way = &stage.members[0].way;
        wait_for_lease(way);
        // What is under way still arrives; nothing that knows of the revocation does.
        set(Weather { swallow_down: true, ..slow });
        assert!(play.revoke());
        play.outlast(1.0);
        play.sleep(1.5);
        play.end(troubled, || set(Weather::FAIR));
    });
}

fn wait_for_lease(way: &Way) {
    let before = way.leases();
    while way.leases() == before {
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn testing_one_scope_only_and_keeping_answers_are_caught() {
    if !wanted("testing_one_scope_only_and_keeping_answers_are_caught") {
        return;
    }
    let stage = planted(&[Nature::OneScopeOnly, Nature::CachesIntrospection], &[Kind::Guard]);
    let name = "planted: tests one scope only; keeps an introspection's answer";
    let crimes: &[(&str, &[&str])] = &[("bound", &["onescopeonly", "cachesintrospection"])];
    let report = assert_caught(&stage, (name, 2), crimes, |play| {
        play.sleep(0.3);
        // The first by its task, the second by itself.
        assert!(play.revoke() && play.revoke());
        play.outlast(1.0);
    });
    let by_one_scope = report.violations.iter().filter(|violation| violation.contains("onescopeonly"));
    assert!(
        by_one_scope.clone().all(|violation| violation.contains("victim-0")),
        "it sees what was cut by itself"
    );
}

/// The database comes back older, and the log keeps its name, since nobody shows the server what it had signed.
#[test]
fn going_on_with_a_log_that_was_set_back_is_caught() {
    if !wanted("going_on_with_a_log_that_was_set_back_is_caught") {
        return;
    }
    let stage = planted(&[Nature::ForgetsWhatItKnew], &[]);
    let crimes: &[(&str, &[&str])] = &[("bound", &["forgetswhatitknew"])];
    assert_caught(&stage, ("planted: goes on with a log that was set back", 1), crimes, |play| {
        let mut copy = restored::Copy::new();
        let begun = play.begin(Ordeal::Troubled, EVERYBODY, || copy = restored::copy_of(&stage));
        assert!(play.revoke());
        play.wait_until_known(&stage.everybody());
        play.end(begun, || restored::put_back(&stage, &copy, &restored::FOLDER, || ()));
        play.outlast(1.0);
    });
}

/// A server that calls a revocation effective when it is no more than durable.
#[test]
fn an_early_receipt_is_caught() {
    if !wanted("an_early_receipt_is_caught") {
        return;
    }
    let stage = planted(&[Nature::Library], &[Kind::Guard]);
    let crimes: &[(&str, &[&str])] = &[("receipt", &["library-0"])];
    assert_caught(&stage, ("planted: a receipt at once", 1), crimes, |play| {
        let [library, guard] = &stage.members[..] else { unreachable!() };
        let begun = play.begin(Ordeal::Troubled, &[library], || library.way.set(Weather::DEAD));
        assert!(play.revoke());
        play.wait_until_known(&[guard]);
        let too_early = play.journal.now();
        play.journal.change(|history| history.revoked[0].effective = Some(too_early));
        play.sleep(lease_seconds() as f64);
        play.end(begun, || library.way.set(Weather::FAIR));
    });
}

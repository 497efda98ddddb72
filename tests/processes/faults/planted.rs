//! Bugs planted in enforcers of our own: the same checker, on the same kinds of history, must find each of them. What the
//! model and the simulation plant in the server isn't repeated here.

use std::time::Duration;

use super::checker::Report;
use super::enforcer::Nature;
use super::history::Ordeal;
use super::proxy::{Way, Weather};
use super::stage::{Kind, Plan, Stage, lease_seconds};
use super::wanted;

fn planted(natures: &[Nature], beside: &[Kind]) -> Stage {
    let kinds = natures.iter().copied().map(Kind::Own).chain(beside.iter().copied()).collect();
    Stage::build(Plan { nodes: 1, kinds, ..Plan::default() })
}

/// The checker found this rule broken by each of these, and nothing wrong with anybody else.
fn assert_caught(report: &Report, rule: &str, culprits: &[&str]) {
    for culprit in culprits {
        let is_it = |violation: &&String| violation.starts_with(rule) && violation.contains(culprit);
        let caught = report.violations.iter().find(is_it);
        eprintln!("    caught: {}", caught.unwrap_or_else(|| panic!("{culprit} got away with it")));
    }
    let others = |violation: &&String| !culprits.iter().any(|culprit| violation.contains(culprit));
    let others: Vec<_> = report.violations.iter().filter(others).collect();
    assert!(others.is_empty(), "others are accused: {others:?}");
}

#[test]
fn ignoring_the_lease_is_caught() {
    if !wanted("ignoring_the_lease_is_caught") {
        return;
    }
    let stage = planted(&[Nature::IgnoresTheLease], &[Kind::Guard]);
    let report = stage.play("planted: ignores the lease", 1, |play| {
        let begun: Vec<_> = stage
            .members
            .iter()
            .map(|member| {
                member.way.set(Weather::DEAD);
                play.begin(Ordeal::Apart, Some(member))
            })
            .collect();
        assert!(play.revoke());
        // Each request may first ask the issuer, in vain, for three seconds.
        play.outlast(1.0);
        play.sleep(4.5);
        for (member, begun) in stage.members.iter().zip(begun) {
            member.way.set(Weather::FAIR);
            play.end(begun);
        }
    });
    assert_caught(&report, "bound", &["ignoresthelease"]);
    assert_caught(&report, "apart", &["ignoresthelease"]);
}

/// Answers are long under way. The last one comes when the lease that it grants has all but run out.
#[test]
fn counting_freshness_from_receipt_is_caught() {
    if !wanted("counting_freshness_from_receipt_is_caught") {
        return;
    }
    let stage = planted(&[Nature::FreshFromReceipt], &[Kind::Own(Nature::Polling)]);
    let slow = Weather { delay_down: Duration::from_millis(1_700), ..Weather::FAIR };
    let report = stage.play("planted: freshness from receipt", 1, |play| {
        let troubled = play.begin(Ordeal::Troubled, None);
        stage.members.iter().for_each(|member| member.way.set(slow));
        play.sleep(2.0);
        let way = &stage.members[0].way;
        wait_for_lease(way);
        // What is under way still arrives; nothing that knows of the revocation does.
        let cut_off = Weather { swallow_down: true, ..slow };
        stage.members.iter().for_each(|member| member.way.set(cut_off));
        assert!(play.revoke());
        play.outlast(1.0);
        play.sleep(1.5);
        stage.members.iter().for_each(|member| member.way.set(Weather::FAIR));
        play.end(troubled);
    });
    assert_caught(&report, "bound", &["freshfromreceipt"]);
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
    let report = stage.play("planted: tests one scope only; keeps an introspection's answer", 2, |play| {
        play.sleep(0.3);
        // The first by its task, the second by itself.
        assert!(play.revoke() && play.revoke());
        play.outlast(1.0);
    });
    assert_caught(&report, "bound", &["onescopeonly", "cachesintrospection"]);
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
    let report = stage.play("planted: goes on with a log that was set back", 1, |play| {
        let begun = play.begin(Ordeal::Troubled, None);
        let copy = super::restored::copy_of(&stage);
        assert!(play.revoke());
        play.sleep(0.5);
        super::restored::put_back(&stage, &copy, &super::restored::FOLDER, || ());
        play.end(begun);
        play.outlast(1.0);
    });
    assert_caught(&report, "bound", &["forgetswhatitknew"]);
}

/// A server that calls a revocation effective when it is no more than durable.
#[test]
fn an_early_receipt_is_caught() {
    if !wanted("an_early_receipt_is_caught") {
        return;
    }
    let stage = planted(&[Nature::Library], &[Kind::Guard]);
    let report = stage.play("planted: a receipt at once", 1, |play| {
        let library = &stage.members[0];
        let begun = play.begin(Ordeal::Troubled, Some(library));
        library.way.set(Weather::DEAD);
        assert!(play.revoke());
        play.journal.change(|history| {
            let revoked = &mut history.revoked[0];
            // The guard has heard of it by then.
            revoked.effective = Some(revoked.acknowledged + 500_000);
        });
        play.sleep(lease_seconds() as f64);
        library.way.set(Weather::FAIR);
        play.end(begun);
    });
    assert_caught(&report, "receipt", &["library-0"]);
}

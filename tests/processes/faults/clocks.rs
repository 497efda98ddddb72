//! Wall clocks that are set forward and back, of the server and of guards: nothing is counted by them that could bring the
//! dead back, and an enforcer's own clock decides nothing.

use super::enforcer::Nature;
use super::history::Ordeal;
use super::play::EVERYBODY;
use super::stage::{Kind, Plan, Stage, clocks_can_be_set, lying_clock};
use super::{assert_clean, wanted};

const HOUR: i64 = 3_600;

fn stage(test: &str) -> Option<Stage> {
    if !wanted(test) {
        return None;
    }
    if lying_clock().is_none() {
        let ci = crate::setting("CI").as_deref() == Some("true");
        assert!(!ci, "CI needs libfaketime");
        eprintln!(
            "SKIP {test}: libfaketime isn't installed, and no wall clock but a process's own may be set"
        );
        return None;
    }
    let kinds = vec![Kind::Guard, Kind::Guard, Kind::Own(Nature::Library), Kind::Own(Nature::Library)];
    let stage = Stage::build(Plan { nodes: 1, kinds, clocks: true, ..Plan::default() });
    assert!(clocks_can_be_set(stage.folder.path()));
    Some(stage)
}

/// Their leases are counted in another clock, and tokens are judged by the issuer's time.
#[test]
fn enforcers_clocks_are_set() {
    let Some(stage) = stage("enforcers_clocks_are_set") else { return };
    let report = stage.play("enforcers' clocks set by an hour", 3, |play| {
        let half = stage.members.len() / 2;
        for (steps, member) in stage.members.iter().enumerate() {
            stage.set_clock(member, if (steps < half) == (steps % 2 == 0) { HOUR } else { -HOUR });
        }
        play.sleep(1.5);
        assert!(play.revoke());
        play.revoke_effectively();
        stage.members.iter().for_each(|member| stage.set_clock(member, 0));
        play.sleep(1.5);
        assert!(play.revoke());
    });
    assert_clean(&report, &stage);
}

/// An hour ahead every token has run out; set back again, what was cut stays cut, also for a guard that starts now.
#[test]
fn the_servers_clock_is_set() {
    let Some(stage) = stage("the_servers_clock_is_set") else { return };
    for step in [HOUR, -HOUR] {
        let report = stage.play(&format!("server's clock set by {} h and back", step / HOUR), 3, |play| {
            assert!(play.revoke());
            play.journal.change(|history| history.controls.clear());
            let begun = play.begin(Ordeal::Troubled, EVERYBODY, || stage.set_node_clock(0, step));
            play.sleep(2.0);
            // Clients and server disagree about the hour: nobody can authenticate.
            assert!(stage.mint(0, "while the clock is off").is_err(), "the server's clock is as it was");
            stage.set_node_clock(0, 0);
            play.sleep(2.0);
            let (guard, library) = (&stage.members[0], &stage.members[2]);
            for member in [guard, library] {
                member.kill();
                stage.restart(member);
            }
            play.sleep(1.0);
            let control = stage.mint(0, "control afterwards").unwrap();
            play.end(begun, || play.present_control(&control));
            assert!(play.revoke());
        });
        assert_clean(&report, &stage);
    }
}

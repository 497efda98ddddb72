//! What can happen to an enforcer, and to its way to the server.

use std::time::Duration;

use rustix::process::Signal;

use super::enforcer::Nature;
use super::history::Ordeal;
use super::proxy::Weather;
use super::stage::{Kind, Plan, Stage, lease_seconds, signal, stop};
use super::{assert_clean, wanted};

const LIBRARY: Kind = Kind::Own(Nature::Library);
const POLLING: Kind = Kind::Own(Nature::Polling);

fn stage(kinds: &[Kind]) -> Stage {
    Stage::build(Plan { nodes: 1, kinds: kinds.to_vec(), ..Plan::default() })
}

#[test]
fn nothing_is_wrong() {
    if !wanted("nothing_is_wrong") {
        return;
    }
    let stage = stage(&[Kind::Guard, Kind::Guard, LIBRARY, POLLING]);
    let report = stage.play("nothing wrong", 3, |play| {
        play.sleep(1.0);
        assert!(play.revoke());
        play.sleep(0.5);
        play.revoke_effectively();
        play.revoke_effectively();
    });
    assert_clean(&report, &stage);
    for (enforcer, count) in &report.counts {
        // None, on a machine with nothing else to do.
        assert!(10 * (count.unavailable + count.unanswered) < count.accepted, "{enforcer}: {count:?}");
    }
}

/// As on a busy machine, where whoever has just done something waits for a processor before he can look at the clock, and
/// enforcers go on. What is held against them must not depend on it.
fn loiter() {
    std::thread::sleep(Duration::from_millis(150));
}

/// Each enforcer loses its way to the server in another manner, all at the same time.
#[test]
fn ways_are_cut_half_open_one_directional_and_slow() {
    if !wanted("ways_are_cut_half_open_one_directional_and_slow") {
        return;
    }
    let stage = stage(&[Kind::Guard, Kind::Guard, Kind::Guard, LIBRARY, LIBRARY, POLLING]);
    let refused = Weather { refuse: true, ..Weather::FAIR };
    let swallowed_up = Weather { swallow_up: true, ..Weather::FAIR };
    let swallowed_down = Weather { swallow_down: true, ..Weather::FAIR };
    let slow = Weather {
        delay_up: Duration::from_millis(150),
        delay_down: Duration::from_millis(350),
        ..Weather::FAIR
    };
    let report = stage.play("ways cut, half open, one way only, slow", 4, |play| {
        let weathers = [refused, Weather::DEAD, swallowed_up, swallowed_down, slow, Weather::DEAD];
        play.sleep(0.5);
        let mut begun = Vec::new();
        for (member, weather) in stage.members.iter().zip(weathers) {
            let ordeal = if weather == slow { Ordeal::Troubled } else { Ordeal::Apart };
            begun.push(play.begin(ordeal, &[member], || {
                member.way.set(weather);
                if weather.refuse {
                    member.way.cut();
                }
                loiter();
            }));
        }
        assert!(play.revoke());
        play.revoke_effectively();
        play.sleep(lease_seconds() as f64 / 2.0);
        assert!(play.revoke());
        // Longer than an enforcer asks once more before it says that it can't know.
        play.outlast(0.5);
        play.sleep(3.5);
        for (member, begun) in stage.members.iter().zip(begun) {
            play.end(begun, || {
                member.way.set(Weather::FAIR);
                loiter();
            });
        }
        play.sleep(1.0);
        assert!(play.revoke());
    });
    assert_clean(&report, &stage);
}

#[test]
fn enforcers_are_stopped_longer_than_their_lease_and_killed() {
    if !wanted("enforcers_are_stopped_longer_than_their_lease_and_killed") {
        return;
    }
    let stage = stage(&[Kind::Guard, Kind::Guard, LIBRARY, POLLING]);
    let report = stage.play("enforcers stopped and killed", 4, |play| {
        play.sleep(0.5);
        let [killed, stopped @ .., other] = &stage.members[..] else { unreachable!() };
        let begun: Vec<_> = stopped
            .iter()
            .map(|member| play.begin(Ordeal::Stopped, &[member], || stop(member.pid())))
            .collect();
        let dead =
            [killed, other].map(|member| (member, play.begin(Ordeal::Troubled, &[member], || member.kill())));
        assert!(play.revoke());
        // Not before the last lease of those who stand still, or are gone, has run out.
        play.revoke_effectively();
        play.outlast(0.5);
        assert!(play.revoke());
        for (member, begun) in dead {
            play.end(begun, || stage.restart(member));
        }
        for (member, begun) in stopped.iter().zip(begun) {
            play.end(begun, || signal(member.pid(), Signal::CONT));
        }
        play.sleep(0.5);
        assert!(play.revoke());
    });
    assert_clean(&report, &stage);
}

//! What can happen to the only server; and everything at once, by chance.

use rustix::process::Signal;

use super::enforcer::Nature;
use super::history::Ordeal;
use super::play::{EVERYBODY, Play};
use super::proxy::Weather;
use super::stage::{Kind, Plan, Stage, is_long, lease_seconds, signal, stop};
use super::{assert_clean, wanted};

fn stage() -> Stage {
    let kinds = vec![Kind::Guard, Kind::Guard, Kind::Own(Nature::Library), Kind::Own(Nature::Polling)];
    Stage::build(Plan { nodes: 1, kinds, ..Plan::default() })
}

#[test]
fn the_server_is_stopped_and_killed() {
    if !wanted("the_server_is_stopped_and_killed") {
        return;
    }
    let stage = stage();
    let stopped = stage.play("server stopped", 2, |play| {
        play.sleep(0.5);
        assert!(play.revoke());
        let begun = play.begin(Ordeal::Apart, EVERYBODY, || stop(stage.node(0).pid()));
        play.outlast(1.0);
        play.end(begun, || signal(stage.node(0).pid(), Signal::CONT));
        assert!(play.revoke());
    });
    assert_clean(&stopped, &stage);
    let killed = stage.play("server killed", 2, |play| {
        play.sleep(0.5);
        assert!(play.revoke());
        let begun = play.begin(Ordeal::Apart, EVERYBODY, || stage.node(0).kill());
        play.outlast(1.0);
        play.end(begun, || stage.restart_node(0));
        assert!(play.revoke());
    });
    assert_clean(&killed, &stage);
}

/// A generator that gives the same again for the same seed (SplitMix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }
}

/// What happens is by the seed; what comes of it is by the machine too.
#[test]
fn everything_happens_by_chance() {
    if !wanted("everything_happens_by_chance") {
        return;
    }
    let seed = crate::setting("TASKPASS_FAULTS_SEED").map_or_else(
        || u64::from_le_bytes(taskpass::entropy::Entropy::default().bytes()) % 1_000_000,
        |seed| seed.parse().unwrap(),
    );
    let stage = stage();
    // Tokens live five minutes, so that a play must be over by then.
    const ROUNDS: usize = 4;
    for seed in (seed..).take(if is_long() { 5 } else { 1 }) {
        eprintln!("TASKPASS_FAULTS_SEED={seed}");
        let mut chance = Chance(seed);
        let report = stage.play(&format!("by chance, seed {seed}"), 2 * ROUNDS, |play| {
            for _ in 0..ROUNDS {
                round(&stage, play, &mut chance);
            }
        });
        assert_clean(&report, &stage);
    }
}

/// Each enforcer, and the server, suffers something or nothing; two tokens are cut meanwhile, if the server can.
fn round(stage: &Stage, play: &Play<'_, '_>, chance: &mut Chance) {
    let mut pause = |most: u64| chance.below(most * 1000) as f64 / 1000.0;
    let (before, between, after) = (pause(1), pause(lease_seconds()), pause(lease_seconds() + 1));
    play.sleep(before);
    let mut mend: Vec<Box<dyn FnOnce() + '_>> = Vec::new();
    for member in &stage.members {
        match chance.below(5) {
            0 => {
                let begun = play.begin(Ordeal::Stopped, &[member], || stop(member.pid()));
                mend.push(Box::new(move || play.end(begun, || signal(member.pid(), Signal::CONT))));
            }
            1 => {
                let begun = play.begin(Ordeal::Troubled, &[member], || member.kill());
                mend.push(Box::new(move || play.end(begun, || stage.restart(member))));
            }
            what @ 2..4 => {
                let cut = Weather { refuse: true, ..Weather::FAIR };
                let begun = play.begin(Ordeal::Apart, &[member], || {
                    member.way.set(if what == 2 { Weather::DEAD } else { cut });
                    if what == 3 {
                        member.way.cut();
                    }
                });
                mend.push(Box::new(move || play.end(begun, || member.way.set(Weather::FAIR))));
            }
            _ => {}
        }
    }
    assert!(play.revoke(), "the server is up");
    play.sleep(between);
    let server = chance.below(3);
    if server < 2 {
        let begun = play.begin(Ordeal::Troubled, EVERYBODY, || match server {
            0 => stop(stage.node(0).pid()),
            _ => stage.node(0).kill(),
        });
        mend.push(Box::new(move || {
            play.end(begun, || match server {
                0 => signal(stage.node(0).pid(), Signal::CONT),
                _ => stage.restart_node(0),
            });
        }));
    }
    play.sleep(after);
    for mend in mend {
        mend();
    }
    assert!(play.revoke(), "the server is up again");
}

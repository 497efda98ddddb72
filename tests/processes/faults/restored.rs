//! A database that is set back to an older copy: what was minted before is dead, and no revocation is lost.

use std::path::PathBuf;

use super::enforcer::Nature;
use super::history::Ordeal;
use super::play::{EVERYBODY, Play};
use super::proxy::Weather;
use super::stage::{Kind, Plan, Stage};
use super::{assert_clean, wanted};
use crate::node::taskpass;

/// The files of a database that nobody has open.
pub(super) type Copy = Vec<(PathBuf, Vec<u8>)>;

/// The high-water mark is no part of the database; it comes back too only if the whole folder does.
const DATABASE: [&str; 3] = ["taskpass.sqlite", "taskpass.sqlite-wal", "taskpass.sqlite-shm"];
pub(super) const FOLDER: [&str; 4] = [DATABASE[0], DATABASE[1], DATABASE[2], "high-water.json"];

fn files(stage: &Stage, names: &[&str]) -> Vec<PathBuf> {
    names.iter().map(|name| stage.folder.path().join(name)).collect()
}

/// Stops the server, copies its database, and starts it again.
pub(super) fn copy_of(stage: &Stage) -> Copy {
    stage.node(0).kill();
    let copy = files(stage, &FOLDER).into_iter();
    let copy = copy.filter_map(|file| Some((file.clone(), std::fs::read(file).ok()?))).collect();
    stage.restart_node(0);
    copy
}

/// Stops the server, puts these files of the copy back, lets the operator do something, and starts it again.
pub(super) fn put_back(stage: &Stage, copy: &Copy, names: &[&str], operator: impl FnOnce()) {
    stage.node(0).kill();
    let files = files(stage, names);
    for file in &files {
        let _ = std::fs::remove_file(file);
    }
    for (file, bytes) in copy.iter().filter(|(file, _)| files.contains(file)) {
        std::fs::write(file, bytes).unwrap();
    }
    operator();
    stage.restart_node(0);
}

/// `taskpass restored`, which the manual asks for.
fn say_so(stage: &Stage) {
    let mut command = taskpass();
    command.arg("restored").env("TASKPASS_DATABASE_URL", &stage.recipes[0].database_url);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn stage() -> Stage {
    let kinds = vec![Kind::Guard, Kind::Own(Nature::Library), Kind::Own(Nature::Polling)];
    Stage::build(Plan { nodes: 1, kinds, ..Plan::default() })
}

/// The log has another name, soon; the control of before has perished with the old one, and another takes its place.
pub(super) fn perish(play: &Play<'_, '_>, stage: &Stage, old_log: &str) {
    let mut tries = 0;
    let control = loop {
        match stage.mint(0, "control afterwards") {
            Ok(control) if control.issued.log != old_log => break control,
            _ => tries += 1,
        }
        assert!(tries < 100, "the log has its old name still");
        play.sleep(0.1);
    };
    let dead_from = play.journal.now();
    play.journal.change(|history| {
        let before = std::mem::take(&mut history.controls);
        history
            .perished
            .extend(before.into_iter().map(|token| (token, dead_from + history.lease + 1_000_000)));
    });
    play.present_control(&control);
}

/// The file beside the database knows how far the log had come; or, if that was put back too, the enforcers do.
#[test]
fn a_restored_sqlite_database_brings_nobody_back() {
    if !wanted("a_restored_sqlite_database_brings_nobody_back") {
        return;
    }
    for (what, names) in [("database", &DATABASE[..]), ("data folder", &FOLDER[..])] {
        let stage = stage();
        let report = stage.play(&format!("older {what} put back (SQLite)"), 3, |play| {
            let mut copy = Copy::new();
            let begun = play.begin(Ordeal::Troubled, EVERYBODY, || copy = copy_of(&stage));
            assert!(play.revoke());
            play.sleep(0.5);
            assert!(play.revoke());
            // Somebody must know more than the copy; he learns it with his next word to the server.
            play.wait_until_known(&stage.everybody());
            play.sleep(0.8);
            let log = stage.mint(0, "under the old log").unwrap().issued.log;
            put_back(&stage, &copy, names, || ());
            play.end(begun, || perish(play, &stage, &log));
            assert!(play.revoke());
            play.outlast(0.5);
        });
        assert_clean(&report, &stage);
    }
}

/// The enforcers are away while the restored log grows past where they had come. Nothing and nobody but the operator knows
/// then; when he says so, nobody takes the new log for the old one.
#[test]
fn a_restored_log_that_has_grown_again_isnt_taken_for_the_old_one() {
    if !wanted("a_restored_log_that_has_grown_again_isnt_taken_for_the_old_one") {
        return;
    }
    let stage = stage();
    let report = stage.play("older data folder put back, grown again, `taskpass restored`", 6, |play| {
        let log = stage.mint(0, "under the old log").unwrap().issued.log;
        grow_again(play, &stage, || say_so(&stage));
        perish(play, &stage, &log);
        play.outlast(1.0);
    });
    assert_clean(&report, &stage);
}

/// Cuts two, puts the data folder back to before, and cuts four before any enforcer hears of it.
fn grow_again(play: &Play<'_, '_>, stage: &Stage, operator: impl FnOnce()) {
    let mut copy = Copy::new();
    let begun = play.begin(Ordeal::Troubled, EVERYBODY, || copy = copy_of(stage));
    assert!(play.revoke() && play.revoke());
    play.wait_until_known(&stage.everybody());
    play.sleep(0.8);
    stage.members.iter().for_each(|member| member.way.set(Weather::DEAD));
    put_back(stage, &copy, &FOLDER, operator);
    for _ in 0..4 {
        assert!(play.revoke());
    }
    play.end(begun, || stage.members.iter().for_each(|member| member.way.set(Weather::FAIR)));
    play.sleep(1.5);
}

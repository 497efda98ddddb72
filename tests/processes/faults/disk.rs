//! The disk on which the database lies is nearly full, and then full: first nothing is minted any more, then nothing is recorded
//! but revocations, and those go on in the room that was kept back for them. What was revoked stays so.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::enforcer::Nature;
use super::history::Ordeal;
use super::play::EVERYBODY;
use super::stage::{Kind, Plan, Stage};
use super::{assert_clean, wanted};
use crate::wire::Connection;
use crate::world::{ADMINISTRATOR, Bearer};

/// Whether this machine lets us have a small disk of our own, in a mount namespace of the server's.
fn may_mount() -> bool {
    let mut tried = Command::new("unshare");
    tried.args(["--mount", "mount", "-t", "tmpfs", "-o", "size=1m", "none", "/mnt"]);
    tried.output().is_ok_and(|output| output.status.success())
}

/// Fills the server's disk but for so many bytes; the file can be removed again.
fn fill(stage: &Stage, but_for: u64) -> PathBuf {
    let ballast = on_the_disk(stage, "ballast");
    let mut file = std::fs::File::create(&ballast).unwrap();
    for size in [1 << 20, 1 << 12, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
    let size = file.metadata().unwrap().len();
    file.set_len(size - but_for).unwrap();
    ballast
}

/// A file on the server's disk: in its namespace, by way of the process in it.
fn on_the_disk(stage: &Stage, name: &str) -> PathBuf {
    let file = stage.folder.path().join("small").join(name);
    PathBuf::from(format!("/proc/{}/root", stage.node(0).pid())).join(file.strip_prefix("/").unwrap())
}

/// Waits until a mint is refused for want of room; the server looks five times a second.
fn wait_until_nothing_is_minted(stage: &Stage) {
    let refused = |_| {
        let minted = stage.mint(0, "while the disk is full");
        let refused = minted.is_err_and(|error| error.to_string().contains("disk_nearly_full"));
        if !refused {
            std::thread::sleep(Duration::from_millis(100));
        }
        refused
    };
    assert!((0..100).any(refused), "minting goes on");
}

/// What a stranger's request for the record is answered; it leaves a row, or is told to come again.
fn refuse_a_stranger(stage: &Stage) -> u16 {
    let request = stage.world.admin("/audit", "junk", None);
    Connection::patient(stage.recipes[0].address, Duration::from_secs(15)).ask(&request).unwrap().status
}

/// How many revocations are in the record.
fn recorded(stage: &Stage) -> usize {
    let mut connection = Connection::patient(stage.recipes[0].address, Duration::from_secs(15));
    // The token with which an administrator comes in is minted also now.
    let mut bearer = Bearer::of(ADMINISTRATOR);
    let bearer = bearer.get(&stage.world, &mut connection).unwrap().to_owned();
    let (mut after, mut found) = (0, 0);
    loop {
        let page = stage.world.admin(&format!("/audit?after={after}"), &bearer, None);
        let page = connection.ask(&page).unwrap();
        let rows = page.body["rows"].as_array().unwrap_or_else(|| panic!("{page:?}")).clone();
        let Some(last) = rows.last() else { return found };
        found += rows.iter().filter(|row| row["event"] == "revocation" && row["granted"] == true).count();
        after = last["seq"].as_u64().unwrap();
    }
}

#[test]
fn a_full_disk_stops_minting_before_evidence_and_never_revocation() {
    if !wanted("a_full_disk_stops_minting_before_evidence_and_never_revocation") {
        return;
    }
    if !may_mount() {
        eprintln!("SKIP full disk: mounting a tmpfs in a namespace of our own isn't allowed here");
        return;
    }
    let kinds = vec![Kind::Guard, Kind::Own(Nature::Library), Kind::Own(Nature::Polling)];
    let stage = Stage::build(Plan { nodes: 1, kinds, disk: Some(64 << 20), ..Plan::default() });
    let report = stage.play("disk full", 13, |play| {
        assert!(play.revoke());
        // As much is kept back as stage.rs says, 8 MiB. With less than that beside it, nothing is minted.
        let mut ballast = PathBuf::new();
        let begun = play.begin(Ordeal::Troubled, EVERYBODY, || ballast = fill(&stage, 6 << 20));
        wait_until_nothing_is_minted(&stage);
        assert_eq!(refuse_a_stranger(&stage), 401, "evidence goes on");
        assert!(play.revoke() && on_the_disk(&stage, "taskpass.sqlite-reserve").exists());

        // Now not a byte is left.
        std::fs::remove_file(&ballast).unwrap();
        fill(&stage, 0);
        for number in 0..10 {
            assert!(play.revoke(), "revocation {number} while the disk is full");
            play.sleep(0.2);
        }
        assert!(stage.mint(0, "while the disk is full").is_err(), "minting goes on");
        assert_eq!(refuse_a_stranger(&stage), 503, "what can't be recorded isn't decided");
        assert!(!on_the_disk(&stage, "taskpass.sqlite-reserve").exists(), "the reserve wasn't needed");
        assert_eq!(recorded(&stage), 12);
        play.outlast(1.0);

        play.end(begun, || std::fs::remove_file(&ballast).unwrap());
        let again = (0..100).any(|_| {
            play.sleep(0.1);
            stage.mint(0, "there is room again").is_ok()
        });
        assert!(again, "nothing is minted although there is room");
        assert!(play.revoke() && on_the_disk(&stage, "taskpass.sqlite-reserve").exists());
    });
    assert_clean(&report, &stage);
}

//! The disk on which the database lies is full: minting stops, and enforcement goes on; what was revoked stays so.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use super::enforcer::Nature;
use super::history::Ordeal;
use super::stage::{Kind, Plan, Stage};
use super::{assert_clean, wanted};

/// Whether this machine lets us have a small disk of our own, in a mount namespace of the server's.
fn may_mount() -> bool {
    let mut tried = Command::new("unshare");
    tried.args(["--mount", "mount", "-t", "tmpfs", "-o", "size=1m", "none", "/mnt"]);
    tried.output().is_ok_and(|output| output.status.success())
}

/// Fills the server's disk to the last byte; the file can be removed again.
fn fill(stage: &Stage) -> PathBuf {
    // The namespace's files, by way of the process in it.
    let root = PathBuf::from(format!("/proc/{}/root", stage.node(0).pid()));
    let ballast = stage.folder.path().join("small/ballast");
    let ballast = root.join(ballast.strip_prefix("/").unwrap());
    let mut file = std::fs::File::create(&ballast).unwrap();
    for size in [1 << 20, 1 << 12, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
    ballast
}

#[test]
fn a_full_disk_stops_minting_and_brings_nobody_back() {
    if !wanted("a_full_disk_stops_minting_and_brings_nobody_back") {
        return;
    }
    if !may_mount() {
        eprintln!("SKIP full disk: mounting a tmpfs in a namespace of our own isn't allowed here");
        return;
    }
    let kinds = vec![Kind::Guard, Kind::Own(Nature::Library), Kind::Own(Nature::Polling)];
    let stage = Stage::build(Plan { nodes: 1, kinds, disk: Some(24 << 20), ..Plan::default() });
    let (mut refused, mut minted, mut acknowledged) = (0, 0, 0);
    let report = stage.play("disk full", 12, |play| {
        assert!(play.revoke());
        let begun = play.begin(Ordeal::Troubled, None);
        let ballast = fill(&stage);
        for _ in 0..5 {
            match stage.mint(0, "while the disk is full") {
                Ok(_) => minted += 1,
                Err(_) => refused += 1,
            }
            acknowledged += usize::from(play.revoke());
            play.sleep(0.2);
        }
        play.outlast(1.0);
        std::fs::remove_file(ballast).unwrap();
        play.sleep(1.0);
        play.end(begun);
        assert!(play.revoke(), "there is room again");
        stage.mint(0, "there is room again").unwrap();
    });
    eprintln!(
        "    while full: {minted} minted, {refused} not minted, {acknowledged} of 5 revocations acknowledged"
    );
    assert_clean(&report, &stage);
    assert!(acknowledged > 0 || minted == 0, "minting went on when revocation had stopped");
}

//! Whole runs, with real commands and a token endpoint over real HTTP.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use clap::Parser as _;
use serde_json::json;

use super::*;
use crate::agent::peer::{Peer, Reply, refusal};

#[derive(clap::Parser)]
struct Program {
    #[command(flatten)]
    args: Args,
}

struct Stage {
    peer: Peer,
    folder: tempfile::TempDir,
}

impl Stage {
    async fn set() -> Self {
        let stage = Self { peer: Peer::start().await, folder: tempfile::tempdir().unwrap() };
        let key = stage.path("key.json");
        let content = json!({"issuer": stage.peer.issuer, "client_id": "triage", "private_jwk": stage.peer.private_jwk()});
        std::fs::write(&key, content.to_string()).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn args(&self, flags: &[&str], script: &str) -> Args {
        let (key, folder) = (self.path("key.json"), self.folder.path().to_owned());
        let fixed = ["run", "--resource", "https://tickets.example.com/mcp", "--key-file"];
        let line = fixed.iter().map(OsString::from).chain([key.into()]);
        let line =
            line.chain(["--runtime-dir".into(), folder.into()]).chain(flags.iter().map(OsString::from));
        let line = line.chain(["--", "/bin/sh", "-c", script].map(OsString::from));
        Program::try_parse_from(line).unwrap().args
    }

    async fn run(&self, flags: &[&str], script: &str) -> i32 {
        supervise(self.args(flags, script)).await.unwrap()
    }

    /// The paths that requests were made to, by what they carried.
    fn handed_back(&self) -> Vec<String> {
        self.peer
            .with(|shared| shared.requests.iter().filter_map(|form| form.get("token").cloned()).collect())
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[tokio::test]
async fn the_command_finds_its_token_and_afterwards_nothing_is_left() {
    let stage = Stage::set().await;
    let deadline = stage.peer.clock.now().0 + 900;
    stage.peer.with(|shared| shared.task_deadline = Some(deadline));
    let out = stage.path("out");
    let script = format!(
        r#"{{ cat "$TASKPASS_TOKEN_FILE"; stat -c ' %a' "$TASKPASS_TOKEN_FILE"; echo "$TASKPASS_TASK $TASKPASS_TASK_DEADLINE";
        echo "$TASKPASS_TOKEN_FILE"; echo "$TASKPASS_TOKEN_URL"; }} > {}; exit 7"#,
        out.display()
    );
    assert_eq!(stage.run(&[], &script).await, 7);
    let text = read(&out);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "tok_1 600");
    assert_eq!(lines[1], format!("tsk_1 {deadline}"));
    assert!(lines[2].starts_with(stage.folder.path().to_str().unwrap()) && !Path::new(lines[2]).exists());
    assert!(lines[3].starts_with("http://127.0.0.1:"));
    assert_eq!(stage.handed_back(), ["tok_1"]);
    assert_eq!(std::fs::read_dir(stage.folder.path()).unwrap().count(), 2, "the key and the output");
}

#[tokio::test]
async fn a_command_that_dies_of_a_signal_is_128_and_that_and_the_task_is_handed_back() {
    let stage = Stage::set().await;
    assert_eq!(stage.run(&["--no-endpoint"], r#"test -z "$TASKPASS_TOKEN_URL" && kill -9 $$"#).await, 137);
    assert_eq!(stage.handed_back(), ["tok_1"]);
}

#[tokio::test]
async fn a_command_that_does_not_exist_leaves_no_open_task() {
    let stage = Stage::set().await;
    let mut args = stage.args(&[], "");
    args.command = vec!["/nonexistent/command".into()];
    assert_eq!(supervise(args).await.unwrap_err().exit_code, 127);
    assert_eq!(stage.handed_back(), ["tok_1"]);
}

#[tokio::test]
async fn a_task_that_is_refused_starts_nothing() {
    let stage = Stage::set().await;
    stage.peer.script([refusal(400, "invalid_target", "resource_unknown")]);
    let out = stage.path("out");
    let error = supervise(stage.args(&[], &format!("touch {}", out.display()))).await.unwrap_err();
    assert_eq!((error.exit_code, out.exists()), (3, false));
    assert!(error.message.contains("resource_unknown") && error.hint.is_some());
}

#[tokio::test]
async fn the_file_is_renewed_and_the_last_token_is_handed_back() {
    let stage = Stage::set().await;
    stage.peer.with(|shared| shared.expires_in = 3);
    let file = stage.path("token");
    // On a busy machine the third token may be gone before it is looked at; any after the second will do.
    let script = r#"for _ in $(seq 600); do case "$(cat "$TASKPASS_TOKEN_FILE" 2>/dev/null)" in
        ""|tok_1|tok_2) sleep 0.05;; *) exit 0;; esac; done; exit 9"#;
    assert_eq!(stage.run(&["--token-file", file.to_str().unwrap()], script).await, 0);
    let handed_back = stage.handed_back();
    assert!(matches!(&handed_back[..], [last] if last != "tok_1" && last != "tok_2"), "{handed_back:?}");
    assert!(!file.exists());
}

#[tokio::test]
async fn a_revoked_task_takes_the_token_away_and_the_command_only_on_demand() {
    for (flags, code) in [(&[][..], 5), (&["--kill-on-revoke"][..], 143)] {
        let stage = Stage::set().await;
        stage.peer.with(|shared| {
            shared.expires_in = 2;
        });
        // The first token's task is tsk_1; its renewal finds it over.
        let revoke = async {
            while stage.peer.requests() < 1 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            stage.peer.with(|shared| shared.over.insert("tsk_1".into()));
        };
        let script = r#"while [ -e "$TASKPASS_TOKEN_FILE" ]; do sleep 0.05; done; sleep 1; exit 5"#;
        let (ended, ()) = tokio::join!(stage.run(flags, script), revoke);
        assert_eq!(ended, code);
        assert!(stage.handed_back().is_empty(), "it is over already");
    }
}

#[tokio::test]
async fn a_command_that_ignores_sigterm_is_killed_after_its_grace() {
    let stage = Stage::set().await;
    stage.peer.with(|shared| shared.expires_in = 2);
    let revoke = async {
        while stage.peer.requests() < 1 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        stage.peer.with(|shared| shared.over.insert("tsk_1".into()));
    };
    let flags = ["--kill-on-revoke", "--grace", "1"];
    let (ended, ()) = tokio::join!(stage.run(&flags, "trap '' TERM; while :; do sleep 0.1; done"), revoke);
    assert_eq!(ended, 137);
}

#[tokio::test]
async fn a_hand_back_that_fails_is_tried_again_and_does_not_change_the_exit_code() {
    let stage = Stage::set().await;
    let once = async {
        while stage.peer.requests() < 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stage.peer.script([Reply(503, vec![], json!({"error": "temporarily_unavailable"}))]);
    };
    let (ended, ()) = tokio::join!(stage.run(&[], "sleep 0.3; exit 4"), once);
    assert_eq!(ended, 4);
    assert_eq!(stage.handed_back(), ["tok_1", "tok_1"]);
}

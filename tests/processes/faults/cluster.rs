//! A PostgreSQL of a test's own, which may be stopped, killed and set back.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use sqlx::{Connection as _, Executor as _, Row as _};
use taskpass::time::monotonic;

use super::stage::{signal, state_of, stop};

/// The cluster; it ends, and its folder goes, when this is dropped.
pub(super) struct Cluster {
    script: Child,
    url: url::Url,
    data: PathBuf,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The end of its input is the end of the command that the script runs.
        drop(self.script.stdin.take());
        let _ = self.script.wait();
    }
}

impl Cluster {
    pub(super) fn start(test: &str) -> Option<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let script = root.join("scripts/with-postgres");
        let installed =
            Command::new(&script).arg("--check").stderr(Stdio::null()).status().unwrap().success();
        if !installed {
            assert!(crate::setting("CI").as_deref() != Some("true"), "{test}: CI needs PostgreSQL");
            eprintln!("SKIP {test}: no PostgreSQL server is installed");
            return None;
        }
        let mut script = Command::new(script)
            .args(["bash", "-c", "echo \"$TASKPASS_TEST_POSTGRES_URL\"; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(script.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let url = url::Url::parse(line.trim()).expect("with-postgres says where it is");
        let data = run(async {
            let mut connection = sqlx::PgConnection::connect(url.as_str()).await.unwrap();
            let row = connection.fetch_one("SHOW data_directory").await.unwrap();
            PathBuf::from(row.get::<String, _>(0))
        });
        Some(Self { script, url, data })
    }

    /// The URL of a database in it, which is made now; perhaps a copy of another that nobody is connected to.
    pub(super) fn create(&self, name: &str, template: Option<&str>) -> String {
        let template = template.map(|other| format!(" TEMPLATE {other}")).unwrap_or_default();
        self.execute(&format!("CREATE DATABASE {name}{template}"));
        let mut url = self.url.clone();
        url.set_path(name);
        url.into()
    }

    /// Drops a database, whoever is connected.
    pub(super) fn drop_database(&self, name: &str) {
        self.execute(&format!("DROP DATABASE {name} WITH (FORCE)"));
    }

    fn execute(&self, statement: &str) {
        run(async {
            let mut connection = sqlx::PgConnection::connect(self.url.as_str()).await.unwrap();
            connection.execute(sqlx::AssertSqlSafe(statement.to_owned())).await.unwrap();
            connection.close().await.unwrap();
        });
    }

    pub(super) fn address(&self) -> std::net::SocketAddr {
        format!("127.0.0.1:{}", self.url.port().unwrap()).parse().unwrap()
    }

    fn server(&self) -> u32 {
        let file = std::fs::read_to_string(self.data.join("postmaster.pid")).unwrap();
        file.lines().next().unwrap().trim().parse().unwrap()
    }

    /// The server and its children.
    fn processes(&self) -> Vec<u32> {
        let server = self.server();
        let parent = |pid: &u32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse::<u32>().ok()
        };
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        std::iter::once(server).chain(pids.filter(|pid| parent(pid) == Some(server))).collect()
    }

    /// Everything of it stands still. The server first: it must not start others while they are looked for.
    pub(super) fn stop(&self) {
        stop(self.server());
        self.processes().into_iter().skip(1).for_each(stop);
    }

    pub(super) fn go_on(&self) {
        self.processes().into_iter().for_each(|pid| signal(pid, Signal::CONT));
    }

    /// SIGKILL for all of it; none of it is there any more when this returns.
    pub(super) fn kill(&self) {
        stop(self.server());
        let all = self.processes();
        // The server first: it would put itself together again after its children.
        all.iter().copied().for_each(signal_if_there);
        let started = monotonic();
        while all.iter().any(|pid| !matches!(state_of(*pid), None | Some('Z'))) {
            assert!(monotonic().duration_since(started) < Duration::from_secs(30), "PostgreSQL goes on");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Starts it after it was killed, with the settings that it had.
    pub(super) fn restart(&self) {
        let options = std::fs::read_to_string(self.data.join("postmaster.opts")).unwrap();
        let programs = Path::new(options.split_whitespace().next().unwrap()).parent().unwrap();
        for attempt in 0.. {
            let mut command = Command::new(programs.join("pg_ctl"));
            if rustix::process::geteuid().is_root() {
                command = Command::new("runuser");
                command.args(["-u", "postgres", "--"]).arg(programs.join("pg_ctl"));
            }
            // Without a running server, `restart` starts one by the options of the last.
            command
                .args(["restart", "--wait", "--timeout", "30", "--log"])
                .arg(self.data.join("../server.log"));
            let output = command.arg("--pgdata").arg(&self.data).current_dir("/").output().unwrap();
            if output.status.success() {
                return;
            }
            assert!(attempt < 20, "{}", String::from_utf8_lossy(&output.stderr));
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

/// A child may have ended with the server already.
fn signal_if_there(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    let _ = rustix::process::kill_process(pid, Signal::KILL);
}

fn run<T>(what: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(what)
}

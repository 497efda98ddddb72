//! Real `taskpass serve` processes. Each is stopped through its own [`Child`], and nothing else is ever signalled.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use taskpass::time::monotonic;

use crate::wire::Connection;
use crate::world::World;

const PATIENCE: Duration = Duration::from_secs(60);

/// How a node is started, again and again if need be: same data, same address.
pub(crate) struct Recipe {
    pub(crate) address: SocketAddr,
    pub(crate) issuer: String,
    pub(crate) database_url: String,
    pub(crate) folder: PathBuf,
}

/// A running node, killed when dropped.
pub(crate) struct Node {
    child: Child,
    pub(crate) address: SocketAddr,
    log: PathBuf,
}

impl Recipe {
    /// Starts a node, without waiting until it is ready.
    pub(crate) fn spawn(&self) -> Node {
        self.spawn_by(taskpass())
    }

    /// The same with a command that ends in the program.
    pub(crate) fn spawn_by(&self, mut command: Command) -> Node {
        let log = self.folder.join(format!("node-{}.log", self.address.port()));
        let output = std::fs::File::options().create(true).append(true).open(&log).unwrap();
        let child = command
            .args(["serve", "--listen", &self.address.to_string(), "--public-url", &self.issuer])
            .arg("--data-dir")
            .arg(&self.folder)
            .arg("--registry")
            .arg(self.folder.join("registry.yaml"))
            .env("TASKPASS_DATABASE_URL", &self.database_url)
            // One key for all nodes, as an operator of several has it.
            .env("TASKPASS_WRAPPING_KEY", "5a".repeat(32))
            .env("TASKPASS_TOKEN_LIMIT_PER_SECOND", "0")
            .env("TASKPASS_INTROSPECTION_LIMIT_PER_SECOND", "0")
            .env("TASKPASS_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        Node { child, address: self.address, log }
    }

    /// Starts a node and waits until it is ready.
    pub(crate) fn start(&self, world: &World) -> Node {
        let mut node = self.spawn();
        node.wait_until_ready(world);
        node
    }
}

impl Node {
    pub(crate) fn wait_until_ready(&mut self, world: &World) {
        let started = monotonic();
        let request =
            format!("GET /readyz HTTP/1.1\r\nHost: {}\r\n\r\n", world.issuer.trim_start_matches("http://"));
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("a node ended before it was ready ({status}); it wrote:\n{}", self.last_words());
            }
            if Connection::new(self.address).ask(request.as_bytes()).is_ok_and(|answer| answer.status == 200)
            {
                return;
            }
            assert!(
                monotonic().duration_since(started) < PATIENCE,
                "a node isn't ready; it wrote:\n{}",
                self.last_words()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// SIGKILL: no handler runs, nothing is flushed.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn last_words(&self) -> String {
        last_words(&self.log)
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

/// The end of a log.
pub(crate) fn last_words(log: &Path) -> String {
    let log = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program under test, without any settings of the caller's own.
pub(crate) fn taskpass() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_taskpass"));
    command.env_clear().env("RUST_BACKTRACE", "1");
    command
}

/// Whether `taskpass audit verify` finds the trail whole; if not, what it says.
pub(crate) fn verify_audit(database_url: &str) -> Result<u64, String> {
    let output = taskpass()
        .args(["audit", "verify", "--json"])
        .env("TASKPASS_DATABASE_URL", database_url)
        .output()
        .unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(said);
    }
    let report: Value = serde_json::from_slice(&output.stdout).map_err(|error| format!("{error}: {said}"))?;
    report["tenants"][0]["rows"].as_u64().ok_or(said)
}

/// Every audit row, oldest first.
pub(crate) fn audit_rows(database_url: &str) -> Vec<Value> {
    let output =
        taskpass().args(["audit", "export"]).env("TASKPASS_DATABASE_URL", database_url).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

/// Free ports below the range from which the system takes client ports: a node that is started again finds its port free.
pub(crate) fn free_addresses(count: usize, random: impl Fn() -> u64) -> Vec<SocketAddr> {
    let mut held: Vec<TcpListener> = Vec::new();
    while held.len() < count {
        let port = u16::try_from(20_000 + random() % 12_000).unwrap();
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(listener) => held.push(listener),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::AddrInUse),
        }
    }
    held.iter().map(|listener| listener.local_addr().unwrap()).collect()
}

pub(crate) fn write_registry(folder: &Path, world: &World) {
    std::fs::write(folder.join("registry.yaml"), world.registry().to_string()).unwrap();
}

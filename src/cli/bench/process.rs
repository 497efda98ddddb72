//! A process that is measured: a child of this one, whose output is kept for complaints, stopped by its own process id.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use super::load::Connection;
use super::proc::{self, Memory};
use super::world;
use crate::cli::error::CliError;
use crate::time::monotonic;

/// How long it may take to become ready, and to stop.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running process. When it is dropped it is killed.
#[derive(Debug)]
pub(super) struct Process {
    name: &'static str,
    child: Child,
    pid: u32,
    log: PathBuf,
}

impl Process {
    /// Starts it; what it writes goes into the file `log`.
    pub(super) fn start(name: &'static str, mut command: Command, log: PathBuf) -> Result<Self, CliError> {
        let output = std::fs::File::create(&log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child =
            command.spawn().map_err(|error| CliError::new(format!("the {name} can't start: {error}")))?;
        let pid = child.id().ok_or_else(|| CliError::new(format!("the {name} ended at once")))?;
        Ok(Self { name, child, pid, log })
    }

    /// Waits until `/readyz` at this address says so.
    pub(super) async fn wait_until_ready(&mut self, address: SocketAddr) -> Result<(), CliError> {
        let (name, started) = (self.name, monotonic());
        let request = world::get(&format!("http://{address}"), "/readyz");
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Err(self.complaint(&format!("the {name} ended before it was ready ({status})")));
            }
            let answer = tokio::time::timeout(Duration::from_secs(2), async {
                Connection::open(address).await?.ask(&request).await
            });
            if matches!(answer.await, Ok(Ok(answer)) if answer.status == 200) {
                return Ok(());
            }
            if monotonic().duration_since(started) > PATIENCE {
                let seconds = PATIENCE.as_secs();
                return Err(self.complaint(&format!("the {name} wasn't ready after {seconds} s")));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// An error that ends with the last lines that it wrote.
    fn complaint(&self, message: &str) -> CliError {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(30)..].join("\n");
        CliError::new(format!("{message}; it wrote:\n{tail}")).exit_code(4)
    }

    /// Its memory, in MiB.
    pub(super) fn memory_mib(&self, which: Memory) -> Result<f64, CliError> {
        proc::memory_mib(self.pid, which).map_err(|error| self.complaint(&error.message))
    }

    /// The processor time it has used so far.
    pub(super) fn processor_time(&self) -> Result<Duration, CliError> {
        proc::processor_time(self.pid).map_err(|error| self.complaint(&error.message))
    }

    /// Asks it to stop, waits, and kills it if it won't. What it wrote is shown when it doesn't end well.
    pub(super) async fn stop(mut self) -> Result<(), CliError> {
        let name = self.name;
        // The child hasn't been waited for, so that the process id is still its own.
        if let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) {
            kill_process(pid, Signal::TERM).map_err(io::Error::from)?;
        }
        match tokio::time::timeout(PATIENCE, self.child.wait()).await {
            Ok(status) if status.as_ref().is_ok_and(std::process::ExitStatus::success) => Ok(()),
            Ok(status) => Err(self.complaint(&format!("the {name} didn't end well ({})", status?))),
            Err(_) => {
                self.child.kill().await?;
                let seconds = PATIENCE.as_secs();
                Err(self.complaint(&format!("the {name} didn't stop within {seconds} s")))
            }
        }
    }
}

/// A command of the same program, or of another one, without the caller's own settings.
#[expect(
    clippy::disallowed_methods,
    reason = "a child of the same binary, without the caller's own settings"
)]
pub(super) fn command(binary: Option<&Path>) -> Result<Command, CliError> {
    let binary = match binary {
        Some(binary) => binary.to_owned(),
        None => std::env::current_exe()?,
    };
    let mut command = Command::new(binary);
    command.kill_on_drop(true);
    // What the caller has set for a server of their own must not reach the one that is measured.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TASKPASS_") {
            command.env_remove(name);
        }
    }
    // 0 lifts the limits: one client sends everything here.
    command.env("TASKPASS_TOKEN_LIMIT_PER_SECOND", "0").env("TASKPASS_INTROSPECTION_LIMIT_PER_SECOND", "0");
    command.env("TASKPASS_LOG", "warn").env("RUST_LOG", "warn");
    Ok(command)
}

/// A port that is free now. Another process could take it before the child does; then the child says so.
pub(super) fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

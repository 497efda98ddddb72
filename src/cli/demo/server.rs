//! The server of the demo: the same program, started as a child in a temporary folder.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::{Child, Command};

use super::narrator::Failure;
use crate::entropy::Entropy;
use crate::time::{Timestamp, monotonic};

/// How long the server may take to say that it is ready.
const PATIENCE: Duration = Duration::from_secs(30);

/// A folder that only this user can read, removed at the end unless it is to be kept.
pub(super) struct Folder {
    path: PathBuf,
    keep: bool,
}

impl Folder {
    /// A new folder below the system's temporary folder.
    pub(super) fn create(keep: bool, now: Timestamp) -> std::io::Result<Self> {
        let name = Entropy::default().ordered_id("taskpass-demo", now);
        let path = std::env::temp_dir().join(name);
        let mut builder = std::fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path)?;
        Ok(Self { path, keep })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.keep {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// The running server.
pub(super) struct Server {
    child: Child,
    url: String,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the demo's server is this very program, wherever it was installed"
)]
fn this_program() -> std::io::Result<PathBuf> {
    std::env::current_exe()
}

/// The flags that name the database of the demo.
fn database(folder: &Path) -> [String; 4] {
    let path = |name: &str| folder.join(name).display().to_string();
    [
        "--database-url".into(),
        format!("sqlite:{}", path("taskpass.sqlite")),
        "--data-dir".into(),
        path("data"),
    ]
}

impl Server {
    /// Starts the server on a free port of this machine; what it logs goes to `server.log`.
    pub(super) fn start(folder: &Path) -> Result<Self, Failure> {
        // The port is free again when the server takes it. Another program could take it first; then it doesn't start.
        let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let url = format!("http://{address}");
        std::fs::create_dir_all(folder.join("data"))?;
        let log = std::fs::File::create(folder.join("server.log"))?;
        let child = Command::new(this_program()?)
            .arg("serve")
            .args(["--listen", &address.to_string(), "--public-url", &url])
            .args(database(folder))
            .arg("--registry")
            .arg(folder.join("registry.yaml"))
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::from(log.try_clone()?))
            .stderr(Stdio::from(log))
            .kill_on_drop(true)
            .spawn()?;
        Ok(Self { child, url })
    }

    /// Its URL, which is also its issuer.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Waits until `/readyz` answers 200.
    pub(super) async fn ready(&mut self, client: &reqwest::Client, folder: &Path) -> Result<(), Failure> {
        let deadline = monotonic() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Err(Failure(format!("the server ended at once ({status}):\n{}", log_tail(folder))));
            }
            match client.get(format!("{}/readyz", self.url)).send().await {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                _ if monotonic() > deadline => {
                    return Err(Failure(format!(
                        "the server isn't ready after {PATIENCE:?}:\n{}",
                        log_tail(folder)
                    )));
                }
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// Stops the server and waits until it is gone.
    pub(super) async fn stop(mut self) -> std::io::Result<()> {
        self.child.kill().await
    }
}

/// Runs `taskpass audit verify` on the demo's database, as an auditor would.
pub(super) async fn audit_verify(folder: &Path) -> Result<Output, Failure> {
    let mut command = Command::new(this_program()?);
    command.args(["audit", "verify"]).args(database(folder)).current_dir(folder).stdin(Stdio::null());
    let run = command.kill_on_drop(true).output();
    match tokio::time::timeout(PATIENCE, run).await {
        Ok(output) => Ok(output?),
        Err(_) => Err(Failure::new("`taskpass audit verify` didn't end")),
    }
}

/// The last lines that the server logged.
pub(super) fn log_tail(folder: &Path) -> String {
    let log = std::fs::read_to_string(folder.join("server.log")).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_goes_unless_it_is_kept() {
        let folder = Folder::create(false, Timestamp(1_800_000_000)).unwrap();
        let path = folder.path().to_owned();
        assert!(path.is_dir());
        drop(folder);
        assert!(!path.exists());
    }
}

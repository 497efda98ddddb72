//! The server that is measured: a child process in a temporary folder, stopped by its own process id.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use super::load::Connection;
use super::proc::{self, Memory};
use super::world::{self, World};
use crate::cli::error::CliError;
use crate::entropy::Entropy;
use crate::secret::Secret;
use crate::time::{Clock, monotonic};

/// How long the server may take to become ready, and to stop.
const PATIENCE: Duration = Duration::from_secs(30);

/// How to start the server.
pub(super) struct Start<'a> {
    /// The program; this one unless told otherwise.
    pub(super) binary: Option<&'a Path>,
    /// Where the temporary folder is made.
    pub(super) parent: Option<&'a Path>,
    /// An empty PostgreSQL database, else SQLite in the temporary folder.
    pub(super) database_url: Option<&'a Secret>,
}

/// A running server. When it is dropped it is killed, and its folder removed.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    pid: u32,
    /// Where it listens.
    pub(super) address: SocketAddr,
    /// Its issuer URL.
    pub(super) issuer: String,
    /// Which engine stores.
    pub(super) database: &'static str,
    /// Whether what it acknowledged would survive a power cut, as far as this side can know.
    pub(super) durable: bool,
    /// Its memory before the first request, in MiB.
    pub(super) idle_mib: f64,
    log: PathBuf,
    // Fields are dropped in this order: the child before its folder.
    _folder: TempFolder,
}

impl Server {
    /// Starts it with the world's registry and waits until it is ready.
    pub(super) async fn start(start: &Start<'_>, world: &World) -> Result<Self, CliError> {
        let folder = TempFolder::create(start.parent)?;
        let registry = folder.0.join("registry.yaml");
        std::fs::write(&registry, world.registry().to_string())?;
        let log = folder.0.join("server.log");
        let address = free_address()?;
        let issuer = format!("http://{address}");
        let (database, durable, database_url) = if let Some(url) = start.database_url {
            // The server asks for `synchronous_commit=on`; whether the cluster's own `fsync` is on can't be seen here.
            ("postgres", true, url.clone())
        } else {
            let url = Secret::new(format!("sqlite:{}", folder.0.join("bench.sqlite").display()));
            ("sqlite", !proc::is_in_memory(&folder.0)?, url)
        };
        let mut command = command(start.binary)?;
        command.args(["serve", "--listen", &address.to_string(), "--public-url", &issuer]);
        command.arg("--data-dir").arg(&folder.0).arg("--registry").arg(&registry);
        // By environment, since everybody on the machine can read arguments, and a URL may contain a password.
        command.env("TASKPASS_DATABASE_URL", database_url.expose());
        let output = std::fs::File::create(&log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child =
            command.spawn().map_err(|error| CliError::new(format!("the server can't start: {error}")))?;
        let pid = child.id().ok_or_else(|| CliError::new("the server ended at once"))?;
        let mut server =
            Self { child, pid, address, issuer, database, durable, idle_mib: 0.0, log, _folder: folder };
        server.wait_until_ready().await?;
        server.idle_mib = server.memory_mib(Memory::Now)?;
        Ok(server)
    }

    async fn wait_until_ready(&mut self) -> Result<(), CliError> {
        let started = monotonic();
        let request = world::get(&self.issuer, "/readyz");
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Err(self.complaint(&format!("the server ended before it was ready ({status})")));
            }
            let answer = tokio::time::timeout(Duration::from_secs(2), async {
                Connection::open(self.address).await?.ask(&request).await
            });
            if matches!(answer.await, Ok(Ok(answer)) if answer.status == 200) {
                break;
            }
            if monotonic().duration_since(started) > PATIENCE {
                return Err(
                    self.complaint(&format!("the server wasn't ready after {} s", PATIENCE.as_secs()))
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // Idle is what is left when the work of starting is over.
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(())
    }

    /// An error that ends with the last lines that the server wrote.
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
        // The child hasn't been waited for, so that the process id is still its own.
        if let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) {
            kill_process(pid, Signal::TERM).map_err(io::Error::from)?;
        }
        match tokio::time::timeout(PATIENCE, self.child.wait()).await {
            Ok(status) if status.as_ref().is_ok_and(std::process::ExitStatus::success) => Ok(()),
            Ok(status) => Err(self.complaint(&format!("the server didn't end well ({})", status?))),
            Err(_) => {
                self.child.kill().await?;
                Err(self.complaint(&format!("the server didn't stop within {} s", PATIENCE.as_secs())))
            }
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a child of the same binary, without the caller's own settings"
)]
fn command(binary: Option<&Path>) -> Result<Command, CliError> {
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

/// A port that is free now. Another process could take it before the server does; then the server says so.
fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// A folder that only this user can read, removed when dropped.
#[derive(Debug)]
struct TempFolder(PathBuf);

impl TempFolder {
    fn create(parent: Option<&Path>) -> Result<Self, CliError> {
        let parent = parent.map_or_else(std::env::temp_dir, Path::to_owned);
        let path = parent.join(Entropy::default().ordered_id("taskpass-bench", Clock::default().now()));
        let created = std::fs::DirBuilder::new().mode(0o700).create(&path);
        created.map_err(|error| CliError::new(format!("{}: {error}", path.display())))?;
        Ok(Self(path))
    }
}

impl Drop for TempFolder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("{} is left behind: {error}", self.0.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn script(folder: &TempFolder, text: &str) -> PathBuf {
        let path = folder.0.join("server.sh");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        path
    }

    #[tokio::test]
    async fn a_server_that_ends_at_once_is_quoted_and_its_folder_removed() {
        let folder = TempFolder::create(None).unwrap();
        let binary =
            script(&folder, "#!/bin/sh\necho \"no such database: $TASKPASS_DATABASE_URL\" >&2\nexit 3\n");
        let url = Secret::new("postgres://bench".to_owned());
        let start = Start { binary: Some(&binary), parent: Some(&folder.0), database_url: Some(&url) };
        let error = Server::start(&start, &World::new(false).unwrap()).await.unwrap_err();
        assert!(error.message.contains("exit status: 3"), "{error}");
        assert!(error.message.ends_with("no such database: postgres://bench"), "{error}");
        let left: Vec<_> =
            std::fs::read_dir(&folder.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["server.sh"]);
    }

    #[test]
    fn the_folder_is_private_and_removed() {
        let folder = TempFolder::create(None).unwrap();
        let path = folder.0.clone();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        std::fs::write(path.join("x"), "x").unwrap();
        drop(folder);
        assert!(!path.exists());
    }
}

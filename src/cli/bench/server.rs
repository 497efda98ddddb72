//! The server that is measured: a child process in a temporary folder.

use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::proc::{self, Memory};
use super::process::{Process, command, free_address};
use super::world::World;
use crate::cli::error::CliError;
use crate::entropy::Entropy;
use crate::secret::Secret;
use crate::time::Clock;

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
    process: Process,
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
    // Fields are dropped in this order: the child before its folder.
    folder: TempFolder,
}

impl Server {
    /// Starts it with the world's registry and waits until it is ready.
    pub(super) async fn start(start: &Start<'_>, world: &World) -> Result<Self, CliError> {
        let folder = TempFolder::create(start.parent)?;
        let registry = folder.0.join("registry.yaml");
        std::fs::write(&registry, world.registry().to_string())?;
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
        let mut process = Process::start("server", command, folder.0.join("server.log"))?;
        process.wait_until_ready(address).await?;
        // Idle is what is left when the work of starting is over.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let idle_mib = process.memory_mib(Memory::Now)?;
        Ok(Self { process, address, issuer, database, durable, idle_mib, folder })
    }

    /// Its folder, for what else belongs to the run.
    pub(super) fn folder(&self) -> &Path {
        &self.folder.0
    }

    /// Its memory, in MiB.
    pub(super) fn memory_mib(&self, which: Memory) -> Result<f64, CliError> {
        self.process.memory_mib(which)
    }

    /// The processor time it has used so far.
    pub(super) fn processor_time(&self) -> Result<Duration, CliError> {
        self.process.processor_time()
    }

    /// Stops it.
    pub(super) async fn stop(self) -> Result<(), CliError> {
        self.process.stop().await
    }
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

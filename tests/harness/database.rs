//! A database of its own for each test.

use std::io::Write as _;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use taskpass::entropy::Entropy;
use taskpass::time::Timestamp;
use tempfile::TempDir;

/// Which engine a test runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

/// A fresh database and a folder for what the server keeps beside it.
pub(crate) struct Database {
    pub(crate) url: String,
    pub(crate) folder: TempDir,
    /// The server's URL and the database's name, to drop it.
    made: Option<(String, String)>,
}

#[expect(clippy::disallowed_methods, reason = "the one place where tests are told where PostgreSQL is")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Where PostgreSQL is; `None` says loudly that its tests are skipped, and is a failure in CI.
fn postgres() -> Option<String> {
    let url = variable("TASKPASS_TEST_POSTGRES_URL");
    if url.is_none() {
        let test = std::thread::current().name().unwrap_or_default().to_owned();
        assert!(
            variable("CI").as_deref() != Some("true"),
            "TASKPASS_TEST_POSTGRES_URL is not set, which CI=true doesn't allow"
        );
        // Straight to standard error: the test runner hides what a passing test prints.
        let text = format!("SKIP {test}: TASKPASS_TEST_POSTGRES_URL is not set; use scripts/with-postgres\n");
        let _ = std::io::stderr().write_all(text.as_bytes());
    }
    url
}

impl Database {
    /// Makes one; `None` if this engine is not there.
    pub(crate) async fn create(engine: Engine) -> Option<Self> {
        // Memory where there is some: the tests are about decisions, and durability has tests of its own.
        let shm = std::path::Path::new("/dev/shm");
        let folder = if shm.is_dir() { TempDir::new_in(shm) } else { TempDir::new() }.unwrap();
        if engine == Engine::Sqlite {
            let url = format!("sqlite:{}", folder.path().join("taskpass.sqlite").display());
            return Some(Self { url, folder, made: None });
        }
        let server = postgres()?;
        let name = Entropy::default().ordered_id("taskpass", Timestamp(0)).to_ascii_lowercase();
        let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
        command(&server, format!("CREATE DATABASE {name}")).await;
        let (base, _) = server.rsplit_once('/').unwrap();
        Some(Self { url: format!("{base}/{name}"), folder, made: Some((server, name)) })
    }

    /// Removes it.
    pub(crate) async fn remove(self) {
        if let Some((server, name)) = self.made {
            command(&server, format!("DROP DATABASE {name} WITH (FORCE)")).await;
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "databases are made outside of any; storage has no statement for it"
)]
async fn command(server: &str, sql: String) {
    let mut connection = PgConnection::connect(server).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

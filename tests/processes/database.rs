//! A PostgreSQL database of a test's own, in the cluster that `TASKPASS_TEST_POSTGRES_URL` names.

use sqlx::{Connection as _, Executor as _};

/// A database, dropped when this is.
pub(crate) struct Postgres {
    server: String,
    name: String,
    pub(crate) url: String,
}

impl Postgres {
    /// A new, empty database. Without a cluster: none, said loudly, and a failure in CI.
    pub(crate) fn create(test: &str) -> Option<Self> {
        let Some(server) = crate::setting("TASKPASS_TEST_POSTGRES_URL") else {
            assert!(
                crate::setting("CI").as_deref() != Some("true"),
                "{test}: CI needs TASKPASS_TEST_POSTGRES_URL"
            );
            eprintln!(
                "SKIP {test}: TASKPASS_TEST_POSTGRES_URL is not set; run scripts/with-postgres cargo test"
            );
            return None;
        };
        let name =
            taskpass::entropy::Entropy::default().ordered_id(test, taskpass::time::Clock::default().now());
        let name = name.to_ascii_lowercase();
        execute(&server, &format!("CREATE DATABASE \"{name}\""));
        let mut url = url::Url::parse(&server).unwrap();
        url.set_path(&name);
        Some(Self { server, name, url: url.into() })
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        execute(&self.server, &format!("DROP DATABASE \"{}\" WITH (FORCE)", self.name));
    }
}

fn execute(url: &str, statement: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
        connection.execute(sqlx::AssertSqlSafe(statement.to_owned())).await.unwrap();
        connection.close().await.unwrap();
    });
}

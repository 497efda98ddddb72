//! `taskpass restored`: after a database was put back from a copy.

use std::path::PathBuf;

use super::error::CliError;
use super::output;
use crate::entropy::Entropy;
use crate::flows::restore;
use crate::storage::{Db, StorageError, tenants};
use crate::time::Clock;

/// Say that the database was put back from an older copy. Run it once, before the server starts on it.
///
/// The copy has forgotten the revocations that came after it was made. So every revocation log gets a new name, under which
/// no token lives that was minted before: agents exchange again, and what was revoked stays dead.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  taskpass restored --database-url sqlite:taskpass-data/taskpass.sqlite
  taskpass restored --database-url postgres://taskpass@db/taskpass

Agents, people and keys that were revoked after the copy was made are in the registry again as they were then:
`taskpass audit export` of a newer copy says which, and `taskpass revoke` takes them out again.")]
pub struct Args {
    /// The database [default: sqlite:DATA_DIR/taskpass.sqlite].
    #[arg(long, env = "TASKPASS_DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// Where the server keeps its data.
    #[arg(long, env = "TASKPASS_DATA_DIR", default_value = "taskpass-data")]
    data_dir: PathBuf,
}

/// Runs `taskpass restored`.
pub async fn run(args: Args) -> Result<(), CliError> {
    let default = || format!("sqlite:{}", args.data_dir.join("taskpass.sqlite").display());
    let url = args.database_url.clone().unwrap_or_else(default);
    // To look at first: a mistyped name must not make a new database.
    drop(Db::open_existing(&url).await.map_err(|error| {
        CliError::new(format!("{url}: {error}")).hint("name the database with --database-url or --data-dir")
    })?);
    let failed = |error: StorageError| CliError::new(error.to_string());
    let db = Db::open(&url).await.map_err(failed)?;
    let (entropy, now) = (Entropy::default(), Clock::System.now());
    let mut tx = db.control().await.map_err(failed)?;
    for head in tenants::heads(&mut tx).await.map_err(failed)? {
        let mut head = tenants::lock(&mut tx, &head.tenant).await.map_err(failed)?;
        let before = head.rev.clone();
        restore::rename(&mut tx, &mut head, &entropy, ("taskpass restored", now)).await.map_err(failed)?;
        output::line(format!(
            "{}: log {before} is now {}; every token minted before is dead.",
            head.tenant, head.rev
        ));
    }
    tx.commit().await.map_err(failed)?;
    db.close().await;
    Ok(())
}

//! How nodes wake each other: PostgreSQL's LISTEN and NOTIFY. A message only says "look"; the log is the truth, and a node
//! that hears nothing looks by itself.

use sqlx::postgres::PgListener;

use super::macros::execute;
use super::{Db, StorageError, Tx, sql};

const CHANNEL: &str = "taskpass_news";

/// Says, when the transaction commits, that the tenant's log or registry has moved. On SQLite there is nobody to tell.
pub async fn announce(tx: &mut Tx, tenant: &str) -> Result<(), StorageError> {
    if matches!(tx, Tx::Postgres(_)) {
        execute!(tx, sql::ANNOUNCE, tenant)?;
    }
    Ok(())
}

/// Hears what other nodes announce.
pub struct News(Option<PgListener>);

impl News {
    /// Listens on a connection of its own.
    pub async fn listen(db: &Db) -> Result<Self, StorageError> {
        let Db::Postgres { control, .. } = db else { return Ok(Self(None)) };
        let options = control.connect_options();
        let pool = sqlx::postgres::PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(super::PATIENCE)
            .connect_lazy_with(options.as_ref().clone());
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.listen(CHANNEL).await?;
        Ok(Self(Some(listener)))
    }

    /// Waits for the next announcement. A lost connection is made again; what was announced meanwhile is lost, so that
    /// counts as one.
    pub async fn next(&mut self) -> Result<(), StorageError> {
        match &mut self.0 {
            Some(listener) => Ok(listener.try_recv().await.map(drop)?),
            None => std::future::pending().await,
        }
    }
}

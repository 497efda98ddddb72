//! Durable state on SQLite or PostgreSQL, from one SQL text. No other module names sqlx's query functions.

#![expect(clippy::disallowed_methods, reason = "the one place that runs statements")]

mod macros;
mod sql;

pub mod audit;
pub mod bootstrap;
pub mod clients;
pub mod consents;
pub mod cutoffs;
pub mod grants;
pub mod journal;
pub mod keys;
pub mod leases;
pub mod logins;
pub mod marks;
pub mod news;
pub mod registry;
pub mod requests;
pub mod room;
pub mod sessions;
pub mod tasks;
pub mod tenants;
pub mod tokens;
pub mod wrapping;

use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteError, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Connection as _, Postgres, Sqlite, Transaction};

use room::{Level, Room};
pub use sql::{ALL as STATEMENTS, Sql};

/// Why the database didn't answer as it should.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The URL names no engine that is served.
    #[error("the database URL must begin with sqlite: or postgres://")]
    UnknownEngine,
    /// The driver's own error.
    #[error("database: {0}")]
    Driver(#[from] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("migration: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// Something stored can't be read back.
    #[error("stored data is damaged: {0}")]
    Damaged(String),
    /// There is room left on the disk for revocations only.
    #[error("the disk is full")]
    DiskFull,
}

impl StorageError {
    /// Whether the disk lacks room for what was to be written.
    pub fn is_disk_full(&self) -> bool {
        // SQLite's SQLITE_FULL, and what it says when its shared memory can't grow (SQLITE_IOERR_SHMSIZE).
        const CODES: [&str; 2] = ["13", "4874"];
        match self {
            Self::DiskFull => true,
            Self::Driver(sqlx::Error::Database(error))
                if error.try_downcast_ref::<SqliteError>().is_some() =>
            {
                error.code().is_some_and(|code| CODES.contains(&code.as_ref()))
            }
            _ => false,
        }
    }
}

/// The database: one engine, behind one set of functions.
#[derive(Clone, Debug)]
pub enum Db {
    /// Embedded. One writer with `BEGIN IMMEDIATE`, and readers beside it: plain `BEGIN` on many writers loses most
    /// transactions to "database is locked".
    Sqlite {
        /// The only connection that writes.
        writer: SqlitePool,
        /// Read-only connections.
        reader: SqlitePool,
        /// What its disk has room for.
        room: Arc<Room>,
    },
    /// Shared by many nodes.
    Postgres {
        /// For reads and for the journal.
        pool: PgPool,
        /// For revocation alone, so that it works while everything else waits.
        control: PgPool,
    },
}

/// An open transaction.
#[derive(Debug)]
pub enum Tx {
    /// On SQLite.
    Sqlite(Transaction<'static, Sqlite>),
    /// On PostgreSQL.
    Postgres(Transaction<'static, Postgres>),
}

/// How long a caller waits for a connection before the database counts as away.
const PATIENCE: Duration = Duration::from_secs(5);

impl Db {
    /// Opens the database at `url` (`sqlite:PATH` or `postgres://…`) and brings its schema up to date.
    pub async fn open(url: &str) -> Result<Self, StorageError> {
        let db = if url.starts_with("sqlite:") {
            Self::open_sqlite(url).await?
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            Self::open_postgres(url).await?
        } else {
            return Err(StorageError::UnknownEngine);
        };
        db.migrate().await?;
        Ok(db)
    }

    /// Opens a database that a server has made, to read it; a missing one is an error, not an empty one.
    pub async fn open_existing(url: &str) -> Result<Self, StorageError> {
        if !url.starts_with("sqlite:") {
            return Self::open(url).await;
        }
        let options = SqliteConnectOptions::from_str(url)?.read_only(true).busy_timeout(PATIENCE);
        let reader = SqlitePoolOptions::new().max_connections(2).connect_with(options).await?;
        Ok(Self::Sqlite { writer: reader.clone(), reader, room: Arc::new(Room::unbounded()) })
    }

    async fn open_sqlite(url: &str) -> Result<Self, StorageError> {
        let options = SqliteConnectOptions::from_str(url)?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // FULL: acknowledged means on the disk. With group commit NORMAL would gain a tenth (decision 0002).
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(PATIENCE)
            .foreign_keys(true)
            .statement_cache_capacity(64)
            .pragma("journal_size_limit", "67108864")
            // A statement that inserts many rows keeps its undo records in memory, not in a file made for each batch.
            .pragma("temp_store", "memory")
            // The log is folded into the file every 16 MB: each time costs two more syncs.
            .pragma("wal_autocheckpoint", "4000")
            .pragma("cache_size", "-8192")
            .disable_statement_logging();
        // On a full disk SQLite rolls back by itself. The driver's own rollback fails then, it counts the transaction as
        // open for ever, and begins none on this connection again: such a connection is replaced.
        let pool = |connections| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(PATIENCE)
                .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
        };
        let writer = pool(1).connect_with(options.clone()).await?;
        let reader = pool(4).connect_lazy_with(options.read_only(true));
        Ok(Self::Sqlite { writer, reader, room: Arc::new(Room::unbounded()) })
    }

    async fn open_postgres(url: &str) -> Result<Self, StorageError> {
        let options = PgConnectOptions::from_str(url)?
            .application_name("taskpass")
            // A node that is paused or cut off inside a transaction must not keep the others waiting.
            .options([
                ("synchronous_commit", "on"),
                ("lock_timeout", "4s"),
                ("statement_timeout", "10s"),
                ("idle_in_transaction_session_timeout", "5s"),
            ])
            .disable_statement_logging();
        let pool = PgPoolOptions::new()
            .max_connections(8)
            .acquire_timeout(PATIENCE)
            .connect_with(options.clone())
            .await?;
        let control =
            PgPoolOptions::new().max_connections(4).acquire_timeout(PATIENCE).connect_lazy_with(options);
        Ok(Self::Postgres { pool, control })
    }

    async fn migrate(&self) -> Result<(), StorageError> {
        match self {
            Self::Sqlite { writer, .. } => sqlx::migrate!("migrations/sqlite").run(writer).await?,
            Self::Postgres { pool, .. } => sqlx::migrate!("migrations/postgres").run(pool).await?,
        }
        Ok(())
    }

    /// What the disk has room for. PostgreSQL's disk is its operator's: there it is always enough.
    pub fn room(&self) -> &Room {
        static ENOUGH: Room = Room::unbounded();
        match self {
            Self::Sqlite { room, .. } => room,
            Self::Postgres { .. } => &ENOUGH,
        }
    }

    /// Keeps so many bytes of the database's disk back for revocations, where it is SQLite's and in a file.
    ///
    /// # Errors
    /// The disk can't be looked at.
    pub fn keep_back(&self, bytes: u64) -> std::io::Result<()> {
        match self {
            Self::Sqlite { writer, room, .. } => {
                let options = writer.connect_options();
                let file = options.get_filename();
                if file.is_file() { room.keep_back(file, bytes) } else { Ok(()) }
            }
            Self::Postgres { .. } => Ok(()),
        }
    }

    /// The engine's name.
    pub fn engine(&self) -> &'static str {
        match self {
            Self::Sqlite { .. } => "sqlite",
            Self::Postgres { .. } => "postgres",
        }
    }

    /// Whether several nodes can share it.
    pub fn is_shared(&self) -> bool {
        matches!(self, Self::Postgres { .. })
    }

    /// A transaction that reads.
    pub async fn read(&self) -> Result<Tx, StorageError> {
        match self {
            Self::Sqlite { reader, .. } => Ok(Tx::Sqlite(reader.begin().await?)),
            Self::Postgres { pool, .. } => Ok(Tx::Postgres(pool.begin().await?)),
        }
    }

    /// A transaction that reads the database as it is at one moment, however long it takes.
    pub async fn snapshot(&self) -> Result<Tx, StorageError> {
        // PostgreSQL's default level shows each statement what was committed meanwhile; SQLite's readers never see it.
        const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        match self {
            Self::Sqlite { .. } => self.read().await,
            Self::Postgres { pool, .. } => Ok(Tx::Postgres(pool.begin_with(BEGIN).await?)),
        }
    }

    /// A transaction that writes.
    ///
    /// # Errors
    /// There is no connection, or room on the disk for revocations only.
    pub async fn write(&self) -> Result<Tx, StorageError> {
        match self.room().level() {
            Level::Revocations => Err(StorageError::DiskFull),
            Level::Evidence | Level::Everything => self.write_in_any_room().await,
        }
    }

    /// A transaction that writes also where there is room on the disk for revocations only: for whoever has looked at that,
    /// makes room, or keeps revocation going.
    pub async fn write_in_any_room(&self) -> Result<Tx, StorageError> {
        match self {
            Self::Sqlite { writer, .. } => Ok(Tx::Sqlite(writer.begin_with("BEGIN IMMEDIATE").await?)),
            Self::Postgres { pool, .. } => Ok(Tx::Postgres(pool.begin().await?)),
        }
    }

    /// A transaction of the revocation path, which has its own capacity.
    pub async fn control(&self) -> Result<Tx, StorageError> {
        match self {
            Self::Sqlite { .. } => self.write_in_any_room().await,
            Self::Postgres { control, .. } => Ok(Tx::Postgres(control.begin().await?)),
        }
    }

    /// A transaction of the revocation path that reads.
    pub async fn control_read(&self) -> Result<Tx, StorageError> {
        match self {
            Self::Sqlite { .. } => self.read().await,
            Self::Postgres { control, .. } => Ok(Tx::Postgres(control.begin().await?)),
        }
    }

    /// Closes every connection after its work is done.
    pub async fn close(&self) {
        match self {
            Self::Sqlite { writer, reader, .. } => {
                reader.close().await;
                writer.close().await;
            }
            Self::Postgres { pool, control } => {
                control.close().await;
                pool.close().await;
            }
        }
    }
}

impl Tx {
    /// Makes everything durable.
    pub async fn commit(self) -> Result<(), StorageError> {
        match self {
            Self::Sqlite(tx) => Ok(tx.commit().await?),
            Self::Postgres(tx) => Ok(tx.commit().await?),
        }
    }
}

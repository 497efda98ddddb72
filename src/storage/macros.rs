//! The dispatch between the engines: the same statement, the same arguments, on the concrete driver.

/// Runs a statement; the number of rows it changed.
macro_rules! execute {
    ($tx:expr, $sql:expr $(, $arg:expr)* $(,)?) => {
        match $tx {
            $crate::storage::Tx::Sqlite(tx) => sqlx::query($sql.sqlite)
                $(.bind($arg))*.execute(&mut **tx).await.map(|done| done.rows_affected()),
            $crate::storage::Tx::Postgres(tx) => sqlx::query($sql.postgres)
                $(.bind($arg))*.execute(&mut **tx).await.map(|done| done.rows_affected()),
        }
    };
}

/// Runs a statement and reads its rows, by the given method, as `$row`.
macro_rules! fetch {
    ($method:ident, $tx:expr, $row:ty, $sql:expr $(, $arg:expr)* $(,)?) => {
        match $tx {
            $crate::storage::Tx::Sqlite(tx) => sqlx::query_as::<_, $row>($sql.sqlite)
                $(.bind($arg))*.$method(&mut **tx).await,
            $crate::storage::Tx::Postgres(tx) => sqlx::query_as::<_, $row>($sql.postgres)
                $(.bind($arg))*.$method(&mut **tx).await,
        }
    };
}

pub(super) use {execute, fetch};

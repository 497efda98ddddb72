//! One suite over both engines: statements, schemas, races.

use std::collections::BTreeMap;

use sqlx::{Connection as _, Executor as _, SqlSafeStr as _};
use taskpass::storage::{Db, STATEMENTS};

/// The PostgreSQL to test with; its absence is said loudly, and is a failure in CI.
fn postgres_url() -> Option<String> {
    let url = std::env::var("TASKPASS_TEST_POSTGRES_URL").ok();
    if url.is_none() {
        assert!(
            std::env::var("CI").is_err(),
            "TASKPASS_TEST_POSTGRES_URL is not set: run scripts/with-postgres cargo test"
        );
        eprintln!("SKIP: no PostgreSQL; run scripts/with-postgres cargo test");
    }
    url
}

/// A fresh database on that server.
async fn fresh_postgres(url: &str) -> String {
    let name = format!(
        "storage_{}",
        taskpass::entropy::Entropy::default().ordered_id("t", taskpass::time::Timestamp(0))
    );
    let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
    connection.execute(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
    let (before, parameters) = url.split_once('?').unwrap_or((url, ""));
    let (server, _) = before.rsplit_once('/').unwrap();
    if parameters.is_empty() { format!("{server}/{name}") } else { format!("{server}/{name}?{parameters}") }
}

#[tokio::test]
async fn every_statement_prepares_on_both_engines() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("s.sqlite").display());
    let Db::Sqlite { writer, .. } = Db::open(&url).await.unwrap() else { panic!("not SQLite") };
    for (name, sql) in STATEMENTS {
        if let Err(error) = writer.prepare(sql.sqlite.into_sql_str()).await {
            panic!("{name} on SQLite: {error}");
        }
    }
    let Some(url) = postgres_url() else { return };
    let Db::Postgres { pool, .. } = Db::open(&fresh_postgres(&url).await).await.unwrap() else {
        panic!("not PostgreSQL")
    };
    for (name, sql) in STATEMENTS {
        if let Err(error) = pool.prepare(sql.postgres.into_sql_str()).await {
            panic!("{name} on PostgreSQL: {error}");
        }
    }
}

#[test]
fn few_statements_differ_between_the_engines() {
    let differing: Vec<_> =
        STATEMENTS.iter().filter(|(_, sql)| sql.sqlite != sql.postgres).map(|(name, _)| *name).collect();
    assert_eq!(
        differing,
        [
            "TENANT_LOCK",
            "ANNOUNCE",
            "LEASES_PUT",
            "TASKS_INSERT",
            "TOKENS_INSERT",
            "USERS_INSERT",
            "MARKS_INSERT",
            "AUDIT_INSERT"
        ],
        "one SQL text for both engines; each exception is counted here"
    );
}

#[tokio::test]
async fn both_schemas_are_the_same_and_every_table_has_its_tenant() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("s.sqlite").display());
    let Db::Sqlite { writer, .. } = Db::open(&url).await.unwrap() else { panic!("not SQLite") };
    let sql = "SELECT m.name, p.name, p.type FROM sqlite_schema m, pragma_table_info(m.name) p
        WHERE m.type = 'table' AND m.name NOT LIKE '\\_%' ESCAPE '\\' ORDER BY 1, 2";
    let sqlite = columns(sqlx::query(sql).fetch_all(&writer).await.unwrap());
    for (table, columns) in &sqlite {
        assert!(columns.contains_key("tenant"), "{table} has no tenant");
    }
    let Some(url) = postgres_url() else { return };
    let Db::Postgres { pool, .. } = Db::open(&fresh_postgres(&url).await).await.unwrap() else {
        panic!("not PostgreSQL")
    };
    let sql = "SELECT table_name::text, column_name::text, data_type::text FROM information_schema.columns
        WHERE table_schema = 'public' AND table_name NOT LIKE '\\_%' ORDER BY 1, 2";
    assert_eq!(sqlite, columns(sqlx::query(sql).fetch_all(&pool).await.unwrap()));
}

/// Table → column → type, in words that both engines share.
fn columns<R: sqlx::Row>(rows: Vec<R>) -> BTreeMap<String, BTreeMap<String, String>>
where
    usize: sqlx::ColumnIndex<R>,
    String: sqlx::Type<R::Database> + for<'r> sqlx::Decode<'r, R::Database>,
{
    let mut tables: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for row in rows {
        let kind = match row.get::<String, _>(2).to_lowercase().as_str() {
            "integer" | "bigint" => "integer",
            "text" => "text",
            other => panic!("{other} is not a portable type"),
        };
        tables.entry(row.get(0)).or_default().insert(row.get(1), kind.to_owned());
    }
    tables
}

/// A full disk makes SQLite roll back by itself; the one connection that writes must not be lost by that.
#[tokio::test]
async fn writes_again_after_the_disk_was_full() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("full.sqlite").display());
    let db = Db::open(&url).await.unwrap();
    let Db::Sqlite { writer, .. } = &db else { unreachable!() };
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(writer).await.unwrap();
    // The same error, and the same rollback, as from a disk without room.
    sqlx::query(sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {}", pages + 2)))
        .execute(writer)
        .await
        .unwrap();
    let mut tx = writer.begin_with("BEGIN IMMEDIATE").await.unwrap();
    sqlx::query("CREATE TABLE ballast (bytes BLOB)").execute(&mut *tx).await.unwrap();
    let filled = sqlx::query("INSERT INTO ballast VALUES (zeroblob(1000000))").execute(&mut *tx).await;
    assert!(filled.unwrap_err().to_string().contains("full"));
    drop(tx);
    db.write().await.expect("a transaction begins").commit().await.unwrap();
}

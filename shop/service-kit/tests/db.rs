//! The database on SQLite, and on PostgreSQL when there is one: start-up races, writers, and what errors mean.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says where")]

mod common;

use common::{Database, MIGRATIONS, databases};
use futures_util::future::{join_all, try_join_all};
use service_kit::db::{self, Db, DbError};
use service_kit::problem::Problem;

#[tokio::test]
async fn replicas_that_start_together_migrate_once() {
    for database in databases().await {
        let opened = try_join_all((0..6).map(|_| Db::open(&database.url, MIGRATIONS))).await.unwrap();
        let (count,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM schema_migrations")
            .fetch_one(opened[0].pool())
            .await
            .unwrap();
        assert_eq!(usize::try_from(count).unwrap(), MIGRATIONS.len());
    }
}

#[tokio::test]
async fn an_altered_migration_is_refused() {
    for database in databases().await {
        database.open().await;
        let altered = [("0001_counters", "CREATE TABLE counters (id TEXT)")];
        assert!(
            matches!(Db::open(&database.url, &altered).await, Err(DbError::Altered(name)) if name == "0001_counters")
        );
        let broken = [("0002_broken", "CREATE TABLE half (id TEXT); CREATE NONSENSE")];
        assert!(
            matches!(Db::open(&database.url, &broken).await, Err(DbError::Migration { name, .. }) if name == "0002_broken")
        );
        let half = sqlx::query("SELECT * FROM half").fetch_all(database.open().await.pool()).await;
        assert!(half.is_err(), "a migration that fails leaves nothing behind");
    }
}

#[tokio::test]
async fn urls_that_cannot_be_used_are_told_without_repeating_them() {
    for url in ["mysql://u:secret@h/d", "sqlite::memory:", "sqlite://", "postgres://u:secret@[", ""] {
        let error = Db::open(url, &[]).await.unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}

#[tokio::test]
async fn writers_of_two_replicas_lose_nothing() {
    for database in databases().await {
        let (a, b) = (database.open().await, database.open().await);
        let add = async |db: &Db| {
            let mut tx = db.begin_write().await.unwrap();
            tx.lock("counter").await.unwrap();
            let read: Option<(i64,)> = sqlx::query_as("SELECT total FROM counters WHERE id = 'c'")
                .fetch_optional(&mut *tx)
                .await
                .unwrap();
            let next = read.map_or(0, |(total,)| total) + 1;
            sqlx::query("INSERT INTO counters (id, total) VALUES ('c', $1) ON CONFLICT (id) DO UPDATE SET total = excluded.total")
                .bind(next)
                .execute(&mut *tx)
                .await
                .unwrap();
            tx.commit().await.unwrap();
        };
        join_all((0..60).map(|i| add(if i % 2 == 0 { &a } else { &b }))).await;
        let (total,): (i64,) =
            sqlx::query_as("SELECT total FROM counters WHERE id = 'c'").fetch_one(a.pool()).await.unwrap();
        assert_eq!(total, 60);
    }
}

#[tokio::test]
async fn a_dropped_transaction_is_undone_and_the_next_writer_goes_on() {
    for database in databases().await {
        let db = database.open().await;
        for _ in 0..20 {
            let mut tx = db.begin_write().await.unwrap();
            sqlx::query("INSERT INTO counters (id, total) VALUES ('x', 1)").execute(&mut *tx).await.unwrap();
        }
        let rows = sqlx::query("SELECT id FROM counters").fetch_all(db.pool()).await.unwrap();
        assert!(rows.is_empty());
    }
}

#[tokio::test]
async fn errors_have_a_meaning() {
    for database in databases().await {
        let db = database.open().await;
        let insert = async |id: &str, total: i64| {
            let query = sqlx::query("INSERT INTO counters (id, total) VALUES ($1, $2)").bind(id).bind(total);
            query.execute(db.pool()).await
        };
        insert("a", 1).await.unwrap();
        let unique = insert("a", 1).await.unwrap_err();
        assert!(
            db::is_unique_violation(&unique)
                && !db::is_check_violation(&unique)
                && !db::is_transient(&unique)
        );
        let check = insert("b", -5000).await.unwrap_err();
        assert!(db::is_check_violation(&check) && !db::is_unique_violation(&check));
        assert_eq!(Problem::from(check).status().as_u16(), 500);
        let none: (Option<String>,) = sqlx::query_as("SELECT note FROM notes UNION ALL SELECT NULL")
            .fetch_one(db.pool())
            .await
            .unwrap();
        assert_eq!(none.0, None);
    }
}

#[tokio::test]
async fn sqlite_is_durable_and_checks_foreign_keys() {
    let db = Database::sqlite();
    let opened = db.open().await;
    let pragma = async |sql: &'static str| {
        let row: (i64,) = sqlx::query_as(sql).fetch_one(opened.pool()).await.unwrap();
        row.0
    };
    assert_eq!(pragma("PRAGMA synchronous").await, 2);
    assert_eq!(pragma("PRAGMA foreign_keys").await, 1);
    assert_eq!(pragma("PRAGMA busy_timeout").await, 5000);
    let (mode,): (String,) = sqlx::query_as("PRAGMA journal_mode").fetch_one(opened.pool()).await.unwrap();
    assert_eq!(mode, "wal");
}

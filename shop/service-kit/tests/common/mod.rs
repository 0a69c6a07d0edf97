//! Databases for tests: an SQLite file always, and PostgreSQL when `TEST_POSTGRES_URL` says where.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::time::{Duration, Instant};

use service_kit::db::{Db, Migration};
use service_kit::idempotency;

/// The tables of the tests.
pub const MIGRATIONS: &[Migration] = &[
    (
        "0001_counters",
        "CREATE TABLE counters (id TEXT PRIMARY KEY, total BIGINT NOT NULL CHECK (total >= -1000)); CREATE TABLE notes (id TEXT PRIMARY KEY, note TEXT);",
    ),
    idempotency::MIGRATION,
];

/// A database that no other test uses.
pub struct Database {
    pub url: String,
    _folder: Option<tempfile::TempDir>,
}

impl Database {
    /// A new SQLite file, in a folder that does not exist yet.
    pub fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/new/test.db", folder.path().display());
        Self { url, _folder: Some(folder) }
    }

    /// Opens it with the tests' tables.
    pub async fn open(&self) -> Db {
        Db::open(&self.url, MIGRATIONS).await.unwrap()
    }
}

/// One database of every kind that can be had here.
pub async fn databases() -> Vec<Database> {
    let mut all = vec![Database::sqlite()];
    match std::env::var("TEST_POSTGRES_URL") {
        Ok(server) => all.push(postgres(&server).await),
        Err(_) => println!("skipped on PostgreSQL: TEST_POSTGRES_URL is not set"),
    }
    all
}

async fn postgres(server: &str) -> Database {
    let admin = Db::open(server, &[]).await.unwrap();
    let name = format!("kit_{}", service_kit::clock::new_id().replace('-', ""));
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}")))
        .execute(admin.pool())
        .await
        .unwrap();
    let (base, _) = server.rsplit_once('/').unwrap();
    Database { url: format!("{base}/{name}"), _folder: None }
}

/// Asks until there is an answer, for at most ten seconds.
pub async fn eventually<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "it did not happen within ten seconds");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

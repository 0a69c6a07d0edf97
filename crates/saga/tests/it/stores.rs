//! The same tests on every store.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use saga::store::Store;
use saga::store::postgres::PostgresStore;
use saga::store::sqlite::SqliteStore;

/// Where a test keeps its sagas.
pub enum Place {
    Sqlite(tempfile::TempDir),
    Postgres(String),
}

impl Place {
    pub fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().unwrap())
    }

    /// A schema of its own, if there is a PostgreSQL.
    pub async fn postgres() -> Option<Self> {
        let Ok(url) = std::env::var("TEST_POSTGRES_URL") else {
            eprintln!("skipped: TEST_POSTGRES_URL is not set");
            return None;
        };
        let schema = format!("saga_{}", uuid::Uuid::now_v7().simple());
        let pool = sqlx::PgPool::connect(&url).await.unwrap();
        sqlx::query(sqlx::AssertSqlSafe(format!("CREATE SCHEMA {schema}"))).execute(&pool).await.unwrap();
        pool.close().await;
        let mark = if url.contains('?') { '&' } else { '?' };
        Some(Self::Postgres(format!("{url}{mark}options=-csearch_path%3D{schema}")))
    }

    /// One of each kind.
    pub async fn all() -> Vec<Self> {
        std::iter::once(Self::sqlite()).chain(Self::postgres().await).collect()
    }

    pub fn url(&self) -> String {
        match self {
            Self::Sqlite(folder) => folder.path().join("sagas.db").display().to_string(),
            Self::Postgres(url) => url.clone(),
        }
    }

    pub async fn open(&self) -> Arc<dyn Store> {
        open(&self.url(), LEASE).await
    }
}

/// Long enough for a busy machine, short enough for a test that waits for its end.
pub const LEASE: Duration = Duration::from_secs(3);

pub async fn open(url: &str, lease: Duration) -> Arc<dyn Store> {
    if url.starts_with("postgres") {
        Arc::new(PostgresStore::open(url, lease).await.unwrap())
    } else {
        Arc::new(SqliteStore::open(&PathBuf::from(url)).unwrap())
    }
}

//! One SQL text for SQLite and PostgreSQL, over sqlx's `Any` driver.
//!
//! Rules for the SQL that services write: `$1` placeholders; only `TEXT` and `BIGINT` columns; `ON CONFLICT`; guard every
//! change by a conditional `UPDATE … WHERE` (or [`Tx::lock`]), because on PostgreSQL transactions are READ COMMITTED.
//! On SQLite a write transaction is `BEGIN IMMEDIATE`, so it never fails half-way for want of the lock; writers of this
//! process queue fairly here, and writers of other replicas wait by SQLite's busy timeout.

mod error;
mod migrate;
mod tx;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use error::{DbError, is_check_violation, is_foreign_key_violation, is_transient, is_unique_violation};
pub use migrate::Migration;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{Any, AnyConnection, AnyPool, ConnectOptions, Connection, Transaction};
use tokio::sync::Semaphore;
pub use tx::Tx;

/// How long a writer waits for its turn, here and at SQLite's own lock.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Which database it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// A file of this machine.
    Sqlite,
    /// A server.
    Postgres,
}

/// A service's database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Db {
    pool: AnyPool,
    engine: Engine,
    writers: Arc<Semaphore>,
}

impl Db {
    /// Opens the database (an SQLite file and its folder are created) and brings it up to date.
    ///
    /// # Errors
    /// The URL is not understood, the database cannot be reached, or a migration fails or was altered.
    pub async fn open(url: &str, migrations: &[Migration]) -> Result<Self, DbError> {
        let db = Self::connect(url).await?;
        migrate::apply(&db, migrations).await?;
        Ok(db)
    }

    async fn connect(url: &str) -> Result<Self, DbError> {
        sqlx::any::install_default_drivers();
        if url.starts_with("sqlite:") {
            return Self::connect_sqlite(url).await;
        }
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(DbError::Url("it must start with sqlite:// or postgres://".into()));
        }
        let options = options(url)?;
        let pool = AnyPoolOptions::new().max_connections(16).acquire_timeout(BUSY_TIMEOUT);
        let pool = pool.connect_with(options).await.map_err(DbError::Connect)?;
        // PostgreSQL needs no queue in front of it; the pool bounds its writers.
        Ok(Self { pool, engine: Engine::Postgres, writers: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)) })
    }

    async fn connect_sqlite(url: &str) -> Result<Self, DbError> {
        let options = options(&sqlite_url(url)?)?;
        use_wal(&options).await.map_err(DbError::Connect)?;
        // A file does not go away between two requests as a server can, so connections are not tested before each use.
        let pool = AnyPoolOptions::new()
            .test_before_acquire(false)
            .max_connections(8)
            .acquire_timeout(BUSY_TIMEOUT)
            .after_connect(|conn, _| {
                Box::pin(async move {
                    sqlx::raw_sql(
                        "PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = ON;",
                    )
                    .execute(conn)
                    .await?;
                    Ok(())
                })
            });
        let pool = pool.connect_with(options).await.map_err(DbError::Connect)?;
        Ok(Self { pool, engine: Engine::Sqlite, writers: Arc::new(Semaphore::new(1)) })
    }

    /// For reads outside a transaction: `query.fetch_all(db.pool())`.
    #[must_use]
    pub fn pool(&self) -> &AnyPool {
        &self.pool
    }

    /// Which database it is.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// Begins a transaction that will write. It is rolled back unless [`Tx::commit`] is called.
    /// Never begin one while holding another, or a connection of the pool: on SQLite it could wait for itself.
    ///
    /// # Errors
    /// The database cannot be reached, or the writers' queue did not move within [`BUSY_TIMEOUT`].
    pub async fn begin_write(&self) -> Result<Tx, sqlx::Error> {
        let permit = Arc::clone(&self.writers).acquire_owned();
        let permit = tokio::time::timeout(BUSY_TIMEOUT, permit).await;
        let permit = permit.map_err(|_| sqlx::Error::PoolTimedOut)?.map_err(|_| sqlx::Error::PoolClosed)?;
        let inner = match self.engine {
            Engine::Sqlite => self.begin_immediate().await?,
            Engine::Postgres => self.pool.begin().await?,
        };
        Ok(Tx::new(inner, self.engine, permit))
    }

    /// SQLite may answer busy at once instead of waiting when waiting could be a deadlock (recovery, a checkpoint).
    async fn begin_immediate(&self) -> Result<Transaction<'static, Any>, sqlx::Error> {
        let began = Instant::now();
        let mut attempt = 0;
        loop {
            match self.pool.begin_with("BEGIN IMMEDIATE").await {
                Err(error) if is_transient(&error) && began.elapsed() < BUSY_TIMEOUT => attempt += 1,
                other => return other,
            }
            tx::pause(attempt).await;
        }
    }

    /// Asks the database for a sign of life.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn ping(&self) -> Result<(), sqlx::Error> {
        sqlx::query("SELECT 1").execute(&self.pool).await.map(drop)
    }

    /// Closes every connection once its work is done.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

fn options(url: &str) -> Result<AnyConnectOptions, DbError> {
    // The error could repeat the URL, and with it a password.
    url.parse().map_err(|_| DbError::Url("it is not a valid URL".into()))
}

/// The URL with creation allowed; makes the file's folder.
fn sqlite_url(url: &str) -> Result<String, DbError> {
    let rest = url.trim_start_matches("sqlite:").trim_start_matches("//");
    let (file, query) = rest.split_once('?').unwrap_or((rest, ""));
    if file.is_empty() || file.contains(":memory:") || query.contains("mode=memory") {
        return Err(DbError::Url("SQLite needs a file: sqlite:///path/to/file.db".into()));
    }
    if let Some(folder) = Path::new(file).parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)
            .map_err(|source| DbError::Folder { folder: folder.to_owned(), source })?;
    }
    let separator = if query.is_empty() { "" } else { "&" };
    Ok(if query.contains("mode=") {
        url.to_owned()
    } else {
        format!("sqlite://{file}?{query}{separator}mode=rwc")
    })
}

/// Write-ahead logging is a property of the file, and switching to it does not wait for locks by itself:
/// when replicas start together on a new file, the one that loses tries again.
async fn use_wal(options: &AnyConnectOptions) -> Result<(), sqlx::Error> {
    let mut attempt = 0;
    loop {
        let switched = async {
            let mut conn: AnyConnection = options.connect().await?;
            sqlx::raw_sql("PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL;")
                .execute(&mut conn)
                .await?;
            conn.close().await
        };
        match switched.await {
            Err(error) if is_transient(&error) && attempt < 50 => attempt += 1,
            other => return other,
        }
        tx::pause(attempt.min(5)).await;
    }
}

//! PostgreSQL, for several engines that share the work.
//!
//! Each engine has a lease that it renews. What belongs to an engine whose lease has run out may be claimed by the others, under
//! the next epoch; what the old one still writes is refused. Writes that wait are made in one transaction, as in SQLite; a few
//! such transactions are under way at a time, never two of one saga.

mod batch;
mod rows;

use std::str::FromStr as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, PgPool};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, mpsc, oneshot};

use super::{Append, Begun, Filter, NewSaga, Result, Signal, Store, StoreError, Stored, Summary};
use batch::Job;

/// Transactions with writes at a time.
const WRITERS: u32 = 2;
/// Connections besides those.
const OTHERS: u32 = 4;

const SCHEMA: &str = "
SELECT pg_advisory_xact_lock(4715001);
CREATE TABLE IF NOT EXISTS sagas (
  id TEXT PRIMARY KEY, name TEXT NOT NULL, key TEXT NOT NULL, fingerprint TEXT NOT NULL, plan TEXT NOT NULL,
  input TEXT NOT NULL, journal TEXT NOT NULL, status TEXT NOT NULL, alert BOOLEAN NOT NULL, epoch BIGINT NOT NULL,
  owner TEXT, due BIGINT NOT NULL, started_at BIGINT NOT NULL, ended_at BIGINT,
  signalled BIGINT NOT NULL DEFAULT 0, seen BIGINT NOT NULL DEFAULT 0,
  trace TEXT, parent TEXT, parent_step TEXT) WITH (fillfactor = 60);
CREATE UNIQUE INDEX IF NOT EXISTS sagas_key ON sagas (key, name);
CREATE INDEX IF NOT EXISTS sagas_due ON sagas (due) WHERE ended_at IS NULL;
CREATE INDEX IF NOT EXISTS sagas_signalled ON sagas (owner) WHERE signalled > seen;
CREATE TABLE IF NOT EXISTS signals (
  saga TEXT NOT NULL, seq BIGINT NOT NULL, signal TEXT NOT NULL, PRIMARY KEY (saga, seq));
CREATE TABLE IF NOT EXISTS plans (digest TEXT PRIMARY KEY, name TEXT NOT NULL, plan TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS engines (id TEXT PRIMARY KEY, expires TIMESTAMPTZ NOT NULL);
";

/// A store in a PostgreSQL database, as one engine sees it.
#[derive(Debug)]
pub struct PostgresStore {
    jobs: mpsc::UnboundedSender<Job>,
    pool: PgPool,
    runtime: Handle,
    owner: Arc<str>,
    lease: Duration,
    /// When abandoned sagas were looked for last.
    reaped: Arc<Mutex<Option<Instant>>>,
    /// Ends the thread when the store is dropped.
    _thread: oneshot::Sender<()>,
}

impl PostgresStore {
    /// Connects, and makes the tables where there are none. `lease` is for how long an engine that says nothing keeps its sagas.
    ///
    /// # Errors
    /// The database cannot be reached, or refuses.
    pub async fn open(url: &str, lease: Duration) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime =
            runtime.map_err(|e| StoreError::Database(format!("no runtime for the saga store: {e}")))?;
        let handle = runtime.handle().clone();
        let (guard, dropped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name("saga-store".to_owned());
        let started = thread.spawn(move || drop(runtime.block_on(dropped)));
        started.map_err(|e| StoreError::Database(format!("no thread for the saga store: {e}")))?;
        // An engine that is stopped in the middle of a transaction must not keep its rows locked for longer than it may keep its sagas.
        let patience = lease.as_millis().to_string();
        let options =
            PgConnectOptions::from_str(url)?.options([("idle_in_transaction_session_timeout", patience)]);
        // Connections belong to the runtime in which they are made.
        let pool = handle.spawn(connect(options)).await.map_err(|_| StoreError::Closed)??;
        let owner: Arc<str> = uuid::Uuid::now_v7().to_string().into();
        let (jobs, queue) = mpsc::unbounded_channel();
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..WRITERS {
            handle.spawn(batch::run(pool.clone(), queue.clone(), owner.clone()));
        }
        Ok(Self { jobs, pool, runtime: handle, owner, lease, reaped: Arc::default(), _thread: guard })
    }

    fn ask<T: Send + 'static>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T>>) -> Job,
    ) -> BoxFuture<'static, Result<T>> {
        let (reply, answer) = oneshot::channel();
        let sent = self.jobs.send(job(reply));
        async move {
            sent.map_err(|_| StoreError::Closed)?;
            answer.await.map_err(|_| StoreError::Closed)?
        }
        .boxed()
    }

    fn run<T: Send + 'static, F: Future<Output = Result<T>> + Send + 'static>(
        &self,
        work: impl FnOnce(PgPool) -> F,
    ) -> BoxFuture<'static, Result<T>> {
        let running = self.runtime.spawn(work(self.pool.clone()));
        async move { running.await.map_err(|_| StoreError::Closed)? }.boxed()
    }
}

async fn connect(options: PgConnectOptions) -> Result<PgPool> {
    // A pool takes a refused connection for a server that is starting up, and waits; whoever starts an engine is told at once.
    options.connect().await?.close().await?;
    let pool = PgPoolOptions::new().max_connections(WRITERS + OTHERS).connect_lazy_with(options);
    let mut tx = pool.begin().await?;
    sqlx::raw_sql(SCHEMA).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(pool)
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::PoolClosed => Self::Closed,
            other => Self::Database(other.to_string()),
        }
    }
}

impl Store for PostgresStore {
    fn begin(&self, new: NewSaga) -> BoxFuture<'_, Result<Begun>> {
        self.ask(|reply| Job::Begin(Box::new(new), reply))
    }

    fn append(&self, append: Append) -> BoxFuture<'_, Result<bool>> {
        self.ask(|reply| Job::Append(append, reply))
    }

    fn claim(&self, now: u64, limit: usize) -> BoxFuture<'_, Result<Vec<Stored>>> {
        let (owner, reaped, every) = (self.owner.clone(), self.reaped.clone(), self.lease / 4);
        self.run(move |pool| async move {
            let mut last = reaped.lock().await;
            if last.is_none_or(|at| at.elapsed() >= every) {
                rows::reap(&pool).await?;
                *last = Some(Instant::now());
            }
            rows::claim(&pool, &owner, now, limit).await
        })
    }

    fn signal(&self, id: &str, signal: Signal, reopen: bool) -> BoxFuture<'_, Result<bool>> {
        let id = id.to_owned();
        self.run(move |pool| async move {
            let mut tx = pool.begin().await?;
            let there = rows::signal(&mut tx, &id, &signal, reopen).await?;
            tx.commit().await?;
            Ok(there)
        })
    }

    fn signals(&self, id: &str) -> BoxFuture<'_, Result<Vec<(i64, Signal)>>> {
        let id = id.to_owned();
        self.run(move |pool| async move { rows::signals(&pool, &id).await })
    }

    fn signalled(&self) -> BoxFuture<'_, Result<Vec<String>>> {
        let owner = self.owner.clone();
        self.run(move |pool| async move {
            let sql = "SELECT id FROM sagas WHERE owner = $1 AND signalled > seen";
            Ok(sqlx::query_scalar(sql).bind(&*owner).fetch_all(&pool).await?)
        })
    }

    fn find(&self, id: &str) -> BoxFuture<'_, Result<Option<Stored>>> {
        let id = id.to_owned();
        self.run(move |pool| async move { rows::find(&pool, &id).await })
    }

    fn list(&self, filter: Filter) -> BoxFuture<'_, Result<Vec<Summary>>> {
        self.run(move |pool| async move { rows::list(&pool, &filter).await })
    }

    fn put_plan(&self, digest: &str, name: &str, json: String) -> BoxFuture<'_, Result<()>> {
        let (digest, name) = (digest.to_owned(), name.to_owned());
        self.run(move |pool| async move {
            let sql = "INSERT INTO plans (digest, name, plan) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
            sqlx::query(sql).bind(digest).bind(name).bind(json).execute(&pool).await?;
            Ok(())
        })
    }

    fn plan(&self, digest: &str) -> BoxFuture<'_, Result<Option<String>>> {
        let digest = digest.to_owned();
        self.run(move |pool| async move {
            Ok(sqlx::query_scalar("SELECT plan FROM plans WHERE digest = $1")
                .bind(digest)
                .fetch_optional(&pool)
                .await?)
        })
    }

    fn plans_in_use(&self) -> BoxFuture<'_, Result<Vec<(String, String)>>> {
        self.run(move |pool| async move {
            let sql = "SELECT digest, plan FROM plans WHERE digest IN (SELECT DISTINCT plan FROM sagas WHERE ended_at IS NULL)";
            Ok(sqlx::query_as(sql).fetch_all(&pool).await?)
        })
    }

    fn renew(&self) -> BoxFuture<'_, Result<Option<Instant>>> {
        let (owner, lease) = (self.owner.clone(), self.lease);
        self.run(move |pool| async move {
            // From before the question: the database began to count later than this.
            let asked = Instant::now();
            let sql = "INSERT INTO engines (id, expires) VALUES ($1, now() + $2 * interval '1 second')
                       ON CONFLICT (id) DO UPDATE SET expires = excluded.expires";
            sqlx::query(sql).bind(&*owner).bind(lease.as_secs_f64()).execute(&pool).await?;
            // A tenth less, in case clocks do not run equally fast.
            Ok(Some(asked + lease.mul_f64(0.9)))
        })
    }

    fn renew_every(&self) -> Option<Duration> {
        Some(self.lease / 4)
    }

    fn prune(&self, before: u64, limit: usize) -> BoxFuture<'_, Result<usize>> {
        self.run(move |pool| async move { rows::prune(&pool, before, limit).await })
    }

    fn close(&self) -> BoxFuture<'_, Result<()>> {
        let owner = self.owner.clone();
        self.run(move |pool| async move {
            rows::give_up(&pool, &owner).await?;
            pool.close().await;
            Ok(())
        })
    }
}

//! SQLite, for one engine.
//!
//! One thread has the only connection (`locking_mode = EXCLUSIVE`: no second engine can open the file). It takes whatever waits,
//! writes it in one transaction (`synchronous = FULL`), and answers after the commit: no delay is added, and the more waits, the
//! fewer times the disk is asked.

mod rows;
mod writer;

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{Append, Begun, Filter, NewSaga, Result, Signal, Store, StoreError, Stored, Summary};
use writer::Job;

/// How much of the database is kept in memory, in KiB.
const CACHE: i64 = 8 * 1024;
/// Pages in the write-ahead log before they are moved into the database: 32 MiB.
const CHECKPOINT: i64 = 8 * 1024;
const STATEMENTS: usize = 64;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS sagas (
  id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, key TEXT NOT NULL, fingerprint TEXT NOT NULL, plan TEXT NOT NULL,
  input TEXT NOT NULL, journal TEXT NOT NULL, status TEXT NOT NULL, alert INTEGER NOT NULL, epoch INTEGER NOT NULL,
  held INTEGER NOT NULL, due INTEGER NOT NULL, started_at INTEGER NOT NULL, ended_at INTEGER,
  signalled INTEGER NOT NULL DEFAULT 0, seen INTEGER NOT NULL DEFAULT 0,
  trace TEXT, parent TEXT, parent_step TEXT) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS sagas_key ON sagas (key, name);
CREATE INDEX IF NOT EXISTS sagas_due ON sagas (due) WHERE ended_at IS NULL;
CREATE TABLE IF NOT EXISTS signals (
  saga TEXT NOT NULL, seq INTEGER NOT NULL, signal TEXT NOT NULL, PRIMARY KEY (saga, seq)) STRICT;
CREATE TABLE IF NOT EXISTS plans (digest TEXT PRIMARY KEY, name TEXT NOT NULL, plan TEXT NOT NULL) STRICT;
";

/// A store in an SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    jobs: mpsc::Sender<Job>,
}

impl SqliteStore {
    /// Opens the file, and makes it when there is none; it is for its owner alone.
    ///
    /// # Errors
    /// It cannot be opened, or another engine has it.
    pub fn open(path: &Path) -> Result<Self> {
        // SQLite gives its other files the mode of the database.
        let private = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
        private.map_err(|e| StoreError::Database(format!("{}: {e}", path.display())))?;
        let connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "cache_size", -CACHE)?;
        connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        connection.execute_batch(SCHEMA)?;
        // What the former engine had is anybody's, and this is the only one.
        connection.execute("UPDATE sagas SET held = 0, due = 0 WHERE ended_at IS NULL AND held = 1", [])?;
        let (jobs, queue) = mpsc::channel();
        let thread = std::thread::Builder::new().name("saga-store".to_owned());
        let started = thread.spawn(move || writer::run(connection, &queue));
        started.map_err(|e| StoreError::Database(format!("no thread for the saga store: {e}")))?;
        Ok(Self { jobs })
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

    fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> BoxFuture<'static, Result<T>> {
        self.ask(|reply| Job::other(work, reply))
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error.to_string())
    }
}

impl Store for SqliteStore {
    fn begin(&self, new: NewSaga) -> BoxFuture<'_, Result<Begun>> {
        self.ask(|reply| Job::Begin(Box::new(new), reply))
    }

    fn append(&self, append: Append) -> BoxFuture<'_, Result<bool>> {
        self.ask(|reply| Job::Append(append, reply))
    }

    fn claim(&self, now: u64, limit: usize) -> BoxFuture<'_, Result<Vec<Stored>>> {
        self.run(move |c| rows::claim(c, now, limit))
    }

    fn signal(&self, id: &str, signal: Signal, reopen: bool) -> BoxFuture<'_, Result<bool>> {
        let id = id.to_owned();
        self.run(move |c| rows::signal(c, &id, &signal, reopen))
    }

    fn signals(&self, id: &str) -> BoxFuture<'_, Result<Vec<(i64, Signal)>>> {
        let id = id.to_owned();
        self.run(move |c| rows::signals(c, &id))
    }

    fn signalled(&self) -> BoxFuture<'_, Result<Vec<String>>> {
        async { Ok(Vec::new()) }.boxed()
    }

    fn find(&self, id: &str) -> BoxFuture<'_, Result<Option<Stored>>> {
        let id = id.to_owned();
        self.run(move |c| rows::find(c, &id))
    }

    fn list(&self, filter: Filter) -> BoxFuture<'_, Result<Vec<Summary>>> {
        self.run(move |c| rows::list(c, &filter))
    }

    fn put_plan(&self, digest: &str, name: &str, json: String) -> BoxFuture<'_, Result<()>> {
        let (digest, name) = (digest.to_owned(), name.to_owned());
        self.run(move |c| {
            let sql = "INSERT INTO plans (digest, name, plan) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
            c.execute(sql, (digest, name, json))?;
            Ok(())
        })
    }

    fn plan(&self, digest: &str) -> BoxFuture<'_, Result<Option<String>>> {
        let digest = digest.to_owned();
        self.run(move |c| rows::plan(c, &digest))
    }

    fn plans_in_use(&self) -> BoxFuture<'_, Result<Vec<(String, String)>>> {
        self.run(rows::plans_in_use)
    }

    fn renew(&self) -> BoxFuture<'_, Result<Option<Instant>>> {
        // The file is locked for as long as the process lives.
        async { Ok(None) }.boxed()
    }

    fn renew_every(&self) -> Option<Duration> {
        None
    }

    fn prune(&self, before: u64, limit: usize) -> BoxFuture<'_, Result<usize>> {
        self.run(move |c| rows::prune(c, before, limit))
    }

    fn close(&self) -> BoxFuture<'_, Result<()>> {
        self.ask(Job::Close)
    }
}

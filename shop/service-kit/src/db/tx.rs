//! A write transaction and how it is tried again.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use sha2::{Digest, Sha256};
use sqlx::{Any, AnyConnection, Transaction};
use tokio::sync::OwnedSemaphorePermit;

use super::Engine;

/// Waits a random time, longer after each attempt, so that those who collided do not collide again.
pub(super) async fn pause(attempt: u32) {
    let most = 5_u64 << attempt.min(8);
    tokio::time::sleep(Duration::from_millis(fastrand::u64(1..=most))).await;
}

/// A transaction that writes. Use it as an executor: `query.execute(&mut **tx)` for a `tx: &mut Tx`,
/// or `&mut *tx` for a `tx: Tx`. Dropped without [`Tx::commit`], it is rolled back.
#[derive(Debug)]
pub struct Tx {
    // Declared first: it is dropped, and with it rolled back, before the next writer gets the permit.
    inner: Transaction<'static, Any>,
    engine: Engine,
    _turn: OwnedSemaphorePermit,
}

impl Tx {
    pub(super) fn new(inner: Transaction<'static, Any>, engine: Engine, turn: OwnedSemaphorePermit) -> Self {
        Self { inner, engine, _turn: turn }
    }

    /// Makes everything done in it durable.
    ///
    /// # Errors
    /// The database refuses; nothing was kept then, unless the connection broke in between.
    pub async fn commit(self) -> Result<(), sqlx::Error> {
        self.inner.commit().await
    }

    /// Undoes everything done in it.
    ///
    /// # Errors
    /// The connection broke; it is undone all the same.
    pub async fn rollback(self) -> Result<(), sqlx::Error> {
        self.inner.rollback().await
    }

    /// Waits until no other transaction holds this name, and holds it until this one ends: for a rule that spans rows
    /// and cannot be one conditional update. On SQLite writers are alone already. Take several in sorted order.
    ///
    /// # Errors
    /// The database fails or reports a deadlock.
    pub async fn lock(&mut self, name: &str) -> Result<(), sqlx::Error> {
        if self.engine == Engine::Sqlite {
            return Ok(());
        }
        let digest = Sha256::digest(name.as_bytes());
        let key = digest.iter().take(8).fold(0_i64, |key, byte| (key << 8) | i64::from(*byte));
        sqlx::query("SELECT 1 FROM (SELECT pg_advisory_xact_lock($1)) AS held")
            .bind(key)
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }

    /// Marks a point to which [`Tx::undo_to_mark`] returns.
    pub(crate) async fn mark(&mut self) -> Result<(), sqlx::Error> {
        sqlx::raw_sql("SAVEPOINT effect").execute(&mut *self.inner).await.map(drop)
    }

    /// Undoes what was done since [`Tx::mark`], also after the database refused a statement.
    pub(crate) async fn undo_to_mark(&mut self) -> Result<(), sqlx::Error> {
        sqlx::raw_sql("ROLLBACK TO SAVEPOINT effect").execute(&mut *self.inner).await.map(drop)
    }
}

impl Deref for Tx {
    type Target = AnyConnection;

    fn deref(&self) -> &AnyConnection {
        &self.inner
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        &mut self.inner
    }
}

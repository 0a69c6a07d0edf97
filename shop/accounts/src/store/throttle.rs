//! The table of failed sign-ins.

use service_kit::clock::now_ms;
use service_kit::db::Db;

use crate::domain::throttle::{FORGET_MS, Subject, block_ms};

/// For how many milliseconds the most blocked of the subjects still is.
pub async fn blocked_for(db: &Db, subjects: &[Subject]) -> Result<i64, sqlx::Error> {
    let now = now_ms();
    let mut longest = 0;
    for subject in subjects {
        let row: Option<(i64,)> =
            sqlx::query_as("SELECT blocked_until FROM sign_in_failures WHERE subject = $1")
                .bind(&subject.digest)
                .fetch_optional(db.pool())
                .await?;
        longest = longest.max(row.map_or(0, |(until,)| until - now));
    }
    Ok(longest)
}

/// Counts a failure against each subject, and blocks those that have had too many.
pub async fn count_failure(db: &Db, subjects: &[Subject]) -> Result<(), sqlx::Error> {
    let now = now_ms();
    let mut tx = db.begin_write().await?;
    for subject in subjects {
        sqlx::query(
            "INSERT INTO sign_in_failures (subject, failures, blocked_until, forget_at) VALUES ($1, 1, 0, $2) \
             ON CONFLICT (subject) DO UPDATE SET forget_at = excluded.forget_at, \
             failures = CASE WHEN sign_in_failures.forget_at <= $3 THEN 1 ELSE sign_in_failures.failures + 1 END",
        )
        .bind(&subject.digest)
        .bind(now + FORGET_MS)
        .bind(now)
        .execute(&mut *tx)
        .await?;
        let (failures,): (i64,) = sqlx::query_as("SELECT failures FROM sign_in_failures WHERE subject = $1")
            .bind(&subject.digest)
            .fetch_one(&mut *tx)
            .await?;
        let block = block_ms(failures, subject.free);
        if block > 0 {
            sqlx::query("UPDATE sign_in_failures SET blocked_until = $1 WHERE subject = $2")
                .bind(now + block)
                .bind(&subject.digest)
                .execute(&mut *tx)
                .await?;
        }
    }
    tx.commit().await
}

/// Forgets the failures of an account whose owner has signed in.
pub async fn forgive(db: &Db, account: &Subject) -> Result<(), sqlx::Error> {
    let known: Option<(i64,)> = sqlx::query_as("SELECT failures FROM sign_in_failures WHERE subject = $1")
        .bind(&account.digest)
        .fetch_optional(db.pool())
        .await?;
    if known.is_none() {
        return Ok(());
    }
    let mut tx = db.begin_write().await?;
    sqlx::query("DELETE FROM sign_in_failures WHERE subject = $1")
        .bind(&account.digest)
        .execute(&mut *tx)
        .await?;
    tx.commit().await
}

/// Forgets what is old.
pub async fn prune(db: &Db) -> Result<(), sqlx::Error> {
    let mut tx = db.begin_write().await?;
    sqlx::query("DELETE FROM sign_in_failures WHERE forget_at <= $1")
        .bind(now_ms())
        .execute(&mut *tx)
        .await?;
    tx.commit().await
}

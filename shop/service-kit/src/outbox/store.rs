//! The table of messages.

use super::Message;
use crate::clock::now_ms;
use crate::db::{Db, Tx};

/// Delivered messages are kept this long, for people who look into what happened.
const KEEP_DELIVERED_MS: i64 = 7 * 24 * 60 * 60 * 1000;

pub(super) async fn insert(
    tx: &mut Tx,
    id: &str,
    destination: &str,
    payload: &str,
    now: i64,
) -> Result<(), sqlx::Error> {
    let insert = sqlx::query(
        "INSERT INTO outbox_messages \
         (id, destination, payload, state, attempts, next_attempt_at, lease_until, last_error, created_at) \
         VALUES ($1, $2, $3, 'pending', 0, $4, 0, '', $5)",
    );
    insert.bind(id).bind(destination).bind(payload).bind(now).bind(now).execute(&mut **tx).await.map(drop)
}

/// Destinations with something due.
pub(super) async fn due_destinations(db: &Db) -> Result<Vec<String>, sqlx::Error> {
    let now = now_ms();
    let rows: Vec<(String,)> = sqlx::query_as(
        "SELECT DISTINCT destination FROM outbox_messages \
         WHERE state = 'pending' AND next_attempt_at <= $1 AND lease_until <= $2",
    )
    .bind(now)
    .bind(now)
    .fetch_all(db.pool())
    .await?;
    Ok(rows.into_iter().map(|(destination,)| destination).collect())
}

/// When the next pause ends, of those that have not ended.
pub(super) async fn next_due(db: &Db) -> Result<Option<i64>, sqlx::Error> {
    let row: (Option<i64>,) = sqlx::query_as(
        "SELECT MIN(next_attempt_at) FROM outbox_messages WHERE state = 'pending' AND next_attempt_at > $1",
    )
    .bind(now_ms())
    .fetch_one(db.pool())
    .await?;
    Ok(row.0)
}

/// Leases up to `most` due messages of a destination to this replica.
pub(super) async fn lease(
    db: &Db,
    destination: &str,
    most: i64,
    lease_ms: i64,
) -> Result<Vec<Message>, sqlx::Error> {
    let now = now_ms();
    let mut tx = db.begin_write().await?;
    let due: Vec<(String, String, i64)> = sqlx::query_as(
        "SELECT id, payload, attempts FROM outbox_messages \
         WHERE state = 'pending' AND destination = $1 AND next_attempt_at <= $2 AND lease_until <= $3 \
         ORDER BY next_attempt_at, id LIMIT $4",
    )
    .bind(destination)
    .bind(now)
    .bind(now)
    .bind(most)
    .fetch_all(&mut *tx)
    .await?;
    let mut leased = Vec::with_capacity(due.len());
    for (id, payload, attempts) in due {
        let taken = sqlx::query(
            "UPDATE outbox_messages SET lease_until = $1, attempts = attempts + 1 \
             WHERE id = $2 AND state = 'pending' AND lease_until <= $3",
        );
        let taken = taken.bind(now + lease_ms).bind(&id).bind(now).execute(&mut *tx).await?;
        if taken.rows_affected() == 1 {
            leased.push(Message { id, destination: destination.to_owned(), payload, attempt: attempts + 1 });
        }
    }
    tx.commit().await?;
    Ok(leased)
}

pub(super) async fn delivered(db: &Db, id: &str) -> Result<(), sqlx::Error> {
    let mut tx = db.begin_write().await?;
    sqlx::query(
        "UPDATE outbox_messages SET state = 'delivered', lease_until = 0, last_error = '' WHERE id = $1",
    )
    .bind(id)
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}

/// Plans the next attempt, or gives the message up if it was made before `oldest`.
pub(super) async fn failed(
    db: &Db,
    id: &str,
    error: &str,
    next_attempt_at: i64,
    oldest: i64,
) -> Result<(), sqlx::Error> {
    let mut tx = db.begin_write().await?;
    sqlx::query(
        "UPDATE outbox_messages SET lease_until = 0, next_attempt_at = $1, last_error = $2, \
         state = CASE WHEN created_at < $3 THEN 'dead' ELSE 'pending' END WHERE id = $4 AND state = 'pending'",
    )
    .bind(next_attempt_at)
    .bind(error)
    .bind(oldest)
    .bind(id)
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}

pub(super) async fn prune(db: &Db) -> Result<(), sqlx::Error> {
    let mut tx = db.begin_write().await?;
    sqlx::query("DELETE FROM outbox_messages WHERE state = 'delivered' AND created_at < $1")
        .bind(now_ms() - KEEP_DELIVERED_MS)
        .execute(&mut *tx)
        .await?;
    tx.commit().await
}

pub(super) async fn backlog(db: &Db) -> Result<(i64, i64), sqlx::Error> {
    sqlx::query_as(
        "SELECT CAST(COALESCE(SUM(CASE WHEN state = 'pending' THEN 1 ELSE 0 END), 0) AS BIGINT), \
                CAST(COALESCE(SUM(CASE WHEN state = 'dead' THEN 1 ELSE 0 END), 0) AS BIGINT) FROM outbox_messages",
    )
    .fetch_one(db.pool())
    .await
}

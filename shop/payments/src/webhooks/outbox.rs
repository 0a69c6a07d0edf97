//! The rows that are waiting to be sent.

use serde::Serialize;
use serde_json::json;
use service_kit::clock::{new_id, rfc3339};
use service_kit::problem::Problem;
use sqlx::{AnyConnection, Row};

/// A message to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub id: String,
    pub body: String,
    pub tries: i64,
}

/// Writes down that `kind` happened, with the payment as it is now, in the transaction in which it happened.
///
/// # Errors
/// When the database refuses, or `data` cannot be JSON.
pub async fn add(
    conn: &mut AnyConnection,
    kind: &str,
    data: &impl Serialize,
    now: i64,
) -> Result<(), Problem> {
    let id = new_id();
    let data = serde_json::to_value(data).map_err(Problem::internal)?;
    let body = json!({ "id": id, "type": kind, "created": rfc3339(now), "data": data }).to_string();
    sqlx::query(
        "INSERT INTO webhook_events (id, type, body, next_try_at, created_at) VALUES ($1, $2, $3, $4, $4)",
    )
    .bind(&id)
    .bind(kind)
    .bind(body)
    .bind(now)
    .execute(conn)
    .await?;
    Ok(())
}

/// Messages whose next try is due, the oldest first.
pub(super) async fn due(conn: &mut AnyConnection, now: i64, limit: i64) -> sqlx::Result<Vec<Message>> {
    let rows = sqlx::query(
        "SELECT id, body, tries FROM webhook_events WHERE delivered_at IS NULL AND next_try_at <= $1
         ORDER BY id LIMIT $2",
    )
    .bind(now)
    .bind(limit)
    .fetch_all(conn)
    .await?;
    let read = |row: &sqlx::any::AnyRow| {
        Ok(Message { id: row.try_get(0)?, body: row.try_get(1)?, tries: row.try_get(2)? })
    };
    rows.iter().map(read).collect()
}

/// Takes a message until `until`: false when another replica took it.
pub(super) async fn take(conn: &mut AnyConnection, message: &Message, until: i64) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "UPDATE webhook_events SET tries = tries + 1, next_try_at = $3
         WHERE id = $1 AND tries = $2 AND delivered_at IS NULL",
    )
    .bind(&message.id)
    .bind(message.tries)
    .bind(until)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The receiver took it.
pub(super) async fn delivered(conn: &mut AnyConnection, id: &str, now: i64) -> sqlx::Result<()> {
    sqlx::query("UPDATE webhook_events SET delivered_at = $2 WHERE id = $1")
        .bind(id)
        .bind(now)
        .execute(conn)
        .await?;
    Ok(())
}

/// The receiver did not take it: try again at `at`.
pub(super) async fn put_off(conn: &mut AnyConnection, id: &str, at: i64) -> sqlx::Result<()> {
    sqlx::query("UPDATE webhook_events SET next_try_at = $2 WHERE id = $1 AND delivered_at IS NULL")
        .bind(id)
        .bind(at)
        .execute(conn)
        .await?;
    Ok(())
}

/// Forgets what was delivered before `before`.
///
/// # Errors
/// When the database refuses.
pub(super) async fn forget_delivered(conn: &mut AnyConnection, before: i64) -> sqlx::Result<u64> {
    let done =
        sqlx::query("DELETE FROM webhook_events WHERE delivered_at < $1").bind(before).execute(conn).await?;
    Ok(done.rows_affected())
}

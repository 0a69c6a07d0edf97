//! Which checkout an Idempotency-Key began, and its answer. The key is stored in the transaction that places the order, and the
//! answer in the one that ends it, also when a recovery ends it long after the request is gone.

use serde_json::Value;
use service_kit::clock::now_ms;
use service_kit::db::{Db, Tx};
use service_kit::idempotency::KEEP_MS;
use sqlx::any::AnyExecutor;

/// A used key.
#[derive(Debug)]
pub struct UsedKey {
    /// What was asked for with it.
    pub request: String,
    /// The order that it began.
    pub order_id: String,
    /// Status and body of the answer, once there is one.
    pub answer: Option<(i64, String)>,
}

/// The customer's key, unless it is too old to count.
///
/// # Errors
/// The database fails.
pub async fn find<'e>(
    on: impl AnyExecutor<'e>,
    customer_id: &str,
    key: &str,
) -> Result<Option<UsedKey>, sqlx::Error> {
    let row: Option<(String, String, Option<i64>, Option<String>)> = sqlx::query_as(
        "SELECT request, order_id, status, body FROM checkout_keys \
         WHERE customer_id = $1 AND idem_key = $2 AND created_at > $3",
    )
    .bind(customer_id)
    .bind(key)
    .bind(now_ms() - KEEP_MS)
    .fetch_optional(on)
    .await?;
    Ok(row.map(|(request, order_id, status, body)| UsedKey { request, order_id, answer: status.zip(body) }))
}

/// Binds a key to the order that it begins; false if it is bound already.
///
/// # Errors
/// The database fails.
pub async fn bind(
    tx: &mut Tx,
    customer_id: &str,
    key: &str,
    request: &str,
    order_id: &str,
) -> Result<bool, sqlx::Error> {
    let now = now_ms();
    sqlx::query("DELETE FROM checkout_keys WHERE customer_id = $1 AND idem_key = $2 AND created_at <= $3")
        .bind(customer_id)
        .bind(key)
        .bind(now - KEEP_MS)
        .execute(&mut **tx)
        .await?;
    let done = sqlx::query(
        "INSERT INTO checkout_keys (customer_id, idem_key, request, order_id, created_at) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (customer_id, idem_key) DO NOTHING",
    )
    .bind(customer_id)
    .bind(key)
    .bind(request)
    .bind(order_id)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Stores the answer of the checkout that began this order.
///
/// # Errors
/// The database fails.
pub async fn answer(tx: &mut Tx, order_id: &str, status: u16, body: &Value) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE checkout_keys SET status = $1, body = $2 WHERE order_id = $3")
        .bind(i64::from(status))
        .bind(body.to_string())
        .bind(order_id)
        .execute(&mut **tx)
        .await
        .map(drop)
}

/// Frees the key of a checkout that came to nothing for want of a service, so that it may be tried again.
///
/// # Errors
/// The database fails.
pub async fn free(tx: &mut Tx, order_id: &str) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM checkout_keys WHERE order_id = $1")
        .bind(order_id)
        .execute(&mut **tx)
        .await
        .map(drop)
}

/// Forgets keys that no longer count.
///
/// # Errors
/// The database fails.
pub async fn prune(db: &Db) -> Result<(), sqlx::Error> {
    let mut tx = db.begin_write().await?;
    sqlx::query("DELETE FROM checkout_keys WHERE created_at <= $1")
        .bind(now_ms() - KEEP_MS)
        .execute(&mut *tx)
        .await?;
    tx.commit().await
}

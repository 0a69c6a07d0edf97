//! The rows of payments.

use service_kit::clock::now_ms;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};

use crate::domain::{Operation, State};
use crate::intent::Payment;

const COLUMNS: &str = "id, customer_id, reference, amount, currency, status, operation, payment_method, \
    decline_code, cancel_reason, provider_reference, authorized, captured, refunding, refunded, \
    authorization_expires_at, version, created_at, updated_at";

/// Which payments to list.
#[derive(Debug, Clone, Default)]
pub struct PaymentPage {
    /// Only those for this reference.
    pub reference: Option<String>,
    /// Only those before this id.
    pub before: Option<String>,
    /// At most so many.
    pub limit: i64,
}

/// Writes a new payment.
///
/// # Errors
/// When the database refuses.
pub async fn insert(conn: &mut AnyConnection, payment: &Payment) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO payments (id, customer_id, reference, amount, currency, status, payment_method,
                               version, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)",
    )
    .bind(&payment.id)
    .bind(&payment.customer_id)
    .bind(&payment.reference)
    .bind(payment.amount)
    .bind(&payment.currency)
    .bind(payment.state.as_str())
    .bind(payment.payment_method.as_deref())
    .bind(payment.version)
    .bind(payment.created_at)
    .execute(conn)
    .await?;
    Ok(())
}

/// One payment.
///
/// # Errors
/// When the database refuses.
pub async fn find(conn: &mut AnyConnection, id: &str) -> sqlx::Result<Option<Payment>> {
    let sql = format!("SELECT {COLUMNS} FROM payments WHERE id = $1");
    let row = sqlx::query(AssertSqlSafe(sql)).bind(id).fetch_optional(conn).await?;
    row.as_ref().map(from_row).transpose()
}

/// Payments, newest first.
///
/// # Errors
/// When the database refuses.
pub async fn list(conn: &mut AnyConnection, page: &PaymentPage) -> sqlx::Result<Vec<Payment>> {
    let filter = if page.reference.is_some() { " AND reference = $3" } else { "" };
    let sql = format!("SELECT {COLUMNS} FROM payments WHERE id < $1{filter} ORDER BY id DESC LIMIT $2");
    // A tilde sorts after every hexadecimal digit: no id is excluded when no cursor is given.
    let before = page.before.as_deref().unwrap_or("~");
    let mut query = sqlx::query(AssertSqlSafe(sql)).bind(before).bind(page.limit);
    if let Some(reference) = &page.reference {
        query = query.bind(reference);
    }
    query.fetch_all(conn).await?.iter().map(from_row).collect()
}

/// Writes `new` over `old`, and counts its version up; false when somebody else changed it since it was read.
///
/// # Errors
/// When the database refuses, one of its CHECKs included.
pub async fn replace(conn: &mut AnyConnection, old: &Payment, new: &Payment) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "UPDATE payments SET status = $3, operation = $4, payment_method = $5, decline_code = $6,
             cancel_reason = $7, provider_reference = $8, authorized = $9, captured = $10, refunding = $11,
             refunded = $12, authorization_expires_at = $13, updated_at = $14, version = version + 1
         WHERE id = $1 AND version = $2",
    )
    .bind(&old.id)
    .bind(old.version)
    .bind(new.state.as_str())
    .bind(new.state.operation().map(Operation::as_str))
    .bind(new.payment_method.as_deref())
    .bind(new.decline_code.as_deref())
    .bind(new.cancel_reason.as_deref())
    .bind(new.provider_reference.as_deref())
    .bind(new.authorized)
    .bind(new.captured)
    .bind(new.refunding)
    .bind(new.refunded)
    .bind(new.authorization_expires_at)
    .bind(new.updated_at)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The ids of payments whose authorization is over, the oldest first.
///
/// # Errors
/// When the database refuses.
pub async fn expired_authorizations(conn: &mut AnyConnection, limit: i64) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "SELECT id FROM payments WHERE status = 'requires_capture' AND authorization_expires_at <= $1
         ORDER BY authorization_expires_at LIMIT $2",
    )
    .bind(now_ms())
    .bind(limit)
    .fetch_all(conn)
    .await
}

fn from_row(row: &AnyRow) -> sqlx::Result<Payment> {
    let (status, operation): (String, Option<String>) = (row.try_get(5)?, row.try_get(6)?);
    let state = State::parse(&status, operation.as_deref())
        .ok_or_else(|| sqlx::Error::Decode(format!("unknown payment status {status}").into()))?;
    Ok(Payment {
        id: row.try_get(0)?,
        customer_id: row.try_get(1)?,
        reference: row.try_get(2)?,
        amount: row.try_get(3)?,
        currency: row.try_get(4)?,
        state,
        payment_method: row.try_get(7)?,
        decline_code: row.try_get(8)?,
        cancel_reason: row.try_get(9)?,
        provider_reference: row.try_get(10)?,
        authorized: row.try_get(11)?,
        captured: row.try_get(12)?,
        refunding: row.try_get(13)?,
        refunded: row.try_get(14)?,
        authorization_expires_at: row.try_get(15)?,
        version: row.try_get(16)?,
        created_at: row.try_get(17)?,
        updated_at: row.try_get(18)?,
    })
}

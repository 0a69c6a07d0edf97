//! The rows of attempts, and the ledger that they lead to.

use service_kit::clock::{new_id, rfc3339};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};

use crate::domain::Operation;
use crate::intent::{Attempt, AttemptResult, Settled};
use crate::view::{EntryView, money};

const COLUMNS: &str = "id, payment_id, operation, amount, payment_method, reason, request, status, \
    decline_code, tries, created_at";

/// Writes a new attempt. `next_try_at`: when somebody else may take it for abandoned and ask again.
///
/// # Errors
/// When the database refuses, for a second attempt in flight for example.
pub async fn add_attempt(conn: &mut AnyConnection, attempt: &Attempt, next_try_at: i64) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO attempts (id, payment_id, operation, amount, payment_method, reason, request, status,
                               next_try_at, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, 'pending', $8, $9)",
    )
    .bind(&attempt.id)
    .bind(&attempt.payment_id)
    .bind(attempt.operation.as_str())
    .bind(attempt.amount)
    .bind(attempt.payment_method.as_deref())
    .bind(attempt.reason.as_deref())
    .bind(attempt.request.as_deref())
    .bind(next_try_at)
    .bind(attempt.created_at)
    .execute(conn)
    .await?;
    Ok(())
}

/// The attempt that a request started.
///
/// # Errors
/// When the database refuses.
pub async fn attempt_of_request(conn: &mut AnyConnection, request: &str) -> sqlx::Result<Option<Attempt>> {
    one(conn, "request = $1", request).await
}

/// One attempt.
///
/// # Errors
/// When the database refuses.
pub async fn attempt(conn: &mut AnyConnection, id: &str) -> sqlx::Result<Option<Attempt>> {
    one(conn, "id = $1", id).await
}

/// The attempt of a payment that is under way, refunds aside.
///
/// # Errors
/// When the database refuses.
pub async fn open_attempt(conn: &mut AnyConnection, payment_id: &str) -> sqlx::Result<Option<Attempt>> {
    one(conn, "payment_id = $1 AND status = 'pending' AND operation <> 'refund'", payment_id).await
}

/// Attempts without an answer whose next try is due, the most overdue first.
///
/// # Errors
/// When the database refuses.
pub async fn due_attempts(conn: &mut AnyConnection, now: i64, limit: i64) -> sqlx::Result<Vec<Attempt>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM attempts WHERE status = 'pending' AND next_try_at <= $1
         ORDER BY next_try_at LIMIT $2"
    );
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(now).bind(limit).fetch_all(conn).await?;
    rows.iter().map(from_row).collect()
}

/// Takes an attempt for the next try: false when it is finished, or somebody else took it meanwhile.
///
/// # Errors
/// When the database refuses.
pub async fn postpone(conn: &mut AnyConnection, attempt: &Attempt, next_try_at: i64) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "UPDATE attempts SET tries = tries + 1, next_try_at = $3
         WHERE id = $1 AND tries = $2 AND status = 'pending'",
    )
    .bind(&attempt.id)
    .bind(attempt.tries)
    .bind(next_try_at)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Writes down what came of an attempt; false when that is written already.
///
/// # Errors
/// When the database refuses, for a second successful charge for example.
pub async fn finish_attempt(
    conn: &mut AnyConnection,
    id: &str,
    result: &AttemptResult,
    now: i64,
) -> sqlx::Result<bool> {
    let (status, code) = match result {
        AttemptResult::Succeeded => ("succeeded", None),
        AttemptResult::Declined(code) => ("declined", Some(code.as_str())),
        AttemptResult::RequiresAction => ("requires_action", None),
    };
    let done = sqlx::query(
        "UPDATE attempts SET status = $2, decline_code = $3, finished_at = $4
         WHERE id = $1 AND status = 'pending'",
    )
    .bind(id)
    .bind(status)
    .bind(code)
    .bind(now)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Adds to the ledger what an attempt came to.
///
/// # Errors
/// When the database refuses.
pub async fn add_entries(
    conn: &mut AnyConnection,
    attempt: &Attempt,
    settled: &Settled,
    now: i64,
) -> sqlx::Result<()> {
    for (entry, amount) in &settled.entries {
        sqlx::query(
            "INSERT INTO ledger (id, payment_id, attempt_id, entry, amount, currency, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(new_id())
        .bind(&attempt.payment_id)
        .bind(&attempt.id)
        .bind(entry.as_str())
        .bind(*amount)
        .bind(&settled.payment.currency)
        .bind(now)
        .execute(&mut *conn)
        .await?;
    }
    Ok(())
}

/// The ledger of a payment, in the order of time.
///
/// # Errors
/// When the database refuses.
pub async fn entries(conn: &mut AnyConnection, payment_id: &str) -> sqlx::Result<Vec<EntryView>> {
    let rows = sqlx::query(
        "SELECT id, entry, amount, currency, created_at FROM ledger WHERE payment_id = $1 ORDER BY id",
    )
    .bind(payment_id)
    .fetch_all(conn)
    .await?;
    let read = |row: &AnyRow| {
        let currency: String = row.try_get(3)?;
        Ok(EntryView {
            id: row.try_get(0)?,
            entry: row.try_get(1)?,
            amount: money(row.try_get(2)?, &currency),
            created_at: rfc3339(row.try_get(4)?),
        })
    };
    rows.iter().map(read).collect()
}

async fn one(conn: &mut AnyConnection, filter: &str, value: &str) -> sqlx::Result<Option<Attempt>> {
    let sql = format!("SELECT {COLUMNS} FROM attempts WHERE {filter}");
    let row = sqlx::query(AssertSqlSafe(sql)).bind(value).fetch_optional(conn).await?;
    row.as_ref().map(from_row).transpose()
}

fn from_row(row: &AnyRow) -> sqlx::Result<Attempt> {
    let unknown = |what: &str| sqlx::Error::Decode(format!("unknown {what} of an attempt").into());
    let (operation, status): (String, String) = (row.try_get(2)?, row.try_get(7)?);
    let code: Option<String> = row.try_get(8)?;
    let result = match status.as_str() {
        "pending" => None,
        "succeeded" => Some(AttemptResult::Succeeded),
        "declined" => Some(AttemptResult::Declined(code.unwrap_or_default())),
        "requires_action" => Some(AttemptResult::RequiresAction),
        _ => return Err(unknown("status")),
    };
    Ok(Attempt {
        id: row.try_get(0)?,
        payment_id: row.try_get(1)?,
        operation: Operation::parse(&operation).ok_or_else(|| unknown("operation"))?,
        amount: row.try_get(3)?,
        payment_method: row.try_get(4)?,
        reason: row.try_get(5)?,
        request: row.try_get(6)?,
        result,
        tries: row.try_get(9)?,
        created_at: row.try_get(10)?,
    })
}

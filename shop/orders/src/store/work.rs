//! How far each order's work at the other services has come, and who is at it.
//!
//! Whoever works on an order holds its lease. Every note of progress names the holder, so that one who was away too long, and was
//! replaced, can write nothing more.

use service_kit::clock::now_ms;
use service_kit::db::{Db, Tx};
use service_kit::problem::Problem;
use sqlx::any::AnyExecutor;

use super::damaged;
use crate::domain::work::{Direction, Progress, Step};

/// An order's work.
#[derive(Debug, Clone)]
pub struct Work {
    /// How far it has come.
    pub progress: Progress,
    /// Whether nothing is left to do.
    pub finished: bool,
    /// How the customer pays: a token, never a card number.
    pub payment_method: String,
    /// Why it is undone: a problem document.
    pub refusal: Option<String>,
    /// How often it was taken up again.
    pub attempts: i64,
}

/// The right to work on an order until it is given up or runs out.
#[derive(Debug, Clone)]
pub struct Lease {
    /// Which order.
    pub order_id: String,
    /// The holder: a new id each time.
    pub owner: String,
}

type Row = (String, String, i64, i64, i64, String, Option<String>, i64);

/// The work of an order.
///
/// # Errors
/// The database fails.
pub async fn find<'e>(on: impl AnyExecutor<'e>, order_id: &str) -> Result<Option<Work>, Problem> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT step, direction, payment_undone, stock_undone, finished, payment_method, refusal, attempts \
         FROM order_work WHERE order_id = $1",
    )
    .bind(order_id)
    .fetch_optional(on)
    .await?;
    let Some((step, direction, payment_undone, stock_undone, finished, payment_method, refusal, attempts)) =
        row
    else {
        return Ok(None);
    };
    let progress = Progress {
        step: Step::parse(&step).ok_or_else(|| damaged("the step", order_id))?,
        direction: Direction::parse(&direction).ok_or_else(|| damaged("the direction", order_id))?,
        payment_undone: payment_undone == 1,
        stock_undone: stock_undone == 1,
    };
    Ok(Some(Work { progress, finished: finished == 1, payment_method, refusal, attempts }))
}

/// Adds the work of a new order, held by `lease`.
///
/// # Errors
/// The database fails.
pub async fn insert(
    tx: &mut Tx,
    lease: &Lease,
    payment_method: &str,
    lease_ms: i64,
) -> Result<(), sqlx::Error> {
    let now = now_ms();
    let placed = Progress::placed();
    sqlx::query(
        "INSERT INTO order_work (order_id, step, direction, payment_undone, stock_undone, finished, payment_method, attempts, \
         next_attempt_at, lease_owner, lease_until) VALUES ($1, $2, $3, 0, 0, 0, $4, 0, $5, $6, $7)",
    )
    .bind(&lease.order_id)
    .bind(placed.step.as_str())
    .bind(placed.direction.as_str())
    .bind(payment_method)
    .bind(now)
    .bind(&lease.owner)
    .bind(now + lease_ms)
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// Takes the lease of an order's unfinished work if nobody holds it.
///
/// # Errors
/// The database fails.
pub async fn take(db: &Db, order_id: &str, lease_ms: i64) -> Result<Option<Lease>, sqlx::Error> {
    let lease = Lease { order_id: order_id.to_owned(), owner: service_kit::clock::new_id() };
    let now = now_ms();
    let mut tx = db.begin_write().await?;
    let done = sqlx::query(
        "UPDATE order_work SET lease_owner = $1, lease_until = $2, attempts = attempts + 1 \
         WHERE order_id = $3 AND finished = 0 AND (lease_owner IS NULL OR lease_until <= $4)",
    )
    .bind(&lease.owner)
    .bind(now + lease_ms)
    .bind(&lease.order_id)
    .bind(now)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok((done.rows_affected() == 1).then_some(lease))
}

/// Orders whose work is unfinished, due, and nobody's.
///
/// # Errors
/// The database fails.
pub async fn due(db: &Db, limit: i64) -> Result<Vec<String>, sqlx::Error> {
    let now = now_ms();
    let rows: Vec<(String,)> = sqlx::query_as(
        "SELECT order_id FROM order_work WHERE finished = 0 AND next_attempt_at <= $1 \
         AND (lease_owner IS NULL OR lease_until <= $2) ORDER BY next_attempt_at LIMIT $3",
    )
    .bind(now)
    .bind(now)
    .bind(limit)
    .fetch_all(db.pool())
    .await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// Moves the end of the lease; false if somebody else has it now.
///
/// # Errors
/// The database fails.
pub async fn renew(db: &Db, lease: &Lease, lease_ms: i64) -> Result<bool, sqlx::Error> {
    let mut tx = db.begin_write().await?;
    let done = sqlx::query(
        "UPDATE order_work SET lease_until = $1 WHERE order_id = $2 AND lease_owner = $3 AND finished = 0",
    )
    .bind(now_ms() + lease_ms)
    .bind(&lease.order_id)
    .bind(&lease.owner)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(done.rows_affected() == 1)
}

/// Gives the lease up; the work is due again at `next_attempt_at` (unix milliseconds).
///
/// # Errors
/// The database fails.
pub async fn put_down(db: &Db, lease: &Lease, next_attempt_at: i64) -> Result<(), sqlx::Error> {
    let mut tx = db.begin_write().await?;
    sqlx::query(
        "UPDATE order_work SET lease_owner = NULL, lease_until = 0, next_attempt_at = $1 \
         WHERE order_id = $2 AND lease_owner = $3",
    )
    .bind(next_attempt_at)
    .bind(&lease.order_id)
    .bind(&lease.owner)
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}

/// Notes the progress that was made under a lease.
///
/// # Errors
/// 409 `request_in_flight` if somebody else has the lease now: the transaction must not be committed.
pub async fn note(tx: &mut Tx, lease: &Lease, progress: Progress, finished: bool) -> Result<(), Problem> {
    let done = sqlx::query(
        "UPDATE order_work SET step = $1, direction = $2, payment_undone = $3, stock_undone = $4, finished = $5 \
         WHERE order_id = $6 AND lease_owner = $7 AND finished = 0",
    )
    .bind(progress.step.as_str())
    .bind(progress.direction.as_str())
    .bind(i64::from(progress.payment_undone))
    .bind(i64::from(progress.stock_undone))
    .bind(i64::from(finished))
    .bind(&lease.order_id)
    .bind(&lease.owner)
    .execute(&mut **tx)
    .await?;
    if done.rows_affected() == 1 { Ok(()) } else { Err(Problem::request_in_flight(1)) }
}

/// Notes why the work is undone.
///
/// # Errors
/// The database fails.
pub async fn set_refusal(tx: &mut Tx, order_id: &str, refusal: &str) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE order_work SET refusal = $1 WHERE order_id = $2")
        .bind(refusal)
        .bind(order_id)
        .execute(&mut **tx)
        .await
        .map(drop)
}

/// Begins to undo finished work, for an order that is cancelled after it was confirmed; the lease becomes `lease`'s.
///
/// # Errors
/// The database fails.
pub async fn reopen(tx: &mut Tx, lease: &Lease, lease_ms: i64) -> Result<bool, sqlx::Error> {
    let now = now_ms();
    let done = sqlx::query(
        "UPDATE order_work SET finished = 0, direction = $1, attempts = 0, next_attempt_at = $2, lease_owner = $3, \
         lease_until = $4 WHERE order_id = $5 AND finished = 1",
    )
    .bind(Direction::Undo.as_str())
    .bind(now)
    .bind(&lease.owner)
    .bind(now + lease_ms)
    .bind(&lease.order_id)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

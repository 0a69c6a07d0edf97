//! Holds: made all or nothing, ended once. Stock rows are always touched in SKU order (by bytes, not by the
//! database's collation), and always after the reservation's own row, so that two transactions never wait
//! for each other.

use service_kit::clock::new_id;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use super::{COMMIT, Movement, RETURN, add_movement, stock_of};
use crate::domain::{Decision, Event, Line, Refusal, Shortage, Status, decide};

/// A hold, or what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// The caller's name for it: an order id, for example.
    pub key: String,
    /// Where it is in its life.
    pub status: Status,
    /// One line a SKU, sorted by SKU.
    pub lines: Vec<Line>,
    /// When the hold ends, in Unix milliseconds.
    pub expires_at: i64,
}

/// What became of a wish to reserve.
#[derive(Debug, PartialEq, Eq)]
pub enum Reserved {
    /// A new hold.
    New(Reservation),
    /// The very same hold exists.
    Existing(Reservation),
    /// Nothing was held: these lines cannot be served.
    Short(Vec<Shortage>),
    /// Nothing was held: the key was used before.
    Refused(Refusal),
}

/// What became of an event: the reservation after it, or why not. `None`: no such reservation.
pub type Applied = Option<Result<Reservation, Refusal>>;

/// Holds all of `lines` (summed and sorted), until `expires_at`. On [`Reserved::Short`] the caller must roll
/// back: some lines may be held by then, because all shortages are looked for and not only the first.
///
/// # Errors
/// When the database refuses.
pub async fn reserve(
    conn: &mut AnyConnection,
    key: &str,
    lines: &[Line],
    expires_at: i64,
    now: i64,
) -> sqlx::Result<Reserved> {
    if !insert(conn, key, Status::Held, expires_at, now).await? {
        return existing(conn, key, lines, now).await;
    }
    let mut shortages = Vec::new();
    for line in lines {
        if set_aside(conn, line, now).await? {
            add_line(conn, key, line).await?;
        } else {
            let available = stock_of(conn, &line.sku).await?.map_or(0, |stock| stock.available);
            shortages.push(Shortage { sku: line.sku.clone(), wanted: line.quantity, available });
        }
    }
    if !shortages.is_empty() {
        return Ok(Reserved::Short(shortages));
    }
    let reservation =
        Reservation { key: key.to_owned(), status: Status::Held, lines: lines.to_vec(), expires_at };
    Ok(Reserved::New(reservation))
}

/// The answer when the key is taken: the same hold again, or a refusal.
async fn existing(conn: &mut AnyConnection, key: &str, lines: &[Line], now: i64) -> sqlx::Result<Reserved> {
    let found = find(conn, key).await?.ok_or(sqlx::Error::RowNotFound)?;
    Ok(match found.status {
        Status::Held if found.expires_at <= now => Reserved::Refused(Refusal::Expired),
        Status::Held if found.lines == lines => Reserved::Existing(found),
        Status::Held | Status::Committed | Status::Returned => {
            Reserved::Refused(Refusal::Conflict(found.status))
        }
        Status::Released => Reserved::Refused(Refusal::Released),
        Status::Expired => Reserved::Refused(Refusal::Expired),
    })
}

/// Lets `event` happen to a reservation, with the stock that goes with it. `prolong_to` is the end that an
/// extension asks for; a hold is never shortened. `actor` goes into the ledger.
///
/// # Errors
/// When the database refuses.
pub async fn apply(
    conn: &mut AnyConnection,
    key: &str,
    event: Event,
    prolong_to: i64,
    actor: &str,
    now: i64,
) -> sqlx::Result<Applied> {
    loop {
        let Some(found) = find(conn, key).await? else { return Ok(None) };
        let next = match decide(found.status, found.expires_at <= now, event) {
            Decision::Already => return Ok(Some(Ok(found))),
            Decision::Refuse(refusal) => return Ok(Some(Err(refusal))),
            Decision::Prolong => {
                Reservation { expires_at: found.expires_at.max(prolong_to), ..found.clone() }
            }
            Decision::Move(status) => Reservation { status, ..found.clone() },
        };
        // Zero rows: somebody else moved it since it was read. Read again, and decide again.
        if replace(conn, &found, &next, now).await? {
            if next.status != found.status {
                move_stock(conn, &next, actor, now).await?;
            }
            return Ok(Some(Ok(next)));
        }
    }
}

/// Releases or cancels a reservation; when there is none yet, leaves a tombstone that makes a late reserve refuse.
///
/// # Errors
/// When the database refuses.
pub async fn apply_or_bury(
    conn: &mut AnyConnection,
    key: &str,
    event: Event,
    actor: &str,
    now: i64,
) -> sqlx::Result<Result<Reservation, Refusal>> {
    if insert(conn, key, Status::Released, now, now).await? {
        let tombstone =
            Reservation { key: key.to_owned(), status: Status::Released, lines: Vec::new(), expires_at: now };
        return Ok(Ok(tombstone));
    }
    apply(conn, key, event, now, actor, now).await?.ok_or(sqlx::Error::RowNotFound)
}

/// A reservation with its lines.
///
/// # Errors
/// When the database refuses.
pub async fn find(conn: &mut AnyConnection, key: &str) -> sqlx::Result<Option<Reservation>> {
    let row = sqlx::query("SELECT key, status, expires_at FROM reservations WHERE key = $1")
        .bind(key)
        .fetch_optional(&mut *conn)
        .await?;
    match row {
        Some(row) => with_lines(conn, &row).await.map(Some),
        None => Ok(None),
    }
}

/// A page of reservations by key, after the key `after`; all of them, or those in one state.
///
/// # Errors
/// When the database refuses.
pub async fn with_status(
    conn: &mut AnyConnection,
    status: Option<Status>,
    after: &str,
    limit: i64,
) -> sqlx::Result<Vec<Reservation>> {
    let rows = sqlx::query(
        "SELECT key, status, expires_at FROM reservations
         WHERE key > $1 AND ($2 = '' OR status = $2) ORDER BY key LIMIT $3",
    )
    .bind(after)
    .bind(status.map_or("", Status::as_str))
    .bind(limit)
    .fetch_all(&mut *conn)
    .await?;
    let mut items = Vec::with_capacity(rows.len());
    for row in &rows {
        items.push(with_lines(conn, row).await?);
    }
    Ok(items)
}

/// The keys of holds that lapsed by `now`, the oldest first.
///
/// # Errors
/// When the database refuses.
pub async fn lapsed_keys(conn: &mut AnyConnection, now: i64, limit: i64) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "SELECT key FROM reservations WHERE status = 'held' AND expires_at <= $1
         ORDER BY expires_at LIMIT $2",
    )
    .bind(now)
    .bind(limit)
    .fetch_all(conn)
    .await
}

async fn insert(
    conn: &mut AnyConnection,
    key: &str,
    status: Status,
    expires_at: i64,
    now: i64,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "INSERT INTO reservations (key, status, expires_at, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $4) ON CONFLICT (key) DO NOTHING",
    )
    .bind(key)
    .bind(status.as_str())
    .bind(expires_at)
    .bind(now)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

async fn add_line(conn: &mut AnyConnection, key: &str, line: &Line) -> sqlx::Result<()> {
    sqlx::query("INSERT INTO reservation_lines (reservation_key, sku, quantity) VALUES ($1, $2, $3)")
        .bind(key)
        .bind(&line.sku)
        .bind(line.quantity)
        .execute(conn)
        .await?;
    Ok(())
}

/// Raises `reserved` when enough is free: the one statement that decides who gets the last unit.
async fn set_aside(conn: &mut AnyConnection, line: &Line, now: i64) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "UPDATE stock SET reserved = reserved + $2, version = version + 1, updated_at = $3
         WHERE sku = $1 AND on_hand - reserved >= $2",
    )
    .bind(&line.sku)
    .bind(line.quantity)
    .bind(now)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Compare and set of the reservation's own row.
async fn replace(
    conn: &mut AnyConnection,
    old: &Reservation,
    new: &Reservation,
    now: i64,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "UPDATE reservations SET status = $2, expires_at = $3, updated_at = $4
         WHERE key = $1 AND status = $5 AND expires_at = $6",
    )
    .bind(&old.key)
    .bind(new.status.as_str())
    .bind(new.expires_at)
    .bind(now)
    .bind(old.status.as_str())
    .bind(old.expires_at)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Takes the reservation's units off the shelf (committed), gives them back (released, expired), or puts
/// them back on the shelf (returned).
async fn move_stock(
    conn: &mut AnyConnection,
    reservation: &Reservation,
    actor: &str,
    now: i64,
) -> sqlx::Result<()> {
    for line in &reservation.lines {
        let quantity = line.quantity;
        let (reserved, on_hand, reason) = match reservation.status {
            Status::Committed => (-quantity, -quantity, Some(COMMIT)),
            Status::Released | Status::Expired => (-quantity, 0, None),
            Status::Returned => (0, quantity, Some(RETURN)),
            Status::Held => (quantity, 0, None),
        };
        let done = sqlx::query(
            "UPDATE stock SET reserved = reserved + $2, on_hand = on_hand + $3,
                 version = version + 1, updated_at = $4
             WHERE sku = $1",
        )
        .bind(&line.sku)
        .bind(reserved)
        .bind(on_hand)
        .bind(now)
        .execute(&mut *conn)
        .await?;
        if done.rows_affected() != 1 {
            return Err(sqlx::Error::RowNotFound);
        }
        if let Some(reason) = reason {
            let movement = Movement {
                id: new_id(),
                sku: line.sku.clone(),
                delta: on_hand,
                reason: reason.to_owned(),
                actor: actor.to_owned(),
                reference: Some(reservation.key.clone()),
                created_at: now,
            };
            add_movement(conn, &movement).await?;
        }
    }
    Ok(())
}

async fn with_lines(conn: &mut AnyConnection, row: &AnyRow) -> sqlx::Result<Reservation> {
    let (key, status): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    let rows = sqlx::query("SELECT sku, quantity FROM reservation_lines WHERE reservation_key = $1")
        .bind(&key)
        .fetch_all(conn)
        .await?;
    let mut lines = Vec::with_capacity(rows.len());
    for row in &rows {
        lines.push(Line { sku: row.try_get(0)?, quantity: row.try_get(1)? });
    }
    lines.sort_by(|a, b| a.sku.cmp(&b.sku));
    let status = Status::parse(&status)
        .ok_or_else(|| sqlx::Error::Decode(format!("unknown reservation status {status}").into()))?;
    Ok(Reservation { key, status, lines, expires_at: row.try_get(2)? })
}

//! What lies on the shelf.

use serde::Serialize;
use service_kit::clock::new_id;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};

use super::{INITIAL, Movement, add_movement};
use crate::domain::{Line, Shortage};

/// The shelf of one SKU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stock {
    /// What it is.
    pub sku: String,
    /// Units on the shelf.
    pub on_hand: i64,
    /// Units of these that are held for somebody.
    pub reserved: i64,
    /// Units that can still be held: `on_hand - reserved`.
    pub available: i64,
    /// Counts the changes; for the ETag.
    #[serde(skip)]
    pub version: i64,
}

fn from_row(row: &AnyRow) -> sqlx::Result<Stock> {
    let (on_hand, reserved): (i64, i64) = (row.try_get(1)?, row.try_get(2)?);
    Ok(Stock {
        sku: row.try_get(0)?,
        on_hand,
        reserved,
        available: on_hand - reserved,
        version: row.try_get(3)?,
    })
}

/// The stock of one SKU; `None` when inventory does not know it.
///
/// # Errors
/// When the database refuses.
pub async fn stock_of(conn: &mut AnyConnection, sku: &str) -> sqlx::Result<Option<Stock>> {
    let row = sqlx::query("SELECT sku, on_hand, reserved, version FROM stock WHERE sku = $1")
        .bind(sku)
        .fetch_optional(conn)
        .await?;
    row.as_ref().map(from_row).transpose()
}

/// The stock of those of `skus` that inventory knows, by SKU.
///
/// # Errors
/// When the database refuses.
pub async fn stock_of_all(conn: &mut AnyConnection, skus: &[String]) -> sqlx::Result<Vec<Stock>> {
    let places: Vec<String> = (1..=skus.len()).map(|place| format!("${place}")).collect();
    let sql = format!(
        "SELECT sku, on_hand, reserved, version FROM stock WHERE sku IN ({}) ORDER BY sku",
        places.join(", ")
    );
    let query = skus.iter().fold(sqlx::query(AssertSqlSafe(sql)), |query, sku| query.bind(sku));
    query.fetch_all(conn).await?.iter().map(from_row).collect()
}

/// A page of all stock, by SKU, after the SKU `after`.
///
/// # Errors
/// When the database refuses.
pub async fn all_stock(conn: &mut AnyConnection, after: &str, limit: i64) -> sqlx::Result<Vec<Stock>> {
    sqlx::query("SELECT sku, on_hand, reserved, version FROM stock WHERE sku > $1 ORDER BY sku LIMIT $2")
        .bind(after)
        .bind(limit)
        .fetch_all(conn)
        .await?
        .iter()
        .map(from_row)
        .collect()
}

/// Changes what lies on the shelf by `movement.delta` and writes the movement. A first positive delta makes
/// the SKU known. Returns the new stock, or the shortage when less would remain than is reserved.
///
/// # Errors
/// When the database refuses.
pub async fn adjust(conn: &mut AnyConnection, movement: &Movement) -> sqlx::Result<Result<Stock, Shortage>> {
    let (sku, delta, now) = (movement.sku.as_str(), movement.delta, movement.created_at);
    if delta > 0 {
        add_empty(conn, sku, now).await?;
    }
    let changed = sqlx::query(
        "UPDATE stock SET on_hand = on_hand + $2, version = version + 1, updated_at = $3
         WHERE sku = $1 AND on_hand + $2 >= reserved",
    )
    .bind(sku)
    .bind(delta)
    .bind(now)
    .execute(&mut *conn)
    .await?
    .rows_affected();
    let stock = stock_of(conn, sku).await?;
    match stock {
        Some(stock) if changed == 1 => {
            add_movement(conn, movement).await?;
            Ok(Ok(stock))
        }
        other => {
            let available = other.map_or(0, |stock| stock.available);
            Ok(Err(Shortage { sku: sku.to_owned(), wanted: -delta, available }))
        }
    }
}

/// Puts the first stock on the shelf, each with its initial movement. A SKU that is already known is left
/// alone, so this can run at every start and in several replicas at once. Returns how many were new.
///
/// # Errors
/// When the database refuses.
pub async fn seed(conn: &mut AnyConnection, lines: &[Line], now: i64) -> sqlx::Result<usize> {
    let mut added = 0;
    for line in lines {
        if !add_empty(conn, &line.sku, now).await? {
            continue;
        }
        added += 1;
        if line.quantity > 0 {
            let movement = Movement {
                id: new_id(),
                sku: line.sku.clone(),
                delta: line.quantity,
                reason: INITIAL.to_owned(),
                actor: "seed".to_owned(),
                reference: None,
                created_at: now,
            };
            adjust(conn, &movement).await?.map_err(|_| sqlx::Error::RowNotFound)?;
        }
    }
    Ok(added)
}

/// Makes a SKU known with nothing on the shelf; false when it was known.
async fn add_empty(conn: &mut AnyConnection, sku: &str, now: i64) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "INSERT INTO stock (sku, on_hand, reserved, updated_at) VALUES ($1, 0, 0, $2)
         ON CONFLICT (sku) DO NOTHING",
    )
    .bind(sku)
    .bind(now)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

//! Orders and what was bought with them, as copied when they were placed.

use std::collections::HashMap;

use serde_json::Value;
use service_kit::clock::now_ms;
use service_kit::db::Tx;
use service_kit::problem::Problem;
use sqlx::Row;
use sqlx::any::{AnyExecutor, AnyRow};

use super::damaged;
use crate::domain::order::Status;

/// An order without its lines.
#[derive(Debug, Clone)]
pub struct Order {
    /// Its id: also the key of its reservation and the reference of its payment.
    pub id: String,
    /// Whose it is.
    pub customer_id: String,
    /// The cart that it came from.
    pub cart_id: String,
    /// Where it is in its life.
    pub status: Status,
    /// Grows with every change.
    pub version: i64,
    /// What it costs, in minor units.
    pub total: i64,
    /// ISO 4217.
    pub currency: String,
    /// The payment intent, once there is one.
    pub payment_id: Option<String>,
    /// Where to send it, as the customer gave it.
    pub shipping_address: Option<Value>,
    /// How the customer pays: the provider's token, never a card number.
    pub payment_method: String,
    /// Why it was cancelled.
    pub cancel_reason: Option<String>,
    /// Why its checkout came to nothing: a problem document.
    pub refusal: Option<String>,
    /// Whether no work at other services is left.
    pub settled: bool,
    /// Unix milliseconds.
    pub created_at: i64,
    /// Unix milliseconds.
    pub updated_at: i64,
}

/// A line of an order.
#[derive(Debug, Clone)]
pub struct Line {
    /// What.
    pub sku: String,
    /// Its name when it was bought.
    pub name: String,
    /// Its picture when it was bought.
    pub image: String,
    /// How many.
    pub quantity: i64,
    /// What one cost, in minor units.
    pub unit_price: i64,
}

const SELECT: &str = "SELECT id, customer_id, cart_id, status, version, total_amount, currency, payment_id, shipping_address, \
     cancel_reason, settled, created_at, updated_at, payment_method, refusal FROM orders";

fn read(row: &AnyRow) -> Result<Order, Problem> {
    let id: String = row.try_get(0)?;
    let status: String = row.try_get(3)?;
    let address: Option<String> = row.try_get(8)?;
    let address = address.map(|text| serde_json::from_str(&text)).transpose();
    Ok(Order {
        customer_id: row.try_get(1)?,
        cart_id: row.try_get(2)?,
        status: Status::parse(&status).ok_or_else(|| damaged("the status", &id))?,
        version: row.try_get(4)?,
        total: row.try_get(5)?,
        currency: row.try_get(6)?,
        payment_id: row.try_get(7)?,
        shipping_address: address.map_err(|_| damaged("the address", &id))?,
        cancel_reason: row.try_get(9)?,
        settled: row.try_get::<i64, _>(10)? == 1,
        created_at: row.try_get(11)?,
        updated_at: row.try_get(12)?,
        payment_method: row.try_get(13)?,
        refusal: row.try_get(14)?,
        id,
    })
}

/// The order of that id.
///
/// # Errors
/// The database fails.
pub async fn find<'e>(on: impl AnyExecutor<'e>, id: &str) -> Result<Option<Order>, Problem> {
    let sql = format!("{SELECT} WHERE id = $1");
    let row = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(id).fetch_optional(on).await?;
    row.as_ref().map(read).transpose()
}

/// Which orders to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this customer only.
    pub customer_id: Option<String>,
    /// With this status only.
    pub status: Option<Status>,
    /// Older than this order.
    pub after: Option<String>,
}

/// Orders, newest first.
///
/// # Errors
/// The database fails.
pub async fn list<'e>(on: impl AnyExecutor<'e>, filter: &Filter, limit: i64) -> Result<Vec<Order>, Problem> {
    let conditions = [
        ("customer_id =", filter.customer_id.as_deref()),
        ("status =", filter.status.map(Status::as_str)),
        ("id <", filter.after.as_deref()),
    ];
    let chosen: Vec<_> =
        conditions.into_iter().filter_map(|(column, value)| Some((column, value?))).collect();
    let mut sql = SELECT.to_owned();
    for (number, (column, _)) in chosen.iter().enumerate() {
        let word = if number == 0 { "WHERE" } else { "AND" };
        sql.push_str(&format!(" {word} {column} ${}", number + 1));
    }
    sql.push_str(&format!(" ORDER BY id DESC LIMIT ${}", chosen.len() + 1));
    let mut query = sqlx::query(sqlx::AssertSqlSafe(sql));
    for (_, value) in chosen {
        query = query.bind(value);
    }
    query.bind(limit).fetch_all(on).await?.iter().map(read).collect()
}

/// The lines of an order, as they stood in the cart.
///
/// # Errors
/// The database fails.
pub async fn lines<'e>(on: impl AnyExecutor<'e>, order_id: &str) -> Result<Vec<Line>, sqlx::Error> {
    let rows: Vec<(String, String, String, i64, i64)> = sqlx::query_as(
        "SELECT sku, name, image, quantity, unit_amount FROM order_lines WHERE order_id = $1 ORDER BY position",
    )
    .bind(order_id)
    .fetch_all(on)
    .await?;
    let line = |(sku, name, image, quantity, unit_price)| Line { sku, name, image, quantity, unit_price };
    Ok(rows.into_iter().map(line).collect())
}

/// The lines of several orders, by order.
///
/// # Errors
/// The database fails.
pub async fn lines_of<'e>(
    on: impl AnyExecutor<'e>,
    orders: &[Order],
) -> Result<HashMap<String, Vec<Line>>, sqlx::Error> {
    let mut by_order: HashMap<String, Vec<Line>> = HashMap::new();
    if orders.is_empty() {
        return Ok(by_order);
    }
    let places: Vec<String> = (1..=orders.len()).map(|number| format!("${number}")).collect();
    let sql = format!(
        "SELECT order_id, sku, name, image, quantity, unit_amount FROM order_lines WHERE order_id IN ({}) ORDER BY position",
        places.join(", ")
    );
    let mut query = sqlx::query_as(sqlx::AssertSqlSafe(sql));
    for order in orders {
        query = query.bind(&order.id);
    }
    let rows: Vec<(String, String, String, String, i64, i64)> = query.fetch_all(on).await?;
    for (order_id, sku, name, image, quantity, unit_price) in rows {
        by_order.entry(order_id).or_default().push(Line { sku, name, image, quantity, unit_price });
    }
    Ok(by_order)
}

/// Adds an order with its lines and its claim on the cart.
///
/// # Errors
/// The database fails; a unique violation means that the cart has a live order.
pub async fn insert(tx: &mut Tx, order: &Order, lines: &[Line]) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO orders (id, customer_id, cart_id, status, version, total_amount, currency, shipping_address, \
         payment_method, settled, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, $10, $11)",
    )
    .bind(&order.id)
    .bind(&order.customer_id)
    .bind(&order.cart_id)
    .bind(order.status.as_str())
    .bind(order.version)
    .bind(order.total)
    .bind(&order.currency)
    .bind(order.shipping_address.as_ref().map(Value::to_string))
    .bind(&order.payment_method)
    .bind(order.created_at)
    .bind(order.updated_at)
    .execute(&mut **tx)
    .await?;
    for (position, line) in (0_i64..).zip(lines) {
        sqlx::query(
            "INSERT INTO order_lines (order_id, position, sku, name, image, quantity, unit_amount) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(&order.id)
        .bind(position)
        .bind(&line.sku)
        .bind(&line.name)
        .bind(&line.image)
        .bind(line.quantity)
        .bind(line.unit_price)
        .execute(&mut **tx)
        .await?;
    }
    sqlx::query("INSERT INTO cart_claims (order_id, cart_id, live) VALUES ($1, $2, 1)")
        .bind(&order.id)
        .bind(&order.cart_id)
        .execute(&mut **tx)
        .await
        .map(drop)
}

/// Moves an order to `next` from any status that may become it.
///
/// # Errors
/// 409 `state_conflict` with the present state; the database fails.
pub async fn become_status(tx: &mut Tx, id: &str, next: Status) -> Result<(), Problem> {
    for from in Status::before(next) {
        let done = sqlx::query(
            "UPDATE orders SET status = $1, version = version + 1, updated_at = $2 WHERE id = $3 AND status = $4",
        )
        .bind(next.as_str())
        .bind(now_ms())
        .bind(id)
        .bind(from.as_str())
        .execute(&mut **tx)
        .await?;
        if done.rows_affected() == 1 {
            return Ok(());
        }
    }
    let present = find(&mut **tx, id).await?.ok_or_else(|| Problem::not_found("There is no such order."))?;
    let detail = format!("The order is {}; from there it cannot become {next}.", present.status);
    Err(Problem::state_conflict(present.status.as_str(), detail))
}

/// Notes the payment intent of an order.
///
/// # Errors
/// The database fails.
pub async fn set_payment(tx: &mut Tx, id: &str, payment_id: &str) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE orders SET payment_id = $1, version = version + 1, updated_at = $2 WHERE id = $3")
        .bind(payment_id)
        .bind(now_ms())
        .bind(id)
        .execute(&mut **tx)
        .await
        .map(drop)
}

/// Notes why an order is cancelled.
///
/// # Errors
/// The database fails.
pub async fn set_cancel_reason(tx: &mut Tx, id: &str, reason: &str) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE orders SET cancel_reason = $1 WHERE id = $2")
        .bind(reason)
        .bind(id)
        .execute(&mut **tx)
        .await
        .map(drop)
}

/// Notes why a checkout came to nothing: the code, and what its customer is told.
///
/// # Errors
/// The database fails.
pub async fn set_refusal(tx: &mut Tx, id: &str, code: &str, refusal: &Value) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE orders SET cancel_reason = $1, refusal = $2 WHERE id = $3")
        .bind(code)
        .bind(refusal.to_string())
        .bind(id)
        .execute(&mut **tx)
        .await
        .map(drop)
}

/// Notes whether work at other services is left.
///
/// # Errors
/// The database fails.
pub async fn set_settled(tx: &mut Tx, id: &str, settled: bool) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE orders SET settled = $1 WHERE id = $2")
        .bind(i64::from(settled))
        .bind(id)
        .execute(&mut **tx)
        .await
        .map(drop)
}

/// Gives up an order's claim on its cart.
///
/// # Errors
/// The database fails.
pub async fn give_up_cart(tx: &mut Tx, id: &str) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE cart_claims SET live = 0 WHERE order_id = $1")
        .bind(id)
        .execute(&mut **tx)
        .await
        .map(drop)
}

//! Carts, their lines, and the last known prices.

use service_kit::clock::now_ms;
use service_kit::db::{Db, Tx};
use service_kit::problem::Problem;
use sqlx::any::AnyExecutor;

use crate::domain::cart::{Lines, MAX_LINES};

/// A cart without its lines.
#[derive(Debug, Clone)]
pub struct Cart {
    /// Its unguessable id.
    pub id: String,
    /// Whose it is; nobody's while a guest fills it.
    pub customer_id: Option<String>,
    /// `open`, `checking_out`, `closed` or `merged`.
    pub status: String,
    /// Grows with every change.
    pub version: i64,
    /// The order that claimed it.
    pub order_id: Option<String>,
    /// The cart that took its lines.
    pub merged_into: Option<String>,
}

/// What the catalog last said about a product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownProduct {
    /// Which.
    pub sku: String,
    /// Its name.
    pub name: String,
    /// The last part of its page's address.
    pub slug: String,
    /// The path of its picture.
    pub image: String,
    /// Price in minor units.
    pub price: i64,
    /// ISO 4217.
    pub currency: String,
}

type CartRow = (String, Option<String>, String, i64, Option<String>, Option<String>);
type ProductRow = (String, String, String, String, i64, String);

/// The cart of that id.
///
/// # Errors
/// The database fails.
pub async fn find<'e>(on: impl AnyExecutor<'e>, id: &str) -> Result<Option<Cart>, sqlx::Error> {
    let row: Option<CartRow> = sqlx::query_as(
        "SELECT id, customer_id, status, version, order_id, merged_into FROM carts WHERE id = $1",
    )
    .bind(id)
    .fetch_optional(on)
    .await?;
    Ok(row.map(|(id, customer_id, status, version, order_id, merged_into)| Cart {
        id,
        customer_id,
        status,
        version,
        order_id,
        merged_into,
    }))
}

/// The lines of a cart, in the order in which they were added.
///
/// # Errors
/// The database fails.
pub async fn lines<'e>(on: impl AnyExecutor<'e>, cart_id: &str) -> Result<Lines, sqlx::Error> {
    sqlx::query_as("SELECT sku, quantity FROM cart_lines WHERE cart_id = $1 ORDER BY added_at, sku")
        .bind(cart_id)
        .fetch_all(on)
        .await
}

/// The id of the cart that the customer fills now.
///
/// # Errors
/// The database fails.
pub async fn current_of<'e>(
    on: impl AnyExecutor<'e>,
    customer_id: &str,
) -> Result<Option<String>, sqlx::Error> {
    let row: Option<(String,)> = sqlx::query_as("SELECT cart_id FROM customer_carts WHERE customer_id = $1")
        .bind(customer_id)
        .fetch_optional(on)
        .await?;
    Ok(row.map(|(id,)| id))
}

/// Adds an empty open cart.
///
/// # Errors
/// The database fails.
pub async fn insert(tx: &mut Tx, id: &str, customer_id: Option<&str>) -> Result<(), sqlx::Error> {
    let now = now_ms();
    sqlx::query(
        "INSERT INTO carts (id, customer_id, status, version, created_at, updated_at) VALUES ($1, $2, 'open', 1, $3, $4)",
    )
    .bind(id)
    .bind(customer_id)
    .bind(now)
    .bind(now)
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// Makes a cart the one that the customer fills, unless there is one already; tells whether it did.
///
/// # Errors
/// The database fails.
pub async fn make_current(tx: &mut Tx, customer_id: &str, cart_id: &str) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        "INSERT INTO customer_carts (customer_id, cart_id) VALUES ($1, $2) ON CONFLICT (customer_id) DO NOTHING",
    )
    .bind(customer_id)
    .bind(cart_id)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Moves an open cart to its next version, and by that holds off every other change of it until the transaction ends.
/// False if it is not open any more, or not at the version `if_version`.
///
/// # Errors
/// The database fails.
pub async fn touch(tx: &mut Tx, cart_id: &str, if_version: Option<i64>) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        "UPDATE carts SET version = version + 1, updated_at = $1 \
         WHERE id = $2 AND status = 'open' AND (version = $3 OR $4 = 0)",
    )
    .bind(now_ms())
    .bind(cart_id)
    .bind(if_version.unwrap_or(0))
    .bind(i64::from(if_version.is_some()))
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Sets the quantity of a SKU in a cart that was touched before; 0 removes the line.
///
/// # Errors
/// 422 when it would be one line too many; the database fails.
pub async fn set_line(tx: &mut Tx, cart_id: &str, sku: &str, quantity: i64) -> Result<(), Problem> {
    if quantity == 0 {
        sqlx::query("DELETE FROM cart_lines WHERE cart_id = $1 AND sku = $2")
            .bind(cart_id)
            .bind(sku)
            .execute(&mut **tx)
            .await?;
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO cart_lines (cart_id, sku, quantity, added_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (cart_id, sku) DO UPDATE SET quantity = excluded.quantity",
    )
    .bind(cart_id)
    .bind(sku)
    .bind(quantity)
    .bind(now_ms())
    .execute(&mut **tx)
    .await?;
    let (count,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM cart_lines WHERE cart_id = $1")
        .bind(cart_id)
        .fetch_one(&mut **tx)
        .await?;
    if usize::try_from(count).unwrap_or(usize::MAX) > MAX_LINES {
        let message = format!("A cart has at most {MAX_LINES} lines. Remove one first.");
        return Err(Problem::invalid("lines", "too_many_lines", message));
    }
    Ok(())
}

/// Marks an open cart of a guest, or of the customer's own, as merged into another; false if it was merged or checked out before.
///
/// # Errors
/// The database fails.
pub async fn mark_merged(
    tx: &mut Tx,
    from: &str,
    customer_id: &str,
    into: &str,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        "UPDATE carts SET status = 'merged', merged_into = $1, version = version + 1, updated_at = $2 \
         WHERE id = $3 AND status = 'open' AND (customer_id IS NULL OR customer_id = $4)",
    )
    .bind(into)
    .bind(now_ms())
    .bind(from)
    .bind(customer_id)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Claims an open cart at a version for an order, and makes it the customer's; false if it changed meanwhile.
///
/// # Errors
/// The database fails.
pub async fn claim(tx: &mut Tx, cart: &Cart, customer_id: &str, order_id: &str) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        "UPDATE carts SET status = 'checking_out', order_id = $1, customer_id = $2, version = version + 1, updated_at = $3 \
         WHERE id = $4 AND version = $5 AND status = 'open' AND (customer_id IS NULL OR customer_id = $6)",
    )
    .bind(order_id)
    .bind(customer_id)
    .bind(now_ms())
    .bind(&cart.id)
    .bind(cart.version)
    .bind(customer_id)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Closes the cart that an order claimed: it was bought. The customer's next cart will be a new one.
///
/// # Errors
/// The database fails.
pub async fn close(tx: &mut Tx, cart_id: &str, order_id: &str) -> Result<(), sqlx::Error> {
    end_claim(tx, cart_id, order_id, "closed", Some(order_id)).await?;
    sqlx::query("DELETE FROM customer_carts WHERE cart_id = $1")
        .bind(cart_id)
        .execute(&mut **tx)
        .await
        .map(drop)
}

/// Opens the cart that an order claimed again: it was not bought.
///
/// # Errors
/// The database fails.
pub async fn reopen(tx: &mut Tx, cart_id: &str, order_id: &str) -> Result<(), sqlx::Error> {
    end_claim(tx, cart_id, order_id, "open", None).await
}

async fn end_claim(
    tx: &mut Tx,
    cart_id: &str,
    order_id: &str,
    status: &str,
    keep: Option<&str>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE carts SET status = $1, order_id = $2, version = version + 1, updated_at = $3 \
         WHERE id = $4 AND order_id = $5 AND status = 'checking_out'",
    )
    .bind(status)
    .bind(keep)
    .bind(now_ms())
    .bind(cart_id)
    .bind(order_id)
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// Remembers what the catalog said.
///
/// # Errors
/// The database fails.
pub async fn remember(tx: &mut Tx, product: &KnownProduct) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO known_products (sku, name, slug, image, price_amount, currency, seen_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (sku) DO UPDATE SET name = excluded.name, slug = excluded.slug, \
         image = excluded.image, price_amount = excluded.price_amount, currency = excluded.currency, seen_at = excluded.seen_at",
    )
    .bind(&product.sku)
    .bind(&product.name)
    .bind(&product.slug)
    .bind(&product.image)
    .bind(product.price)
    .bind(&product.currency)
    .bind(now_ms())
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// The last known state of the products in a cart.
///
/// # Errors
/// The database fails.
pub async fn known_in(db: &Db, cart_id: &str) -> Result<Vec<KnownProduct>, sqlx::Error> {
    let rows: Vec<ProductRow> = sqlx::query_as(
        "SELECT p.sku, p.name, p.slug, p.image, p.price_amount, p.currency FROM known_products p \
         JOIN cart_lines l ON l.sku = p.sku WHERE l.cart_id = $1",
    )
    .bind(cart_id)
    .fetch_all(db.pool())
    .await?;
    Ok(rows.into_iter().map(product).collect())
}

/// The last known state of one product.
///
/// # Errors
/// The database fails.
pub async fn known(db: &Db, sku: &str) -> Result<Option<KnownProduct>, sqlx::Error> {
    let row: Option<ProductRow> = sqlx::query_as(
        "SELECT sku, name, slug, image, price_amount, currency FROM known_products WHERE sku = $1",
    )
    .bind(sku)
    .fetch_optional(db.pool())
    .await?;
    Ok(row.map(product))
}

fn product((sku, name, slug, image, price, currency): ProductRow) -> KnownProduct {
    KnownProduct { sku, name, slug, image, price, currency }
}

//! The tables of products and categories.

use service_kit::clock::now_ms;
use service_kit::db::{Db, Tx, is_unique_violation};
use service_kit::money::{Currency, Money};
use service_kit::problem::Problem;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};

use crate::domain::product::{Category, Product, Status, words_of};

/// The columns that [`product`] reads.
pub const COLUMNS: &str =
    "id, sku, slug, name, description, category, price_amount, currency, image, status, version, created_at";

/// Reads a row of [`COLUMNS`].
pub fn product(row: &AnyRow) -> Result<Product, sqlx::Error> {
    let currency: String = row.try_get("currency")?;
    let currency: Currency = currency.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
    Ok(Product {
        id: row.try_get("id")?,
        sku: row.try_get("sku")?,
        slug: row.try_get("slug")?,
        name: row.try_get("name")?,
        description: row.try_get("description")?,
        category: row.try_get("category")?,
        price: Money::new(row.try_get("price_amount")?, currency),
        image: row.try_get("image")?,
        status: Status::from_stored(row.try_get("status")?),
        version: row.try_get("version")?,
        created_at: row.try_get("created_at")?,
    })
}

/// Finds a product by id or slug.
pub async fn find(conn: &mut AnyConnection, id_or_slug: &str) -> Result<Option<Product>, sqlx::Error> {
    let sql = format!("SELECT {COLUMNS} FROM products WHERE id = $1 OR slug = $2");
    let query = sqlx::query(AssertSqlSafe(sql)).bind(id_or_slug).bind(id_or_slug);
    query.fetch_optional(conn).await?.as_ref().map(product).transpose()
}

/// The active products of these SKUs.
pub async fn active_by_sku(db: &Db, skus: &[String]) -> Result<Vec<Product>, sqlx::Error> {
    let places: Vec<String> = (1..=skus.len()).map(|n| format!("${n}")).collect();
    let places = places.join(", ");
    let sql =
        format!("SELECT {COLUMNS} FROM products WHERE status = 'active' AND sku IN ({places}) ORDER BY sku");
    let query = skus.iter().fold(sqlx::query(AssertSqlSafe(sql)), |query, sku| query.bind(sku));
    query.fetch_all(db.pool()).await?.iter().map(product).collect()
}

/// Every category, with its active products counted.
pub async fn categories(db: &Db) -> Result<Vec<Category>, sqlx::Error> {
    let rows: Vec<(String, String, i64)> = sqlx::query_as(
        "SELECT c.slug, c.name, COUNT(p.id) FROM categories c \
         LEFT JOIN products p ON p.category = c.slug AND p.status = 'active' \
         GROUP BY c.slug, c.name ORDER BY c.name, c.slug",
    )
    .fetch_all(db.pool())
    .await?;
    Ok(rows.into_iter().map(|(slug, name, count)| Category { slug, name, count }).collect())
}

/// The name of a category, which is made if there is none yet; a given name is only for a new one.
pub async fn category_name(tx: &mut Tx, slug: &str, name: Option<&str>) -> Result<String, sqlx::Error> {
    let name = name.map_or_else(|| words_of(slug), str::to_owned);
    sqlx::query("INSERT INTO categories (slug, name) VALUES ($1, $2) ON CONFLICT (slug) DO NOTHING")
        .bind(slug)
        .bind(name)
        .execute(&mut **tx)
        .await?;
    let (name,): (String,) =
        sqlx::query_as("SELECT name FROM categories WHERE slug = $1").bind(slug).fetch_one(&mut **tx).await?;
    Ok(name)
}

/// Adds a product, and its category if that is new.
///
/// # Errors
/// 409 `sku_taken` or `slug_taken`.
pub async fn insert(
    tx: &mut Tx,
    product: &Product,
    category_name_if_new: Option<&str>,
) -> Result<(), Problem> {
    let category = category_name(tx, &product.category, category_name_if_new).await?;
    refuse_taken(tx, product).await?;
    sqlx::query(
        "INSERT INTO products (id, sku, slug, name, description, category, price_amount, currency, image, status, version, \
         name_key, search_text, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
    )
    .bind(&product.id)
    .bind(&product.sku)
    .bind(&product.slug)
    .bind(&product.name)
    .bind(&product.description)
    .bind(&product.category)
    .bind(product.price.amount)
    .bind(product.price.currency.as_str())
    .bind(&product.image)
    .bind(product.status.as_str())
    .bind(product.version)
    .bind(product.name_key())
    .bind(product.search_text(&category))
    .bind(product.created_at)
    .bind(product.created_at)
    .execute(&mut **tx)
    .await
    .map_err(taken_meanwhile)?;
    Ok(())
}

/// Stores a changed product over the version before it.
///
/// # Errors
/// 409 `slug_taken`; 412 if it is not at that version any more.
pub async fn update(
    tx: &mut Tx,
    product: &Product,
    category_name_if_new: Option<&str>,
) -> Result<(), Problem> {
    let category = category_name(tx, &product.category, category_name_if_new).await?;
    refuse_taken(tx, product).await?;
    let done = sqlx::query(
        "UPDATE products SET slug = $1, name = $2, description = $3, category = $4, price_amount = $5, currency = $6, \
         image = $7, status = $8, version = version + 1, name_key = $9, search_text = $10, updated_at = $11 \
         WHERE id = $12 AND version = $13",
    )
    .bind(&product.slug)
    .bind(&product.name)
    .bind(&product.description)
    .bind(&product.category)
    .bind(product.price.amount)
    .bind(product.price.currency.as_str())
    .bind(&product.image)
    .bind(product.status.as_str())
    .bind(product.name_key())
    .bind(product.search_text(&category))
    .bind(now_ms())
    .bind(&product.id)
    .bind(product.version - 1)
    .execute(&mut **tx)
    .await
    .map_err(taken_meanwhile)?;
    if done.rows_affected() == 1 { Ok(()) } else { Err(Problem::precondition_failed()) }
}

async fn refuse_taken(tx: &mut Tx, product: &Product) -> Result<(), Problem> {
    let others: Vec<(String,)> =
        sqlx::query_as("SELECT sku FROM products WHERE (sku = $1 OR slug = $2) AND id <> $3")
            .bind(&product.sku)
            .bind(&product.slug)
            .bind(&product.id)
            .fetch_all(&mut **tx)
            .await?;
    match others.iter().any(|(sku,)| *sku == product.sku) {
        _ if others.is_empty() => Ok(()),
        true => Err(Problem::conflict("sku_taken", "There is a product with this SKU already.")),
        false => Err(Problem::conflict("slug_taken", "There is a product with this slug already.")),
    }
}

/// Two at once can both pass [`refuse_taken`] on PostgreSQL; the unique index decides.
fn taken_meanwhile(error: sqlx::Error) -> Problem {
    if is_unique_violation(&error) {
        return Problem::conflict("sku_taken", "A product with this SKU or slug was added just now.");
    }
    error.into()
}

//! The first products of a fresh shop.

use serde::Deserialize;
use service_kit::clock::{new_id, now_ms};
use service_kit::db::Db;
use service_kit::money::Money;
use service_kit::problem::Problem;

use super::products;
use crate::domain::product::{Product, Status, default_image};

const SEED: &str = include_str!("../../../seed/products.json");

#[derive(Deserialize)]
struct Seed {
    sku: String,
    slug: String,
    name: String,
    description: String,
    category: String,
    category_name: String,
    price_amount: i64,
}

/// Fills the catalog if it has no product at all; answers how many were added.
pub async fn fill_if_empty(db: &Db) -> Result<usize, Problem> {
    let mut tx = db.begin_write().await?;
    tx.lock("catalog/seed").await?;
    let (count,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM products").fetch_one(&mut *tx).await?;
    if count > 0 {
        return Ok(0);
    }
    let seeds: Vec<Seed> = serde_json::from_str(SEED).map_err(Problem::internal)?;
    let now = now_ms();
    for seed in &seeds {
        let product = Product {
            id: new_id(),
            sku: seed.sku.clone(),
            slug: seed.slug.clone(),
            name: seed.name.clone(),
            description: seed.description.clone(),
            category: seed.category.clone(),
            price: Money::eur(seed.price_amount),
            image: default_image(&seed.slug),
            status: Status::Active,
            version: 1,
            created_at: now,
        };
        products::insert(&mut tx, &product, Some(&seed.category_name)).await?;
    }
    tx.commit().await?;
    Ok(seeds.len())
}

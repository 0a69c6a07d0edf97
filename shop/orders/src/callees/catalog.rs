//! The catalog: what a product is called and costs now.

use std::time::Duration;

use serde::Deserialize;
use service_kit::http::{CallError, Callee};
use service_kit::money::Money;

use crate::store::carts::KnownProduct;

/// How many SKUs fit in one question.
const BATCH: usize = 50;
/// A cart is shown with its last known prices rather than late.
const TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Debug, Deserialize)]
struct Products {
    items: Vec<Product>,
}

#[derive(Debug, Deserialize)]
struct Product {
    sku: String,
    name: String,
    #[serde(default)]
    slug: String,
    #[serde(default)]
    image: String,
    price: Money,
}

/// The products of these SKUs that are for sale; the others are not in the answer.
///
/// # Errors
/// The catalog cannot be asked.
pub async fn products(catalog: &Callee, skus: &[&str]) -> Result<Vec<KnownProduct>, CallError> {
    let mut found = Vec::new();
    for batch in skus.chunks(BATCH) {
        let query: Vec<(&str, &str)> = batch.iter().map(|sku| ("sku", *sku)).collect();
        let answer: Products = catalog.get("/products/by-sku").query(&query).timeout(TIMEOUT).fetch().await?;
        found.extend(answer.items.into_iter().map(|product| KnownProduct {
            sku: product.sku,
            name: product.name,
            slug: product.slug,
            image: product.image,
            price: product.price.amount,
            currency: product.price.currency.as_str().to_owned(),
        }));
    }
    Ok(found)
}

//! The stock of a fresh shop, from the seed that the shop's services share.

use serde::Deserialize;

use crate::domain::Line;

const PRODUCTS: &str = include_str!("../../seed/products.json");

#[derive(Deserialize)]
struct Product {
    sku: String,
    stock: i64,
}

/// How many units of each SKU a fresh shop has, in SKU order.
///
/// # Errors
/// The seed is not the list of products that it should be.
pub fn seed_lines() -> serde_json::Result<Vec<Line>> {
    let products: Vec<Product> = serde_json::from_str(PRODUCTS)?;
    let mut lines: Vec<Line> =
        products.into_iter().map(|product| Line { sku: product.sku, quantity: product.stock }).collect();
    lines.sort_by(|a, b| a.sku.cmp(&b.sku));
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_is_usable() {
        let lines = seed_lines().unwrap();
        assert!(lines.len() >= 40, "{} products", lines.len());
        assert!(lines.iter().all(|line| line.quantity >= 0));
        assert!(lines.windows(2).all(|pair| pair[0].sku < pair[1].sku), "every SKU once");
    }
}

//! Carts and orders as answers show them.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::{Value, json};
use service_kit::clock::rfc3339;

use crate::domain::cart::{Lines, Merged, total};
use crate::store::carts::{Cart, KnownProduct};
use crate::store::orders::{Line, Order};

/// The currency of an empty cart.
pub const CURRENCY: &str = "EUR";

/// Money as answers show it.
pub fn money(amount: i64, currency: &str) -> Value {
    json!({"amount": amount, "currency": currency})
}

/// Today's knowledge of the products in a cart.
#[derive(Debug, Default)]
pub struct Prices {
    /// What is known, by SKU.
    pub known: HashMap<String, KnownProduct>,
    /// SKUs that the catalog sells now; `None` if it could not be asked.
    pub on_sale: Option<Vec<String>>,
}

/// A cart as answers show it.
#[derive(Debug, Serialize)]
pub struct CartView {
    id: String,
    lines: Vec<Value>,
    total: Value,
    status: String,
    version: i64,
    prices_stale: bool,
    order_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    merge: Option<Value>,
}

impl CartView {
    /// Shows a cart. A line whose price nobody knows costs 0 and is not available.
    pub fn new(cart: &Cart, lines: &Lines, prices: &Prices, merged: Option<&Merged>) -> Self {
        let currency = prices.known.values().next().map_or(CURRENCY, |product| product.currency.as_str());
        let price = |sku: &str| prices.known.get(sku).map_or(0, |product| product.price);
        let sum = total(lines.iter().map(|(sku, quantity)| (price(sku), *quantity)));
        Self {
            id: cart.id.clone(),
            lines: lines.iter().map(|(sku, quantity)| cart_line(sku, *quantity, prices)).collect(),
            total: money(sum.unwrap_or(i64::MAX), currency),
            status: cart.status.clone(),
            version: cart.version,
            prices_stale: prices.on_sale.is_none(),
            order_id: cart.order_id.clone(),
            merge: merged.map(|merged| json!({"capped": merged.capped, "dropped": merged.dropped})),
        }
    }
}

fn cart_line(sku: &str, quantity: i64, prices: &Prices) -> Value {
    let product = prices.known.get(sku);
    let (name, slug, image, price, currency) = product.map_or((sku, "", "", 0, CURRENCY), |p| {
        (p.name.as_str(), p.slug.as_str(), p.image.as_str(), p.price, p.currency.as_str())
    });
    let on_sale = prices.on_sale.as_ref().is_none_or(|skus| skus.iter().any(|known| known == sku));
    json!({
        "sku": sku, "quantity": quantity, "name": name, "slug": slug, "image": image,
        "unit_price": money(price, currency), "line_total": money(price.saturating_mul(quantity), currency),
        "available": on_sale && product.is_some(),
    })
}

/// An order as answers show it.
#[derive(Debug, Serialize)]
pub struct OrderView {
    id: String,
    status: &'static str,
    lines: Vec<Value>,
    total: Value,
    payment_id: Option<String>,
    cart_id: String,
    customer_id: String,
    shipping_address: Option<Value>,
    cancel_reason: Option<String>,
    settled: bool,
    version: i64,
    created_at: String,
    updated_at: String,
}

impl OrderView {
    /// Shows an order.
    pub fn new(order: Order, lines: &[Line]) -> Self {
        let currency = &order.currency;
        let line = |line: &Line| {
            json!({
                "sku": line.sku, "name": line.name, "image": line.image, "quantity": line.quantity,
                "unit_price": money(line.unit_price, currency),
                "line_total": money(line.unit_price.saturating_mul(line.quantity), currency),
            })
        };
        Self {
            lines: lines.iter().map(line).collect(),
            total: money(order.total, currency),
            status: order.status.as_str(),
            created_at: rfc3339(order.created_at),
            updated_at: rfc3339(order.updated_at),
            id: order.id,
            payment_id: order.payment_id,
            cart_id: order.cart_id,
            customer_id: order.customer_id,
            shipping_address: order.shipping_address,
            cancel_reason: order.cancel_reason,
            settled: order.settled,
            version: order.version,
        }
    }
}

//! The first step: the cart is claimed and the order written down, with today's prices, in one transaction.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::json;
use service_kit::auth::Customer;
use service_kit::clock::{new_id, now_ms};
use service_kit::db::is_unique_violation;
use service_kit::money::Money;
use service_kit::problem::{Checks, Problem};

use crate::callees::catalog;
use crate::callees::sagas::Saga;
use crate::domain::cart::{Lines, total};
use crate::domain::order::Status;
use crate::service::{SAGAS, Service};
use crate::store::carts::{Cart, KnownProduct};
use crate::store::keys::UsedKey;
use crate::store::orders::{Line, Order};
use crate::store::{carts, keys, orders};
use crate::view::money;

/// How often a cart is read again when its lines change while it is priced.
const ATTEMPTS: usize = 4;

/// What a customer asks for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    cart_id: String,
    payment_method: String,
    #[serde(default)]
    expected_total: Option<Money>,
    #[serde(default)]
    shipping_address: Option<Address>,
}

/// Where to send an order.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Address {
    name: String,
    line1: String,
    #[serde(default)]
    line2: Option<String>,
    city: String,
    #[serde(default)]
    region: Option<String>,
    postal_code: String,
    country: String,
}

/// What placing came to.
pub enum Placed {
    /// A new order: its id.
    Now(String),
    /// The same key was used before, perhaps a moment ago.
    Before(UsedKey),
}

/// Whether a text has as many digits in a row as a card number has at least (12, ISO/IEC 7812), however they are spaced: no such
/// number may ever be stored.
fn looks_like_a_card(text: &str) -> bool {
    let mut run = 0_u32;
    text.bytes().filter(|b| *b != b'_').any(|b| {
        run = if b.is_ascii_digit() { run + 1 } else { 0 };
        run >= 12
    })
}

impl Request {
    /// Checks what needs no other service.
    ///
    /// # Errors
    /// 422 `validation_failed`.
    pub fn check(&self) -> Result<(), Problem> {
        let mut checks = Checks::default();
        let method = self.payment_method.strip_prefix("pm_").unwrap_or_default();
        let fits = (1..=61).contains(&method.len())
            && method.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && !looks_like_a_card(method);
        let message = "Send the token of a payment method, for example pm_card_visa; never a card number.";
        checks.require(fits, "payment_method", "format", message);
        if let Some(address) = &self.shipping_address {
            address.check(&mut checks);
        }
        checks.finish()
    }
}

impl Address {
    fn check(&self, checks: &mut Checks) {
        checks.text(&self.name, "shipping_address.name", 1, 200);
        checks.text(&self.line1, "shipping_address.line1", 1, 200);
        checks.text(self.line2.as_deref().unwrap_or_default(), "shipping_address.line2", 0, 200);
        checks.text(&self.city, "shipping_address.city", 1, 200);
        checks.text(self.region.as_deref().unwrap_or_default(), "shipping_address.region", 0, 200);
        checks.text(&self.postal_code, "shipping_address.postal_code", 1, 32);
        let country = self.country.len() == 2 && self.country.bytes().all(|b| b.is_ascii_uppercase());
        checks.require(
            country,
            "shipping_address.country",
            "format",
            "Two upper-case letters, for example DE.",
        );
    }
}

/// Prices the cart and places its order. Nothing is locked while the catalog is asked: if the cart changes meanwhile, it is read again.
///
/// # Errors
/// 404 for another's cart; 409 for one that is not open or whose total changed; 422 for an empty one; 503 without the catalog.
pub async fn place(
    service: &Service,
    customer: &Customer,
    key: &str,
    request: &Request,
    text: &str,
) -> Result<Placed, Problem> {
    request.check()?;
    for _ in 0..ATTEMPTS {
        let cart = match open_cart(service, customer, &request.cart_id).await {
            Ok(cart) => cart,
            // Perhaps it was this key's first request that closed it, a moment ago.
            Err(problem) => {
                let used = keys::find(service.db.pool(), &customer.id, key).await?;
                return used.map(Placed::Before).ok_or(problem);
            }
        };
        let lines = carts::lines(service.db.pool(), &cart.id).await?;
        let priced = price(service, &lines).await?;
        let (order, order_lines) = draft(customer, &cart, &lines, &priced, request)?;
        let placing = Placing { cart, order, lines: order_lines, products: priced.into_values().collect() };
        if let Some(placed) = placing.write(service, key, text).await? {
            return Ok(placed);
        }
    }
    Err(Problem::conflict("cart_changing", "The cart keeps changing. Check out once it is at rest.")
        .retry_after(1))
}

/// The customer's open cart, or a guest's, which becomes theirs.
async fn open_cart(service: &Service, customer: &Customer, id: &str) -> Result<Cart, Problem> {
    let cart = carts::find(service.db.pool(), id).await?;
    let cart = cart.filter(|cart| cart.customer_id.as_ref().is_none_or(|owner| *owner == customer.id));
    let cart = cart.ok_or_else(|| Problem::not_found("There is no such cart."))?;
    if cart.status == "open" {
        return Ok(cart);
    }
    Err(not_open(service, &cart).await?)
}

/// Why a cart that is not open cannot be checked out or changed.
pub async fn not_open(service: &Service, cart: &Cart) -> Result<Problem, Problem> {
    let Some(order_id) = &cart.order_id else {
        let detail = "This cart was merged into another one. Open your cart again.";
        return Ok(Problem::conflict("cart_closed", detail).with("state", &cart.status));
    };
    let order = orders::find(service.db.pool(), order_id).await?;
    let state = order.map_or("pending", |order| order.status.as_str());
    let problem = if cart.status == "checking_out" {
        let detail = "This cart is being checked out. Wait for its order, or look at it.";
        Problem::state_conflict(state, detail).retry_after(1)
    } else {
        Problem::conflict("cart_closed", "This cart has been bought; it cannot change any more.")
            .with("state", state)
    };
    Ok(problem.with("order_id", order_id))
}

/// What the catalog asks for the lines now.
async fn price(service: &Service, lines: &Lines) -> Result<HashMap<String, KnownProduct>, Problem> {
    if lines.is_empty() {
        return Err(Problem::invalid(
            "cart_id",
            "cart_empty",
            "The cart is empty. Put something in it first.",
        ));
    }
    let skus: Vec<&str> = lines.iter().map(|(sku, _)| sku.as_str()).collect();
    let products = catalog::products(&service.catalog, &skus).await?;
    let priced: HashMap<_, _> = products.into_iter().map(|product| (product.sku.clone(), product)).collect();
    let gone: Vec<&str> = skus.into_iter().filter(|sku| !priced.contains_key(*sku)).collect();
    if gone.is_empty() {
        return Ok(priced);
    }
    let detail = "Some products are not sold any more. Remove them from the cart.";
    Err(Problem::conflict("product_unavailable", detail).with("skus", gone))
}

/// The order that the priced lines make, if it costs what the customer expects.
fn draft(
    customer: &Customer,
    cart: &Cart,
    lines: &Lines,
    priced: &HashMap<String, KnownProduct>,
    request: &Request,
) -> Result<(Order, Vec<Line>), Problem> {
    let order_lines: Vec<Line> = lines
        .iter()
        .filter_map(|(sku, quantity)| priced.get(sku).map(|product| (product, *quantity)))
        .map(|(product, quantity)| Line {
            sku: product.sku.clone(),
            name: product.name.clone(),
            image: product.image.clone(),
            quantity,
            unit_price: product.price,
        })
        .collect();
    let currency = priced.values().next().map(|product| product.currency.clone()).unwrap_or_default();
    let one_currency = priced.values().all(|product| product.currency == currency);
    let sum = total(order_lines.iter().map(|line| (line.unit_price, line.quantity)));
    let sum = sum.filter(|sum| *sum >= 0 && one_currency).ok_or_else(|| {
        Problem::invalid("cart_id", "total", "The cart's total is too large or in several currencies.")
    })?;
    if let Some(expected) = request.expected_total
        && (expected.amount != sum || expected.currency.as_str() != currency)
    {
        let detail =
            "The total has changed since the cart was shown. Show the customer the new one and ask again.";
        return Err(Problem::conflict("total_changed", detail).with("total", money(sum, &currency)));
    }
    let now = now_ms();
    let order = Order {
        id: new_id(),
        customer_id: customer.id.clone(),
        cart_id: cart.id.clone(),
        status: Status::Pending,
        version: 1,
        total: sum,
        currency,
        payment_id: None,
        shipping_address: request.shipping_address.as_ref().map(|address| json!(address)),
        payment_method: request.payment_method.clone(),
        cancel_reason: None,
        refusal: None,
        settled: false,
        created_at: now,
        updated_at: now,
    };
    Ok((order, order_lines))
}

/// Everything that one transaction writes down.
struct Placing {
    cart: Cart,
    order: Order,
    lines: Vec<Line>,
    products: Vec<KnownProduct>,
}

impl Placing {
    /// `None` if the cart is not what it was when it was priced; nothing is written then.
    async fn write(&self, service: &Service, key: &str, text: &str) -> Result<Option<Placed>, Problem> {
        let (order, customer) = (&self.order, &self.order.customer_id);
        let mut tx = service.db.begin_write().await?;
        if let Some(used) = keys::find(&mut *tx, customer, key).await? {
            return Ok(Some(Placed::Before(used)));
        }
        if !carts::claim(&mut tx, &self.cart, customer, &order.id).await? {
            return Ok(None);
        }
        orders::insert(&mut tx, order, &self.lines).await.map_err(|error| {
            if is_unique_violation(&error) {
                return Problem::state_conflict("pending", "This cart has an order already.").retry_after(1);
            }
            error.into()
        })?;
        // If whoever asked goes away before the saga is begun, this begins it.
        let data = json!({ "order_id": order.id });
        service.outbox.enqueue(&mut tx, SAGAS, Saga::Checkout.name(), &data).await?;
        carts::make_current(&mut tx, customer, &self.cart.id).await?;
        for product in &self.products {
            carts::remember(&mut tx, product).await?;
        }
        if !keys::bind(&mut tx, customer, key, text, &order.id).await? {
            return Err(Problem::request_in_flight(1));
        }
        tx.commit().await?;
        Ok(Some(Placed::Now(order.id.clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::looks_like_a_card;

    #[test]
    fn card_numbers_are_seen_however_they_are_spaced() {
        for number in ["4242424242424242", "4242_4242_4242_4242", "x_424242424242_y"] {
            assert!(looks_like_a_card(number), "{number}");
        }
        for token in ["card_visa", "1a2b3c4d5e6f7a8b9c", "card_12345678901"] {
            assert!(!looks_like_a_card(token), "{token}");
        }
    }
}

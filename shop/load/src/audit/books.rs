//! The shop's books as the audit reads them: only the members that the rules need.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::client::{ClientError, Shop};

/// Everything that the rules look at.
#[derive(Debug, Default, Clone)]
pub struct Books {
    /// Every customer's orders.
    pub orders: Vec<Order>,
    /// Every payment intent.
    pub payments: Vec<Payment>,
    /// Stock by SKU.
    pub stock: Vec<Stock>,
    /// The stock ledger.
    pub movements: Vec<Movement>,
    /// Reservations that still hold units.
    pub held: Vec<Reservation>,
}

/// An order.
#[derive(Debug, Clone, Deserialize)]
pub struct Order {
    /// Its id: the reference of its payment and the key of its reservation.
    pub id: String,
    /// The cart that it came from.
    pub cart_id: String,
    /// Where it is in its life.
    pub status: String,
    /// What was bought.
    pub lines: Vec<OrderLine>,
    /// What it costs.
    pub total: Money,
    /// False while work at other services is under way.
    pub settled: bool,
}

/// A line of an order.
#[derive(Debug, Clone, Deserialize)]
pub struct OrderLine {
    /// What.
    pub sku: String,
    /// How many.
    pub quantity: i64,
}

/// A payment intent.
#[derive(Debug, Clone, Deserialize)]
pub struct Payment {
    /// Its id.
    pub id: String,
    /// The order that it is for.
    pub reference: String,
    /// Its state.
    pub status: String,
    /// What was asked for.
    pub amount: Money,
    /// What was taken.
    pub captured: Money,
    /// What was given back.
    pub refunded: Money,
}

/// Stock of one SKU.
#[derive(Debug, Clone, Deserialize)]
pub struct Stock {
    /// Which.
    pub sku: String,
    /// In the house.
    pub on_hand: i64,
    /// Held for orders.
    pub reserved: i64,
}

/// A movement of the stock ledger.
#[derive(Debug, Clone, Deserialize)]
pub struct Movement {
    /// Which SKU.
    pub sku: String,
    /// How `on_hand` changed.
    pub delta: i64,
    /// Why: `commit` and `return` belong to an order, all else is the house's own.
    pub reason: String,
    /// The reservation's key for `commit` and `return`.
    #[serde(default)]
    pub reference: Option<String>,
}

/// A reservation.
#[derive(Debug, Clone, Deserialize)]
pub struct Reservation {
    /// Its key: the order's id.
    pub key: String,
    /// `held`, `committed`, `released`, …
    pub status: String,
}

/// Money; a plain integer is read as minor units of the shop's one currency.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Money {
    /// With its currency.
    Full {
        /// Minor units.
        amount: i64,
        /// ISO 4217.
        currency: String,
    },
    /// Minor units alone.
    Minor(i64),
}

impl Money {
    /// Minor units.
    #[must_use]
    pub fn minor(&self) -> i64 {
        match self {
            Self::Full { amount, .. } | Self::Minor(amount) => *amount,
        }
    }
}

impl Order {
    /// Whether it was paid for and stays so.
    #[must_use]
    pub fn is_sold(&self) -> bool {
        matches!(self.status.as_str(), "confirmed" | "shipped" | "delivered")
    }

    /// Whether nothing will happen to its payment and units any more.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.settled && !matches!(self.status.as_str(), "pending" | "stock_reserved" | "payment_authorized")
    }
}

impl Books {
    /// Reads every list with an admin's token. Stock is read last, so that what a late release frees is not missed.
    ///
    /// # Errors
    /// A list cannot be read, or an entry lacks what the contract promises.
    pub async fn read(shop: &Shop, token: &str) -> Result<Self, ClientError> {
        Ok(Self {
            orders: entries(shop, "/api/orders?all=true", token).await?,
            payments: entries(shop, "/api/payments", token).await?,
            held: entries(shop, "/api/inventory/reservations?status=held", token).await?,
            movements: entries(shop, "/api/inventory/movements", token).await?,
            stock: entries(shop, "/api/inventory/stock", token).await?,
        })
    }
}

async fn entries<T: DeserializeOwned>(shop: &Shop, path: &str, token: &str) -> Result<Vec<T>, ClientError> {
    shop.list(path, token).await?.into_iter().map(|entry| read_entry(path, entry)).collect()
}

fn read_entry<T: DeserializeOwned>(path: &str, entry: Value) -> Result<T, ClientError> {
    let id = entry["id"].as_str().or(entry["sku"].as_str()).unwrap_or("?").to_owned();
    serde_json::from_value(entry).map_err(|fault| ClientError::Unexpected {
        what: format!("entry {id} of {path}"),
        status: 200,
        code: "unreadable".to_owned(),
        detail: fault.to_string(),
    })
}

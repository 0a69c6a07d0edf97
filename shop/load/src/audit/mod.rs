//! The audit: reads the shop's books over HTTP as its admin, and says what does not add up.
//!
//! ```text
//! GET lists (orders, payments, stock, movements, reservations) -> books::Books -> rules::check -> [Violation]
//! ```
//!
//! Read it while nobody buys: the lists are read one after another, so a purchase in between would look like a fault.

pub mod books;
pub mod rules;

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::client::{ClientError, Shop};
pub use books::Books;
pub use rules::Violation;

/// How often the books are read again while unfinished work may still end.
const READ_AGAIN: Duration = Duration::from_millis(500);

/// The result of an audit.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    /// Everything that does not add up.
    pub violations: Vec<Violation>,
    /// How many orders were read.
    pub orders: usize,
    /// How many of them were sold: confirmed, shipped or delivered.
    pub sold: usize,
    /// How many payments were read.
    pub payments: usize,
    /// How many SKUs have stock.
    pub skus: usize,
    /// How many stock movements were read.
    pub movements: usize,
}

impl Verdict {
    /// Whether all adds up.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }
}

/// Reads the books with an admin's token and checks them once.
///
/// # Errors
/// A list cannot be read, or an entry of it lacks what the contract promises.
pub async fn audit(shop: &Shop, admin_token: &str) -> Result<Verdict, ClientError> {
    let books = Books::read(shop, admin_token).await?;
    Ok(Verdict {
        violations: rules::check(&books),
        orders: books.orders.len(),
        sold: books.orders.iter().filter(|order| order.is_sold()).count(),
        payments: books.payments.len(),
        skus: books.stock.len(),
        movements: books.movements.len(),
    })
}

/// Signs in as admin and audits until the books are clean or `wait` has passed: after a fault, work that was cut off
/// needs a moment to be finished.
///
/// # Errors
/// The last reading failed.
pub async fn audit_within(
    shop: &Shop,
    email: &str,
    password: &str,
    wait: Duration,
) -> Result<Verdict, ClientError> {
    let until = Instant::now() + wait;
    loop {
        let verdict = match shop.sign_in(email, password).await {
            Ok(token) => audit(shop, &token).await,
            Err(fault) => Err(fault),
        };
        let clean = verdict.as_ref().is_ok_and(Verdict::is_clean);
        if clean || Instant::now() + READ_AGAIN > until {
            return verdict;
        }
        tokio::time::sleep(READ_AGAIN).await;
    }
}

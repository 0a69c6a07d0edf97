//! The shop's orders: carts, checkout, and the life of an order.
//!
//! ```text
//! cart lines -> checkout: claim the cart, place the order, leave a message that begins its saga (one transaction)
//!            -> the saga `checkout` (shop/sagas) calls inventory, payments and checkout::steps here -> confirmed + cart closed + event
//!            -> a refusal turns it back: money, then stock, then cancelled + cart open again
//! cancel     -> the saga `cancellation`: withdrawn, then money and stock, then refunded
//! ```
//!
//! Invariants:
//! - One cart has at most one order that is not cancelled: `cart_claims` says so in the database.
//! - No transaction is open while another service is asked.
//! - This service calls neither inventory nor payments: what spans services is in the sagas.
//! - The key of an order's saga is the order's id, so there is one, whoever begins it and however often.
//! - Selling waits for no event and for nothing that recommendations does.

mod callees;
mod checkout;
mod domain;
mod routes;
mod service;
mod store;
mod view;

pub use domain::order;
pub use routes::operations;
pub use service::{Service, app, build};

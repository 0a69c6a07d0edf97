//! The shop's orders: carts, checkout, and the life of an order.
//!
//! ```text
//! cart lines -> checkout: claim the cart and place the order (one transaction)
//!            -> domain::work says the next step -> callees do it -> store notes it -> … -> confirmed + cart closed + event
//!            -> a refusal turns the order back: payment, then stock, then cancelled + cart open again
//! recovery   -> takes up whatever nobody works on any more, from the last step that was noted
//! ```
//!
//! Invariants:
//! - One cart has at most one order that is not cancelled: `cart_claims` says so in the database.
//! - No transaction is open while another service is asked.
//! - A step is noted before the next one begins, and every step's key is made from the order's id, so that asking again is safe.
//! - An unknown answer is asked again with the same key. Nothing is charged under a second one.
//! - An order that is turned back is never turned forward again.
//! - Selling waits for no event and for nothing that recommendations does.

mod callees;
mod checkout;
mod domain;
mod routes;
mod service;
mod store;
mod view;

pub use domain::{order, work};
pub use routes::operations;
pub use service::{Service, Timing, app, build};

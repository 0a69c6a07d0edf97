//! The shop seen from outside: customers who buy in it, and an auditor who reads its books.
//!
//! Everything goes over HTTP through the gateway, as a stranger's program would, so that what holds here holds for anyone. The crate
//! links no service and reads no database.
//!
//! - [`client::Shop`] speaks to the shop; [`customer::customer_buys`] is one purchase, asked again with the same key until it is known.
//! - [`run::run`] lets many customers buy at once and counts what they met.
//! - [`audit::audit`] reads orders, payments and stock, and [`audit::rules`] says what does not add up.
//!
//! Invariants: an answer that nobody expects is counted and shown, never swallowed; the same seed makes the same customers; the audit
//! changes nothing.

pub mod audit;
pub mod client;
pub mod customer;
pub mod latency;
pub mod run;

//! The payments service: payment intents, what was really charged for them, and telling the world about it.
//!
//! ```text
//! wish (HTTP, expiry) -> intent::begin -> [transaction: state "processing" + attempt]
//!                     -> provider.ask  (no transaction open; the attempt's id is the idempotency key)
//!                     -> intent::settle -> [transaction: state + attempt's result + ledger + webhook]
//! crash anywhere      -> the resolver asks again with the same key
//! ```
//!
//! Invariants:
//! - An attempt is durable before the provider is asked, and asked again with the same key until its answer is
//!   recorded: a charge is never made twice and never forgotten.
//! - One attempt of a payment is in flight at a time (refunds aside), and at most one charge of it succeeds.
//! - `refunded + refunding <= captured <= authorized <= amount`, by CHECKs of the database.
//! - The ledger is append-only; its sums are the payment's amounts.
//! - No card number exists anywhere: only the provider's tokens of payment methods.
//! - No database transaction is open while the provider is asked.

pub mod app;
mod cashier;
pub mod domain;
pub mod intent;
pub mod provider;
pub mod routes;
pub mod store;
mod view;
pub mod webhooks;
mod workers;

pub use cashier::{Cashier, Done};

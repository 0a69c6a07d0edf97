//! The inventory service: what lies on the shelf, and for whom it is set aside.
//!
//! ```text
//! reserve -> held -> committed -> returned       each move: one transaction = reservation row (compare and set)
//!              |                                  + stock rows in SKU order + ledger
//!              +-> released | expired (sweeper)
//! ```
//!
//! Invariants:
//! - `0 <= reserved <= on_hand` for every SKU, by a CHECK of the database: nothing is sold twice.
//! - The ledger is append-only, and for each SKU its sum is `on_hand`.
//! - A reservation holds all of its lines or none, and its stock moves exactly once per state.
//! - Rows are touched in one order (idempotency key, reservation, stock by SKU), so transactions never deadlock.
//! - This service knows no order, product or price: a reservation's key is only a name.

pub mod app;
pub mod domain;
pub mod routes;
mod seed;
pub mod store;
mod sweeper;

pub use seed::seed_lines;
pub use sweeper::sweep;

//! Catalog: what the shop sells, at which price, and in which category.
//!
//! ```text
//! routes -> domain (drafts and changes are checked here) -> store (SQL: search, order, pages)
//! seed/products.json -> an empty table, once
//! ```
//!
//! Invariants:
//! - Whoever is not an admin sees active products only; anything else is as good as not there.
//! - A product is never deleted, only archived, because orders and carts name it.
//! - A change names the version that it is based on, and raises it.
//! - Prices are whole cents of the shop's one currency.

pub mod app;
mod domain;
mod routes;
mod store;

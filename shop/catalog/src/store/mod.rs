//! The SQL.

pub mod list;
pub mod products;
pub mod seed;

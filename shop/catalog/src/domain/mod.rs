//! The rules, without SQL and HTTP.

pub mod edit;
pub mod product;
pub mod query;

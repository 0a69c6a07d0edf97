//! The rules, without SQL and HTTP.

pub mod address;
pub mod customer;
pub mod password;
pub mod throttle;
pub mod token;

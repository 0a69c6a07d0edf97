//! The SQL, one file a table or two.

pub mod addresses;
pub mod customers;
pub mod keys;
pub mod sessions;
pub mod throttle;

//! What an order and a cart are, with no I/O: the rules that the store and the routes only apply.

pub mod cart;
pub mod order;

//! Inventory's tables. Every function works on the connection it is given, inside the transaction of its
//! caller; none of them begins or commits one. Amounts are units, times are Unix milliseconds.

mod ledger;
mod reservations;
mod stock;

pub use ledger::{COMMIT, INITIAL, Movement, MovementPage, RETURN, add_movement, movements};
pub use reservations::{
    Applied, Reservation, Reserved, apply, apply_or_bury, find, lapsed_keys, reserve, with_status,
};
pub use stock::{Stock, adjust, all_stock, seed, stock_of, stock_of_all};

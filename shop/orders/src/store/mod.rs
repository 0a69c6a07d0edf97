//! The database: one file a table group. Every change is guarded by the state that it expects, so that a writer who lost a race
//! changes nothing.

pub mod carts;
pub mod keys;
pub mod orders;

use service_kit::db::Migration;
use service_kit::problem::Problem;

/// The schema, in the order in which it grew.
pub const MIGRATIONS: [Migration; 3] = [
    ("orders/0001_carts", include_str!("../../migrations/0001_carts.sql")),
    ("orders/0002_orders", include_str!("../../migrations/0002_orders.sql")),
    ("orders/0003_sagas", include_str!("../../migrations/0003_sagas.sql")),
];

/// A value that only a damaged database can hold.
fn damaged(what: &str, id: &str) -> Problem {
    Problem::internal(format!("{what} of {id} cannot be read"))
}

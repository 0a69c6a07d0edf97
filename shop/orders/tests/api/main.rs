//! The orders service as a process of its own, over real HTTP, with a database file of its own. Its sagas are carried out by the real engine; the other services are played
//! by one small server ([`world::World`]), which keeps books like the real ones, and fails, hangs or loses answers when told to.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says where"
)]

mod books;
mod carts;
mod checkout;
mod contract;
mod faults;
mod orders;
mod process;
mod recovery;
mod world;

//! The engine with real stores, real connections and real processes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "tests fail by panicking"
)]

mod definitions;
mod engine;
mod faults;
mod stores;
mod world;

//! What the crate promises to those who use it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod cases;
mod conformance;
mod laws;
mod limits;
mod robust;
mod rules;
mod shapes;
mod support;

//! What goes over the wire, byte by byte, and cannot be read in two ways. One program: each has to be linked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;

mod answers;
mod corpus;
mod downgrade;
mod smuggling;

//! What clients from outside meet: one program, because each takes long to link.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;

mod access_log;
mod acme;
mod clients;
mod tls;

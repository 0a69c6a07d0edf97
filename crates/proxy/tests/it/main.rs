//! The data plane with real sockets, replicas and clients. One program: each takes a minute to compile and link.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod admission;
#[cfg(target_os = "linux")]
mod callers;
mod common;
mod contracts;
mod faults;
mod gateway;
mod handover;
mod hygiene;
mod link;
mod load;
mod outside;
mod passing;
mod resilience;
mod retries;
mod signals;
mod traffic;
mod wire;

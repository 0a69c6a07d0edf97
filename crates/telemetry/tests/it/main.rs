//! Spans and what services send, from outside the crate.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod otlp;
mod seeds;
mod spans;

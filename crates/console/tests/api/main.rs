//! The API over a real socket, with a platform that keeps its state in memory.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

mod calls;
mod contract;
mod logs;
mod platform;
mod web;

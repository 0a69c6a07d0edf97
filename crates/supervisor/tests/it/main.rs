//! The supervisor with real processes, files and sockets.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test as the test itself does")]

mod adoption;
mod health;
mod lifecycle;
mod limits;
mod logs;
mod task;
mod yard;

//! Pure planning: from what is wanted and what is observed to the next steps, each with its reason.
//!
//! [`plan`] looks at one service at one moment. It keeps nothing between calls, so the happy path, a crash and a
//! control plane that comes back after one all take the same way through it. [`rollout`] is how one release takes the
//! place of another: its state is kept by the caller, who records it. [`judge`] compares two releases. [`autoscale`]
//! says how many replicas the requests need; its memory is the caller's too, and may be lost.
//!
//! Invariants: no input or output, no clock, no randomness (jitter is derived from the replica's name), no tokio.

pub mod autoscale;
mod backoff;
pub mod judge;
mod plan;
pub mod rollout;

use std::time::Duration;

pub use backoff::{CRASH_LOOP_FAILURES, restart_delay};
pub use plan::{Plan, Reason, Step, Traffic, UNREADY_LIMIT, Want, plan};

/// Milliseconds, as few as can be added to any time.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX >> 8)
}

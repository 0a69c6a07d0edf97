//! Unix milliseconds, which is how the model tells time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(crate) fn unix_now() -> u64 {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

//! Time and identifiers as they are stored and shown: unix milliseconds, RFC 3339, `UUIDv7`.

use jiff::Timestamp;

/// Now, in milliseconds since the unix epoch: how every service stores time.
#[must_use]
pub fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

/// A stored time as RFC 3339 in UTC, as bodies show it (`2026-01-31T09:30:00.125Z`).
/// A value outside the calendar is shown as the epoch: it cannot come from [`now_ms`].
#[must_use]
pub fn rfc3339(unix_ms: i64) -> String {
    Timestamp::from_millisecond(unix_ms).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}

/// A new identifier: `UUIDv7` text, so that identifiers sort by the time of their making.
#[must_use]
pub fn new_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_stored_time() {
        assert_eq!(rfc3339(1_700_000_000_125), "2023-11-14T22:13:20.125Z");
        assert_eq!(rfc3339(i64::MAX), "1970-01-01T00:00:00Z");
    }
}

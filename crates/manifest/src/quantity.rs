//! Durations, sizes and rates: small texts with a number and a unit.

use std::time::Duration;

use model::RateLimit;

const NANOS_PER_SECOND: f64 = 1e9;
/// Beyond this a count of nanoseconds or bytes is no longer exact in a float, and is nothing anybody means.
const LARGEST: f64 = 9_007_199_254_740_992.0;

/// Reads `500ms`, `10s`, `1.5s`, `2m`, `1h`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let seconds = match unit {
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    let nanos = number * (seconds * NANOS_PER_SECOND);
    whole(nanos).map(Duration::from_nanos)
}

/// Reads `100B`, `64KB`, `512MB`, `1.5GB` (powers of 1000) and `64KiB`, `512MiB`, `2GiB` (powers of 1024) as bytes.
pub(crate) fn size(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let factor = match unit {
        "B" => 1.0,
        "KB" | "kB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        "TB" => 1e12,
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        "GiB" => 1024.0 * 1024.0 * 1024.0,
        "TiB" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    whole(number * factor)
}

/// Reads `100/s`, `5/m`, `10/h`; the number is at least 1.
pub(crate) fn rate(text: &str) -> Option<RateLimit> {
    let (number, unit) = text.split_once('/')?;
    let seconds = match unit.trim() {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    let number = number.trim();
    let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    let requests = number.parse().ok().filter(|n| digits && *n > 0)?;
    Some(RateLimit { requests, per: Duration::from_secs(seconds) })
}

/// How a person writes a duration, in the largest unit that stays whole.
pub(crate) fn show_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    match millis {
        0 => "0s".to_owned(),
        m if m % 3_600_000 == 0 => format!("{}h", m / 3_600_000),
        m if m % 60_000 == 0 => format!("{}m", m / 60_000),
        m if m % 1000 == 0 => format!("{}s", m / 1000),
        m => format!("{m}ms"),
    }
}

/// How a person writes a number of bytes, in the largest decimal unit that stays whole.
pub(crate) fn show_size(bytes: u64) -> String {
    let units = [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1000, "KB")];
    match units.into_iter().find(|(factor, _)| bytes >= *factor && bytes.is_multiple_of(*factor)) {
        Some((factor, unit)) => format!("{}{unit}", bytes / factor),
        None => format!("{bytes}B"),
    }
}

/// The number (digits with at most one inner point) and the unit after it.
fn split(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
    let (number, unit) = text.split_at(end);
    if number.starts_with('.') || number.ends_with('.') {
        return None;
    }
    Some((number.parse().ok()?, unit.trim_start()))
}

fn whole(value: f64) -> Option<u64> {
    // The bound makes the cast exact.
    (value.is_finite() && (0.0..=LARGEST).contains(&value)).then(|| value.round() as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_people_write() {
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(duration("1.5s"), Some(Duration::from_millis(1500)));
        assert_eq!(duration("2m"), Some(Duration::from_secs(120)));
        assert_eq!(duration("1 h"), Some(Duration::from_secs(3600)));
        assert_eq!(size("512MB"), Some(512_000_000));
        assert_eq!(size("64KiB"), Some(65_536));
        assert_eq!(size("1.5GB"), Some(1_500_000_000));
        assert_eq!(rate("100/s"), Some(RateLimit { requests: 100, per: Duration::from_secs(1) }));
        assert_eq!(rate("5/h"), Some(RateLimit { requests: 5, per: Duration::from_secs(3600) }));
    }

    #[test]
    fn refuses_the_rest() {
        for bad in [
            "",
            "5",
            "s",
            "-1s",
            "1.s",
            ".5s",
            "1.2.3s",
            "1m30s",
            "1d",
            "1S",
            "1e3s",
            "99999999999999999h",
            "NaNs",
        ] {
            assert_eq!(duration(bad), None, "{bad}");
        }
        for bad in ["", "5", "MB", "-1MB", "5mb", "5 M", "5Gib", "99999999999999TB"] {
            assert_eq!(size(bad), None, "{bad}");
        }
        for bad in ["", "100", "/s", "0/s", "-1/s", "+1/s", "1.5/s", "1/d", "99999999999/s"] {
            assert_eq!(rate(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn durations_round_trip(millis in 0_u64..9_000_000_000) {
            let meant = Duration::from_millis(millis);
            prop_assert_eq!(duration(&show_duration(meant)), Some(meant));
        }

        #[test]
        fn sizes_round_trip(bytes in prop_oneof![0_u64..9_007_199_254_740_992, (0_u64..9_000).prop_map(|n| n * 1_000_000)]) {
            prop_assert_eq!(size(&show_size(bytes)), Some(bytes));
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = (duration(&text), size(&text), rate(&text));
        }
    }
}

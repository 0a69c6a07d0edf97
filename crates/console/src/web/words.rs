//! Numbers and times as people read them.

use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) use crate::client::escape as segment;

/// Now, in Unix milliseconds.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// How long ago a time was, in its largest unit.
pub fn ago(at: u64, now: u64) -> String {
    let seconds = now.saturating_sub(at) / 1000;
    match seconds {
        0..=59 => format!("{seconds}s"),
        60..=3599 => format!("{}m", seconds / 60),
        3600..=86_399 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A time of day, UTC, with milliseconds.
pub fn clock(at: u64) -> String {
    let (ms, s) = (at % 1000, at / 1000 % 86_400);
    format!("{:02}:{:02}:{:02}.{ms:03}", s / 3600, s / 60 % 60, s % 60)
}

/// Milliseconds, with as many digits as mean something.
pub fn millis(ms: f64) -> String {
    match ms {
        ms if ms < 10.0 => format!("{ms:.1} ms"),
        ms if ms < 1000.0 => format!("{ms:.0} ms"),
        ms => format!("{:.1} s", ms / 1000.0),
    }
}

/// The same where there may be none.
pub fn maybe_millis(ms: Option<f64>) -> String {
    ms.map_or_else(|| "–".to_owned(), millis)
}

/// Requests a second.
pub fn rate(rate: f64) -> String {
    match rate {
        rate if rate <= 0.0 => "–".to_owned(),
        rate if rate < 10.0 => format!("{rate:.1}/s"),
        rate => format!("{rate:.0}/s"),
    }
}

/// A part of a whole, in percent.
pub fn share(share: Option<f64>) -> String {
    match share {
        None => "–".to_owned(),
        Some(share) if share > 0.0 && share < 0.001 => "<0.1 %".to_owned(),
        Some(share) => format!("{:.1} %", share * 100.0),
    }
}

/// A number of which nothing is known, with as many digits as mean something.
pub fn amount(value: f64) -> String {
    match value.abs() {
        size if value.fract() == 0.0 && size < 1e15 => format!("{value:.0}"),
        size if (0.01..1e15).contains(&size) => format!("{value:.*}", if size < 10.0 { 3 } else { 1 }),
        _ => format!("{value:.2e}"),
    }
}

/// A number with its unit, which is in the words of UCUM.
pub fn measure(value: f64, unit: &str) -> String {
    match unit {
        "s" => millis(value * 1000.0),
        "ms" => millis(value),
        "By" if value.abs() >= 1e9 => format!("{:.1} GB", value / 1e9),
        "By" if value.abs() >= 1e6 => format!("{:.1} MB", value / 1e6),
        "By" if value.abs() >= 1e3 => format!("{:.1} kB", value / 1e3),
        "By" => format!("{value:.0} B"),
        "" | "1" => amount(value),
        other => format!("{} {}", amount(value), other.trim_matches(['{', '}'])),
    }
}

/// Bytes, in megabytes.
pub fn megabytes(bytes: u64) -> String {
    format!("{:.0} MB", bytes as f64 / 1e6)
}

/// The beginning of a text.
pub fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_as_many_digits_as_mean_something() {
        let times: Vec<_> = [0.26, 9.9, 12.4, 999.0, 1500.0].map(millis).into();
        assert_eq!(times, ["0.3 ms", "9.9 ms", "12 ms", "999 ms", "1.5 s"]);
        let amounts: Vec<_> = [0.0, 3.0, -2.5, 1234.56, 1_048_576.0, 0.000_123, 1e20].map(amount).into();
        assert_eq!(amounts, ["0", "3", "-2.500", "1234.6", "1048576", "1.23e-4", "1.00e20"]);
        let measures =
            [(0.25, "s"), (0.25, "ms"), (3e7, "By"), (900.0, "By"), (2.0, "{order}"), (0.5, "1"), (7.0, "m")];
        let measures: Vec<_> = measures.map(|(value, unit)| measure(value, unit)).into();
        assert_eq!(measures, ["250 ms", "0.2 ms", "30.0 MB", "900 B", "2 order", "0.500", "7 m"]);
        let shares: Vec<_> = [None, Some(0.0), Some(0.0004), Some(0.125)].map(share).into();
        assert_eq!(shares, ["–", "0.0 %", "<0.1 %", "12.5 %"]);
        let ages: Vec<_> = [0, 59_000, 61_000, 7_200_000, 200_000_000].map(|age| ago(0, age)).into();
        assert_eq!(ages, ["0s", "59s", "1m", "2h", "2d"]);
        assert_eq!(clock(86_400_000 + 3_723_004), "01:02:03.004");
        assert_eq!((cut("abc", 3), cut("abcd", 3)), ("abc".to_owned(), "ab…".to_owned()));
    }
}

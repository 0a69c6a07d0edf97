//! Rates, shares and latencies in a few characters each.

use console::api::Calls;

use super::style;
use super::table::Cell;

/// What there is to say about no calls at all.
const NOTHING: &str = "-";
/// From this part of failures on it is bad, and not just worth a look.
const BAD: f64 = 0.01;

/// Rate, share of failures, median and 99th percentile.
pub fn cells(calls: Option<&Calls>) -> [Cell; 4] {
    let Some(calls) = calls.filter(|calls| calls.count > 0) else {
        return std::array::from_fn(|_| Cell::plain(NOTHING));
    };
    let share = calls.error_share.unwrap_or(0.0);
    let errors = percent(share);
    [
        Cell::plain(rate(calls.rate)),
        match share {
            0.0 => Cell::plain(errors),
            _ if share < BAD => Cell::painted(errors, style::busy),
            _ => Cell::painted(errors, style::bad),
        },
        Cell::plain(calls.p50_ms.map_or_else(|| NOTHING.to_owned(), latency)),
        Cell::plain(calls.p99_ms.map_or_else(|| NOTHING.to_owned(), latency)),
    ]
}

/// Calls in a second.
fn rate(rate: f64) -> String {
    match rate {
        ..0.05 => "<0.1".to_owned(),
        ..9.95 => format!("{rate:.1}"),
        ..9_999.5 => format!("{rate:.0}"),
        _ => format!("{:.0}k", rate / 1000.0),
    }
}

/// A part of all, so that neither none nor all is claimed where it is not so.
fn percent(share: f64) -> String {
    let percent = share * 100.0;
    match percent {
        0.0 => "0%".to_owned(),
        ..0.1 => "<0.1%".to_owned(),
        ..9.95 => format!("{percent:.1}%"),
        99.0..100.0 => ">99%".to_owned(),
        _ => format!("{percent:.0}%"),
    }
}

/// A time in milliseconds.
pub fn latency(millis: f64) -> String {
    match millis {
        ..9.95 => format!("{millis:.1}ms"),
        ..999.5 => format!("{millis:.0}ms"),
        ..9_950.0 => format!("{:.1}s", millis / 1000.0),
        _ => format!("{:.0}s", millis / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_do_not_claim_too_much() {
        for (number, text) in
            [(0.01, "<0.1"), (0.25, "0.2"), (9.94, "9.9"), (9.96, "10"), (4242.4, "4242"), (75_600.0, "76k")]
        {
            assert_eq!(rate(number), text);
        }
        for (share, text) in
            [(0.0, "0%"), (0.0004, "<0.1%"), (0.025, "2.5%"), (0.5, "50%"), (0.9999, ">99%"), (1.0, "100%")]
        {
            assert_eq!(percent(share), text);
        }
        for (millis, text) in
            [(0.24, "0.2ms"), (9.96, "10ms"), (420.4, "420ms"), (1234.0, "1.2s"), (29_600.0, "30s")]
        {
            assert_eq!(latency(millis), text);
        }
    }
}

//! Durations as definitions write them.

/// Reads `500ms`, `10s`, `1.5m`, `2h`, `7d` as milliseconds.
pub fn duration(text: &str) -> Option<u64> {
    let at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(at);
    let factor = match unit {
        "ms" => 1.0,
        "s" => 1e3,
        "m" => 6e4,
        "h" => 3.6e6,
        "d" => 8.64e7,
        _ => return None,
    };
    let plain = number.chars().all(|c| c.is_ascii_digit() || c == '.');
    let millis = number.parse::<f64>().ok().filter(|_| plain)? * factor;
    // Ten years: nobody means more, and sums of such numbers stay far from overflow.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 3.2e11, whole")]
    (millis.fract() == 0.0 && (0.0..=3.2e11).contains(&millis)).then_some(millis as u64)
}

/// Reads `200ms..5s`: the first and the longest pause.
pub fn backoff(text: &str) -> Option<(u64, u64)> {
    let (first, longest) = text.split_once("..")?;
    let (first, longest) = (duration(first.trim())?, duration(longest.trim())?);
    (first > 0 && first <= longest).then_some((first, longest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_or_refused() {
        for (text, expected) in [
            ("500ms", Some(500)),
            ("1.5s", Some(1500)),
            ("2m", Some(120_000)),
            ("1h", Some(3_600_000)),
            ("7d", Some(604_800_000)),
            ("0s", Some(0)),
            ("5", None),
            ("s", None),
            ("-1s", None),
            ("1e3s", None),
            ("1.0005ms", None),
            ("99999d", None),
        ] {
            assert_eq!(duration(text), expected, "{text}");
        }
        assert_eq!(backoff("200ms..5s"), Some((200, 5000)));
        for bad in ["5s..1s", "0s..1s", "1s", "1s..", "a..b"] {
            assert_eq!(backoff(bad), None, "{bad}");
        }
    }
}

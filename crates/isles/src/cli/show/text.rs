//! Numbers and lines for people.

use std::time::Duration;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// A time that something took or takes: `0.3 s`, `12.0 s`, `2 min 5 s`, `3 h 2 min`, `4 d 1 h`.
pub fn took(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        0..60 => format!("{}.{} s", seconds, milliseconds % 1000 / 100),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// An age in one unit, for tables: `4s`, `12m`, `3h`, `9d`.
pub fn age(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Bytes in a unit of 1024 that fits: `812 B`, `4.2 MB`, `38 MB`, `1.5 GB`.
pub fn bytes(count: u64) -> String {
    let mut scaled = count as f64;
    let mut unit = "B";
    for larger in ["KB", "MB", "GB", "TB"] {
        if scaled < 1000.0 {
            break;
        }
        scaled /= 1024.0;
        unit = larger;
    }
    if unit == "B" || scaled >= 10.0 { format!("{scaled:.0} {unit}") } else { format!("{scaled:.1} {unit}") }
}

/// `1 service`, `2 services`.
pub fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// Names as they stand in a sentence: `a`, `a and b`, `a, b and c`.
pub fn list(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

/// Reads `500ms`, `10s`, `2m`, `1h`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err("a duration is a whole number with its unit: `500ms`, `10s`, `2m`, `1h`".to_owned()),
    };
    let milliseconds = number.parse::<u64>().ok().and_then(|n| n.checked_mul(factor));
    milliseconds
        .filter(|ms| *ms <= 1_000 * 3_600_000)
        .map(Duration::from_millis)
        .ok_or_else(|| "a duration is a whole number with its unit, at most `1000h`".to_owned())
}

/// How many columns a text without styles takes.
pub fn width(text: &str) -> usize {
    text.width()
}

/// Cuts a text without styles so that it takes at most `columns`.
pub fn truncate(text: &str, columns: usize, ellipsis: &str) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let room = columns.saturating_sub(width(ellipsis));
    let mut used = 0;
    let mut out = String::new();
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > room {
            break;
        }
        out.push(c);
    }
    if columns >= width(ellipsis) { out + ellipsis } else { out }
}

/// A text without styles, filled up with blanks to `columns`.
pub fn pad(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(width(text))))
}

/// What a program wrote, made safe for the terminal: colours stay, everything that moves the cursor, clears,
/// changes the title or rings goes.
pub fn tame(line: &str) -> String {
    if !line.contains(|c: char| c.is_control()) {
        return line.to_owned();
    }
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    let mut colored = false;
    while let Some(c) = rest.chars().next() {
        if let Some(end) = color_sequence(rest) {
            out.push_str(&rest[..end]);
            colored = true;
            rest = &rest[end..];
            continue;
        }
        let skipped = if c == '\u{1b}' { escape_sequence(rest) } else { c.len_utf8() };
        match c {
            '\t' => out.push_str("    "),
            c if c.is_control() => {}
            c => out.push(c),
        }
        rest = &rest[skipped..];
    }
    if colored { out + "\u{1b}[0m" } else { out }
}

/// Without any styles or control characters.
pub fn plain(line: &str) -> String {
    anstream::adapter::strip_str(&tame(line)).to_string()
}

/// The length of the colour sequence (SGR) that `text` begins with.
fn color_sequence(text: &str) -> Option<usize> {
    let body = text.strip_prefix("\u{1b}[")?;
    let end = body.find(|c: char| !(c.is_ascii_digit() || c == ';' || c == ':'))?;
    body[end..].starts_with('m').then_some(2 + end + 1)
}

/// The length of the escape sequence that `text` begins with (ECMA-48: CSI, string sequences, and the short ones).
fn escape_sequence(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    let after = |at: Option<(usize, char)>| at.map_or(text.len(), |(i, c)| i + c.len_utf8());
    match chars.next() {
        Some((_, '[')) => after(chars.find(|(_, c)| ('\u{40}'..='\u{7e}').contains(c))),
        Some((_, ']' | 'P' | 'X' | '^' | '_')) => {
            let end = chars.find(|(_, c)| matches!(c, '\u{07}' | '\u{1b}' | '\u{9c}'));
            match end {
                Some((i, '\u{1b}')) if text[i..].starts_with("\u{1b}\\") => i + 2,
                // A new sequence begins inside: it is looked at for itself.
                Some((i, '\u{1b}')) => i,
                end => after(end),
            }
        }
        Some((i, c)) if c.is_ascii() => i + 1,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes() {
        for (ms, expected) in [
            (0, "0.0 s"),
            (2_149, "2.1 s"),
            (59_999, "59.9 s"),
            (60_000, "1 min 0 s"),
            (3_725_000, "1 h 2 min"),
            (90_000_000, "1 d 1 h"),
        ] {
            assert_eq!(took(ms), expected);
        }
        for (ms, expected) in [(999, "0s"), (61_000, "1m"), (7_300_000, "2h"), (200_000_000, "2d")] {
            assert_eq!(age(ms), expected);
        }
        for (n, expected) in [
            (0, "0 B"),
            (999, "999 B"),
            (4_404_019, "4.2 MB"),
            (39_845_888, "38 MB"),
            (1_610_612_736, "1.5 GB"),
        ] {
            assert_eq!(bytes(n), expected);
        }
        assert_eq!(list(&["a", "b", "c"]), "a, b and c");
    }

    #[test]
    fn durations_are_read() {
        for (text, ms) in [("500ms", 500), ("10s", 10_000), ("2m", 120_000), ("1h", 3_600_000), ("0s", 0)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)));
        }
        for bad in ["", "10", "s", "-1s", "1.5s", "10 s", "1d", "99999999999999999999s", "5000h", "é"] {
            assert!(parse_duration(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn cutting_counts_columns() {
        for (text, columns, expected) in [
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("日本語", 5, "日本…"),
            ("日本語", 4, "日…"),
            ("abc", 0, ""),
        ] {
            assert_eq!(truncate(text, columns, "…"), expected);
        }
    }

    #[test]
    fn only_colours_survive() {
        for (line, expected) in [
            ("plain", "plain"),
            ("a\tb\r", "a    b"),
            ("\u{1b}[31mred\u{1b}[0m!", "\u{1b}[31mred\u{1b}[0m!\u{1b}[0m"),
            ("x\u{1b}[2J\u{1b}[1;1Hy", "xy"),
            ("\u{1b}]0;title\u{07}t", "t"),
            ("\u{1b}]8;;http://x\u{1b}\\link", "link"),
            ("\u{1b}]0;open\u{1b}[31mz", "\u{1b}[31mz\u{1b}[0m"),
            ("bell\u{07}\u{1b}c\u{1b}", "bell"),
            ("\u{1b}é", "é"),
            ("\u{9b}2Jc1", "2Jc1"),
        ] {
            assert_eq!(tame(line), expected, "{line:?}");
        }
        assert_eq!(plain("\u{1b}[31mred\u{1b}[0m"), "red");
    }
}

//! When something may go: `deprecated`, `x-sunset`, `x-stability-level`.

use std::fmt;

use crate::files::{At, Docs};
use crate::tree::Value;

/// A day of the Gregorian calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day {
    year: u16,
    month: u8,
    day: u8,
}

impl Day {
    /// Reads the day of an RFC 3339 date or date and time.
    pub fn parse(text: &str) -> Option<Self> {
        let (date, rest) = text.split_at_checked(10)?;
        if !rest.is_empty() && !rest.starts_with(['T', 't', ' ']) {
            return None;
        }
        let mut parts = date.split('-');
        let mut next = |length: usize| {
            let digits =
                parts.next().filter(|p| p.len() == length && p.bytes().all(|b| b.is_ascii_digit()))?;
            digits.parse::<u16>().ok()
        };
        let (year, month, day) = (next(4)?, next(2)?, next(2)?);
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let longest = match month {
            2 => 28 + u16::from(leap),
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return None,
        };
        if !(1..=longest).contains(&day) {
            return None;
        }
        Some(Self { year, month: u8::try_from(month).ok()?, day: u8::try_from(day).ok()? })
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

/// The text of an extension, however it is written.
pub fn text(docs: &Docs, at: At) -> String {
    match docs.value(at) {
        Value::Text(text) => text.to_string(),
        _ => docs.canonical(at),
    }
}

/// The levels of `x-stability-level`, from loose to firm.
const LEVELS: [&str; 4] = ["draft", "alpha", "beta", "stable"];

/// What an operation or a parameter says of its own future.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lifecycle {
    pub deprecated: bool,
    /// `x-sunset`, as it is written.
    pub sunset: Option<String>,
    /// `x-stability-level`, as it is written.
    pub stability: Option<String>,
}

impl Lifecycle {
    pub fn read(docs: &Docs, at: At) -> Self {
        Self {
            deprecated: docs.flag(at, "deprecated"),
            sunset: docs.get(at, "x-sunset").map(|node| text(docs, node)),
            stability: docs.get(at, "x-stability-level").map(|node| text(docs, node)),
        }
    }

    /// The rank of the stability level. Without one it is stable; `None` for one that is none.
    pub fn level(&self) -> Option<usize> {
        match &self.stability {
            Some(level) => LEVELS.iter().position(|l| l == level),
            None => Some(LEVELS.len() - 1),
        }
    }

    /// Whether nobody may rely on it yet.
    pub fn is_loose(&self) -> bool {
        self.level().is_some_and(|level| level < 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_read() {
        for (text, day) in [("2024-02-29", "2024-02-29"), ("2030-12-31T10:00:00Z", "2030-12-31")] {
            assert_eq!(Day::parse(text).unwrap().to_string(), day);
        }
        for bad in [
            "",
            "2023-02-29",
            "2023-13-01",
            "2023-1-1",
            "2023-01-01x",
            "tomorrow",
            "2023-00-10",
            "é023-01-01",
        ] {
            assert!(Day::parse(bad).is_none(), "{bad}");
        }
        assert!(Day::parse("2024-12-31") < Day::parse("2025-01-01"));
    }
}

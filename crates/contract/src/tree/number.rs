//! Numbers as JSON has them: compared by value, however they are written.

use std::cmp::Ordering;
use std::fmt;

/// A number of a document.
#[derive(Debug, Clone, Copy)]
pub enum Number {
    /// A whole number.
    Int(i128),
    /// Any other number; never a whole one, never infinite.
    Float(f64),
}

impl Number {
    /// Reads a number of JSON or of YAML's core schema.
    pub fn parse(text: &str) -> Option<Self> {
        let unsigned = text.strip_prefix('+').unwrap_or(text);
        if let Some(hex) = unsigned.strip_prefix("0x") {
            return i128::from_str_radix(hex, 16).ok().map(Self::Int);
        }
        if let Some(octal) = unsigned.strip_prefix("0o") {
            return i128::from_str_radix(octal, 8).ok().map(Self::Int);
        }
        let digits = unsigned.strip_prefix('-').unwrap_or(unsigned);
        let begins = digits.strip_prefix('.').unwrap_or(digits);
        if !begins.starts_with(|c: char| c.is_ascii_digit())
            || !digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'))
        {
            return None;
        }
        if let Ok(int) = unsigned.parse() {
            return Some(Self::Int(int));
        }
        unsigned.parse().ok().and_then(Self::from_f64)
    }

    fn from_f64(float: f64) -> Option<Self> {
        if !float.is_finite() {
            return None;
        }
        // Up to 2^53 every whole number is one that a float can say exactly.
        if float.fract() == 0.0 && float.abs() <= 9_007_199_254_740_992.0 {
            return Some(Self::Int(float as i128));
        }
        Some(Self::Float(float))
    }

    /// As a float, for arithmetic that may be inexact.
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Int(int) => int as f64,
            Self::Float(float) => float,
        }
    }

    /// Whether `self` is a whole multiple of `other`, as far as floats can tell.
    pub fn is_multiple_of(self, other: Self) -> bool {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => b != 0 && a % b == 0,
            _ => {
                let ratio = self.as_f64() / other.as_f64();
                ratio.is_finite() && (ratio - ratio.round()).abs() < 1e-9
            }
        }
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Number {}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            _ => self.as_f64().total_cmp(&other.as_f64()),
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(int) => int.fmt(f),
            Self::Float(float) => float.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_by_value() {
        let n = |text| Number::parse(text).unwrap();
        for (a, b) in [("10", "10.0"), ("1e1", "10"), ("-0", "0"), ("0x1f", "31"), (".5", "0.5")] {
            assert_eq!(n(a), n(b));
        }
        assert!(n("9223372036854775806") < n("9223372036854775807"));
        assert!(n("1.5") < n("2"));
        for bad in
            ["", "-", ".", "e1", "1e", "inf", ".inf", "nan", "1_0", "2020-01-01", "1.2.3", "0x", "1e999"]
        {
            assert!(Number::parse(bad).is_none(), "{bad}");
        }
        assert!(n("12").is_multiple_of(n("4")) && n("0.3").is_multiple_of(n("0.1")));
        assert!(!n("10").is_multiple_of(n("4")) && !n("1").is_multiple_of(n("0")));
    }
}

//! Sets of JSON's types.

use std::fmt;
use std::ops::{BitAnd, BitOr};

/// A set of types. Whole numbers are a type of their own, so that `integer` is a part of `number`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Types(u8);

impl Types {
    pub const NONE: Self = Self(0);
    pub const NULL: Self = Self(1);
    pub const BOOLEAN: Self = Self(2);
    pub const INTEGER: Self = Self(4);
    /// Numbers that are not whole.
    pub const FRACTION: Self = Self(8);
    pub const NUMBER: Self = Self(12);
    pub const STRING: Self = Self(16);
    pub const ARRAY: Self = Self(32);
    pub const OBJECT: Self = Self(64);
    pub const ALL: Self = Self(127);

    const NAMES: [(&'static str, Self); 7] = [
        ("boolean", Self::BOOLEAN),
        ("number", Self::NUMBER),
        ("integer", Self::INTEGER),
        ("string", Self::STRING),
        ("array", Self::ARRAY),
        ("object", Self::OBJECT),
        ("null", Self::NULL),
    ];

    /// The type of a name of JSON Schema.
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(n, _)| *n == name).map(|(_, t)| *t)
    }

    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// How many names it takes to say it.
    pub fn names(self) -> usize {
        self.listed().len()
    }

    fn listed(self) -> Vec<&'static str> {
        let mut left = self;
        let mut out = Vec::new();
        for (name, bits) in Self::NAMES {
            if left.has(bits) {
                out.push(name);
                left = left.without(bits);
            }
        }
        if left.meets(Self::FRACTION) {
            out.push("fraction");
        }
        out
    }
}

impl Default for Types {
    fn default() -> Self {
        Self::ALL
    }
}

impl BitAnd for Types {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl BitOr for Types {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for Types {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ALL => f.write_str("anything"),
            Self::NONE => f.write_str("nothing"),
            // Without `null`: that is told of for itself.
            some if some == Self::ALL.without(Self::NULL) => f.write_str("anything"),
            some => f.write_str(&some.listed().join(" or ")),
        }
    }
}

impl fmt::Debug for Types {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_numbers() {
        assert!(Types::NUMBER.has(Types::INTEGER) && !Types::INTEGER.has(Types::NUMBER));
        assert_eq!(Types::NUMBER & Types::INTEGER, Types::INTEGER);
        for (types, text) in [
            (Types::ALL, "anything"),
            (Types::NUMBER | Types::STRING, "number or string"),
            (Types::INTEGER | Types::NULL, "integer or null"),
            (Types::FRACTION, "fraction"),
        ] {
            assert_eq!(types.to_string(), text);
        }
    }
}

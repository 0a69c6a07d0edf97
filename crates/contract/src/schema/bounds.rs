//! The keywords that bound a value by a number.

/// A keyword with a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum Bound {
    Max,
    ExclusiveMax,
    Min,
    ExclusiveMin,
    MaxLength,
    MinLength,
    MaxItems,
    MinItems,
    MaxProperties,
    MinProperties,
    MaxContains,
    MinContains,
}

/// How many there are.
pub const COUNT: usize = 12;

/// All of them, in the order of their numbers.
pub const BOUNDS: [Bound; COUNT] = [
    Bound::Max,
    Bound::ExclusiveMax,
    Bound::Min,
    Bound::ExclusiveMin,
    Bound::MaxLength,
    Bound::MinLength,
    Bound::MaxItems,
    Bound::MinItems,
    Bound::MaxProperties,
    Bound::MinProperties,
    Bound::MaxContains,
    Bound::MinContains,
];

impl Bound {
    /// The keyword of JSON Schema.
    pub fn keyword(self) -> &'static str {
        match self {
            Self::Max => "maximum",
            Self::ExclusiveMax => "exclusiveMaximum",
            Self::Min => "minimum",
            Self::ExclusiveMin => "exclusiveMinimum",
            Self::MaxLength => "maxLength",
            Self::MinLength => "minLength",
            Self::MaxItems => "maxItems",
            Self::MinItems => "minItems",
            Self::MaxProperties => "maxProperties",
            Self::MinProperties => "minProperties",
            Self::MaxContains => "maxContains",
            Self::MinContains => "minContains",
        }
    }

    /// Whether it bounds from above.
    pub fn is_upper(self) -> bool {
        (self as usize) < 2 || self.keyword().starts_with("max")
    }

    /// What is meant when it is not there, where that is a number.
    pub fn implied(self) -> Option<i128> {
        match self {
            Self::MinLength | Self::MinItems | Self::MinProperties => Some(0),
            Self::MinContains => Some(1),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_directions() {
        for (at, bound) in BOUNDS.iter().enumerate() {
            assert_eq!(*bound as usize, at);
            let says_max = bound.keyword().to_ascii_lowercase().contains("max");
            assert_eq!(bound.is_upper(), says_max, "{bound:?}");
        }
    }
}

//! The limits of a cart, what two carts become when they merge, and what lines cost.

use std::collections::BTreeMap;

/// Most units of one SKU in a cart.
pub const MAX_QUANTITY: i64 = 99;
/// Most lines in a cart.
pub const MAX_LINES: usize = 50;

/// What a cart holds: SKU and quantity, in the order in which they were added.
pub type Lines = Vec<(String, i64)>;

/// The result of a merge: the customer's lines, and what did not fit.
#[derive(Debug, PartialEq, Eq)]
pub struct Merged {
    /// The lines to write: only those that change.
    pub changed: Lines,
    /// SKUs whose sum was cut to [`MAX_QUANTITY`].
    pub capped: Vec<String>,
    /// SKUs left out because the cart was full.
    pub dropped: Vec<String>,
}

/// Adds a guest's lines to a customer's: quantities of the same SKU are summed.
#[must_use]
pub fn merge(mine: &Lines, guest: &Lines) -> Merged {
    let held: BTreeMap<&str, i64> = mine.iter().map(|(sku, quantity)| (sku.as_str(), *quantity)).collect();
    let mut merged = Merged { changed: Vec::new(), capped: Vec::new(), dropped: Vec::new() };
    let mut count = held.len();
    for (sku, added) in guest {
        let before = held.get(sku.as_str()).copied();
        if before.is_none() {
            if count >= MAX_LINES {
                merged.dropped.push(sku.clone());
                continue;
            }
            count += 1;
        }
        let sum = before.unwrap_or(0).saturating_add(*added);
        if sum > MAX_QUANTITY {
            merged.capped.push(sku.clone());
        }
        merged.changed.push((sku.clone(), sum.min(MAX_QUANTITY)));
    }
    merged
}

/// The sum of unit price times quantity in minor units, or `None` if it does not fit.
pub fn total(lines: impl IntoIterator<Item = (i64, i64)>) -> Option<i64> {
    lines.into_iter().try_fold(0_i64, |sum, (unit, quantity)| sum.checked_add(unit.checked_mul(quantity)?))
}

/// Whether a text can be a SKU: 1 to 64 letters, digits, `-`, `_` or `.`.
#[must_use]
pub fn is_sku(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(of: &[(&str, i64)]) -> Lines {
        of.iter().map(|(sku, quantity)| ((*sku).to_owned(), *quantity)).collect()
    }

    #[test]
    fn merging_sums_caps_and_keeps_the_limit_of_lines() {
        let merged = merge(&lines(&[("A", 2), ("B", 98)]), &lines(&[("B", 5), ("C", 1), ("A", 1)]));
        assert_eq!(merged.changed, lines(&[("B", 99), ("C", 1), ("A", 3)]));
        assert_eq!(merged.capped, ["B"]);
        assert!(merged.dropped.is_empty());

        let full: Lines = (0..MAX_LINES).map(|n| (format!("S{n}"), 1)).collect();
        let merged = merge(&full, &lines(&[("NEW", 1), ("S0", 1)]));
        assert_eq!(merged.changed, lines(&[("S0", 2)]));
        assert_eq!(merged.dropped, ["NEW"]);
    }

    #[test]
    fn a_total_never_wraps() {
        assert_eq!(total([(250, 2), (100, 1)]), Some(600));
        assert_eq!(total([(i64::MAX, 2)]), None);
        assert_eq!(total([(i64::MAX, 1), (1, 1)]), None);
    }

    #[test]
    fn what_a_sku_looks_like() {
        for good in ["KIT-MUG-01", "a", "x.y_z"] {
            assert!(is_sku(good), "{good}");
        }
        for bad in ["", "a b", "ü", "a/b", &"x".repeat(65)] {
            assert!(!is_sku(bad), "{bad}");
        }
    }
}

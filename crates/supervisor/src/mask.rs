//! Values that nobody is to read, wherever in a text they turn up.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use aho_corasick::{AhoCorasick, MatchKind};

use model::secret::MASKED;

/// Bytes below which a value is not looked for: it would be found in everything.
const SHORTEST: usize = 4;

/// A set of values that only grows, and what takes them out of texts. Clones are the same set.
///
/// It never forgets: a process that was started with a value may write it long after it was replaced.
#[derive(Clone, Default)]
pub struct Mask(Arc<RwLock<Known>>);

#[derive(Default)]
struct Known {
    values: BTreeSet<String>,
    /// All values at once, so that a text is gone through once however many there are.
    search: Option<AhoCorasick>,
}

impl Mask {
    /// Adds values of at least four bytes. One of several lines is found line by line, and each also as JSON writes it.
    pub fn add<'v>(&self, values: impl IntoIterator<Item = &'v str>) {
        let lines =
            values.into_iter().flat_map(str::lines).map(str::trim).filter(|line| line.len() >= SHORTEST);
        let forms = lines.flat_map(|line| [line.to_owned(), as_json(line)]);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let before = known.values.len();
        known.values.extend(forms);
        if known.values.len() > before {
            // It fails with more than two thousand million states, which no number of secrets comes near to.
            let search = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&known.values);
            known.search = search.ok().or_else(|| known.search.take());
        }
    }

    /// The text with [`MASKED`] in place of every value.
    pub fn clean(&self, text: String) -> String {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let Some(search) = known.search.as_ref().filter(|search| search.is_match(&text)) else { return text };
        let mut cleaned = String::with_capacity(text.len());
        search.replace_all_with(&text, &mut cleaned, |_, _, into| {
            into.push_str(MASKED);
            true
        });
        cleaned
    }
}

/// How many there are, and none of them.
impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        write!(f, "Mask({})", known.values.len())
    }
}

fn as_json(value: &str) -> String {
    let quoted = serde_json::Value::from(value).to_string();
    quoted.get(1..quoted.len() - 1).unwrap_or(value).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean(values: &[&str], text: &str) -> String {
        let mask = Mask::default();
        mask.add(values.iter().copied());
        mask.clean(text.to_owned())
    }

    #[test]
    fn a_value_is_taken_out_wherever_it_stands() {
        let cases: [(&[&str], &str, &str); 8] = [
            (&[], "nothing is known", "nothing is known"),
            (&["hunter2"], "hunter2 hunter hunter22", "••• hunter •••2"),
            (&["abc", ""], "abc", "abc"),
            (&["long", "longer one"], "a longer one, long", "a •••, •••"),
            (&["one\ntwo of them\n"], "one, two of them", "one, •••"),
            (&["say \"yes\""], r#"{"m":"say \"yes\""} say "yes""#, r#"{"m":"•••"} •••"#),
            (&["päss•"], "xpäss•y", "x•••y"),
            (&["aaaa"], "aaaaaaaaa", "••••••a"),
        ];
        for (values, text, expected) in cases {
            assert_eq!(clean(values, text), expected, "{values:?}");
        }
    }

    #[test]
    fn clones_are_one_set_that_only_grows_and_shows_nothing() {
        let mask = Mask::default();
        let other = mask.clone();
        other.add(["first-one"]);
        other.add(["second-one"]);
        assert_eq!(mask.clean("first-one second-one".to_owned()), "••• •••");
        assert_eq!(format!("{mask:?}"), "Mask(2)");
    }
}

//! Lists that are read page by page: a clamped limit, and an opaque cursor that holds the last key seen and a
//! fingerprint of the filter, so that it cannot be used with another list.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};

use crate::problem::Problem;

/// How many items a page has when the client does not say.
pub const DEFAULT_LIMIT: i64 = 20;
/// How many it has at most.
pub const MAX_LIMIT: i64 = 100;

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// To be sent as `cursor` for the next page; null after the last one.
    pub next_cursor: Option<String>,
}

/// A `limit` query parameter: any whole number, clamped to 1..=[`MAX_LIMIT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(i64);

impl Default for Limit {
    fn default() -> Self {
        Self(DEFAULT_LIMIT)
    }
}

impl Limit {
    /// Items per page.
    #[must_use]
    pub fn get(self) -> i64 {
        self.0
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.strip_prefix('-').unwrap_or(&text);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(serde::de::Error::custom("limit must be a whole number"));
        }
        let beyond = if text.starts_with('-') { 1 } else { MAX_LIMIT };
        Ok(Self(text.parse().unwrap_or(beyond).clamp(1, MAX_LIMIT)))
    }
}

#[derive(Serialize, Deserialize)]
struct Token<K> {
    f: String,
    k: K,
}

/// A request for a page whose last seen key is a `K` (often a tuple of sort key and id).
#[derive(Debug, Clone)]
pub struct PageRequest<K> {
    /// The last key of the page before, if this is not the first.
    pub after: Option<K>,
    limit: i64,
    filter: String,
}

impl<K: Serialize + DeserializeOwned> PageRequest<K> {
    /// Checks the cursor against `filter`: everything but limit and cursor that chooses or orders the items, and the
    /// list's own name, e.g. `&("products", &q, &sort)`.
    ///
    /// # Errors
    /// 400 `invalid_cursor`.
    pub fn new(filter: &impl Serialize, limit: Option<Limit>, cursor: Option<&str>) -> Result<Self, Problem> {
        let filter = fingerprint(filter);
        let after = match cursor {
            None => None,
            Some(text) => {
                let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| Problem::invalid_cursor())?;
                let token: Token<K> =
                    serde_json::from_slice(&bytes).map_err(|_| Problem::invalid_cursor())?;
                if token.f != filter {
                    return Err(Problem::invalid_cursor());
                }
                Some(token.k)
            }
        };
        Ok(Self { after, limit: limit.unwrap_or_default().get(), filter })
    }

    /// How many rows to ask the database for: one more than the page holds, to know whether there is a next one.
    #[must_use]
    pub fn fetch(&self) -> i64 {
        self.limit + 1
    }

    /// Makes the page of up to [`PageRequest::fetch`] rows; `key` gives a row's place in the order.
    pub fn page<T>(&self, mut rows: Vec<T>, key: impl Fn(&T) -> K) -> Page<T> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = rows.last().filter(|_| more).map(|last| self.token(key(last)));
        Page { items: rows, next_cursor }
    }

    fn token(&self, key: K) -> String {
        let token = serde_json::to_vec(&Token { f: self.filter.clone(), k: key }).unwrap_or_default();
        URL_SAFE_NO_PAD.encode(token)
    }
}

impl<T> Page<T> {
    /// The same page of other items.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(f).collect(), next_cursor: self.next_cursor }
    }
}

fn fingerprint(filter: &impl Serialize) -> String {
    let digest = Sha256::digest(serde_json::to_vec(filter).unwrap_or_default());
    URL_SAFE_NO_PAD.encode(&digest[..9])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_all_items_once() {
        let all: Vec<i64> = (0..45).collect();
        let (mut seen, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let request = PageRequest::<i64>::new(&("list", "q"), None, cursor.as_deref()).unwrap();
            let fetch = usize::try_from(request.fetch()).unwrap();
            let rows = all
                .iter()
                .copied()
                .filter(|n| request.after.is_none_or(|after| *n > after))
                .take(fetch)
                .collect();
            let page = request.page(rows, |n| *n);
            seen.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, all);
    }

    #[test]
    fn refuses_a_foreign_cursor() {
        let request = PageRequest::<i64>::new(&"a", None, None).unwrap();
        let cursor = request.page((0..30).collect(), |n| *n).next_cursor.unwrap();
        assert!(PageRequest::<i64>::new(&"a", None, Some(&cursor)).is_ok());
        for (filter, cursor) in
            [("b", cursor.as_str()), ("a", ""), ("a", "é"), ("a", "AAAA"), ("a", "eyJmIjoxfQ")]
        {
            let problem = PageRequest::<i64>::new(&filter, None, Some(cursor)).unwrap_err();
            assert_eq!(problem.code(), "invalid_cursor");
        }
        assert!(PageRequest::<(String, i64)>::new(&"a", None, Some(&cursor)).is_err());
    }

    #[test]
    fn clamps_the_limit() {
        let limit = |text: &str| serde_json::from_value::<Limit>(text.into()).map(Limit::get).ok();
        assert_eq!(limit("5"), Some(5));
        assert_eq!(limit("0"), Some(1));
        assert_eq!(limit("-9"), Some(1));
        assert_eq!(limit("99999999999999999999999"), Some(MAX_LIMIT));
        assert_eq!(limit("-99999999999999999999999"), Some(1));
        for bad in ["", "-", "abc", "1.5", "٣"] {
            assert_eq!(limit(bad), None, "{bad}");
        }
    }
}

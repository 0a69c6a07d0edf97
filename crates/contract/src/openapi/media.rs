//! Media types: RFC 9110, 8.3, ranges as in 12.5.1, structured suffixes as in RFC 6838, 4.2.8.

use std::fmt;

/// A media type or a range of them, in lower case, its parameters sorted and the character set left out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MediaKey {
    essence: String,
    parameters: Vec<String>,
}

impl MediaKey {
    pub fn parse(text: &str) -> Self {
        let mut parts = text.split(';').map(|p| p.trim().to_ascii_lowercase());
        let essence = parts.next().unwrap_or_default();
        let mut parameters: Vec<String> =
            parts.filter(|p| !p.is_empty() && p.replace([' ', '"'], "") != "charset=utf-8").collect();
        parameters.sort();
        Self { essence, parameters }
    }

    /// Without parameters.
    pub fn essence(&self) -> &str {
        &self.essence
    }

    /// Whether everything of `other` is of this as well.
    pub fn covers(&self, other: &Self) -> bool {
        let essence = match self.essence.strip_suffix('*') {
            Some("*/" | "") => true,
            Some(start) => other.essence.starts_with(start),
            None => self.essence == other.essence,
        };
        essence && self.parameters.iter().all(|p| other.parameters.contains(p))
    }

    /// Whether `other` is this with a structure of its own: `application/problem+json` is `application/json`.
    pub fn is_base_of(&self, other: &Self) -> bool {
        let Some((kind, suffix)) = other.essence.split_once('/') else { return false };
        let Some((_, structure)) = suffix.rsplit_once('+') else { return false };
        self.essence == format!("{kind}/{structure}") && self.parameters.is_empty()
    }

    /// Whether only the parameters differ.
    pub fn is_like(&self, other: &Self) -> bool {
        self.essence == other.essence
    }

    /// Whether values are written without their types, as text: `1` may be a number or a string.
    pub fn is_text(&self) -> bool {
        is_textual(&self.essence)
    }

    pub fn is_xml(&self) -> bool {
        self.essence.ends_with("/xml") || self.essence.ends_with("+xml")
    }
}

/// Whether a media type writes values without their types.
fn is_textual(essence: &str) -> bool {
    essence.starts_with("text/")
        || essence.starts_with("multipart/")
        || essence == "application/x-www-form-urlencoded"
        || essence.ends_with("/xml")
        || essence.ends_with("+xml")
}

impl fmt::Display for MediaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.essence)?;
        self.parameters.iter().try_for_each(|p| write!(f, "; {p}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_and_suffixes_tell_the_base() {
        let m = MediaKey::parse;
        assert_eq!(m("Application/JSON; charset=UTF-8"), m("application/json"));
        assert_eq!(m("a/b; y=2 ;x=1"), m("a/b;x=1;y=2"));
        for (wide, narrow, covers) in [
            ("*/*", "a/b", true),
            ("a/*", "a/b", true),
            ("a/*", "ab/c", false),
            ("a/b", "a/*", false),
            ("a/b", "a/b;v=1", true),
            ("a/b;v=1", "a/b", false),
        ] {
            assert_eq!(m(wide).covers(&m(narrow)), covers, "{wide} {narrow}");
        }
        assert!(m("application/json").is_base_of(&m("application/problem+json")));
        assert!(!m("application/json").is_base_of(&m("text/x+json")));
    }
}

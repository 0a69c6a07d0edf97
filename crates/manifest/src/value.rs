//! A value of the manifest with its place, read as the kind that its key takes.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use crate::fault::{Fault, Sink};
use crate::keys::{self, Kind};
use crate::section::Section;
use crate::suggest::did_you_mean;
use crate::{code, quantity};

/// A value, and what its key says about it. Every reading method reports what is wrong and gives `None` then.
#[derive(Clone, Copy)]
pub(crate) struct Value<'a> {
    /// The key's name, for messages.
    pub(crate) name: &'a str,
    pub(crate) kind: &'static Kind,
    pub(crate) node: &'a Spanned<DeValue<'a>>,
    pub(crate) sink: &'a Sink<'a>,
    /// Whether it is an entry of the array that the key has.
    pub(crate) entry: bool,
}

impl<'a> Value<'a> {
    pub(crate) fn span(&self) -> Range<usize> {
        self.node.span()
    }

    /// The value as text, if it is text; nothing is reported.
    pub(crate) fn as_text(&self) -> Option<&'a str> {
        self.node.get_ref().as_str()
    }

    pub(crate) fn is_table(&self) -> bool {
        self.node.get_ref().is_table()
    }

    pub(crate) fn is_array(&self) -> bool {
        self.node.get_ref().is_array()
    }

    pub(crate) fn is_integer(&self) -> bool {
        self.node.get_ref().is_integer()
    }

    /// The same value, to be read as that one of the key's kinds that `wanted` picks.
    pub(crate) fn alternative(self, wanted: impl Fn(&Kind) -> bool) -> Self {
        let Kind::AnyOf(kinds) = self.kind else { return self };
        let kind = kinds.iter().find(|k| wanted(k)).unwrap_or(self.kind);
        Self { kind, ..self }
    }

    pub(crate) fn fault(&self, code: &'static str, message: String) -> Fault {
        Fault::error(code, self.span(), message)
    }

    pub(crate) fn wrong_type(&self) {
        let found = match self.node.get_ref() {
            DeValue::String(_) => "text",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "`true` or `false`",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        let message = match self.entry {
            true => format!("each entry of `{}` must be {}", self.name, self.kind.expected()),
            false => format!("`{}` takes {}", self.name, self.kind.expected()),
        };
        let raw = self.sink.text.get(self.span()).unwrap_or_default();
        let hint = match (self.kind, self.node.get_ref()) {
            (Kind::Duration(..), DeValue::Integer(_)) => Some(format!("write the unit too: `\"{raw}s\"`")),
            (Kind::Size(..), DeValue::Integer(_)) => Some(format!("write the unit too: `\"{raw}MB\"`")),
            (Kind::Text | Kind::Template, DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_)) => {
                Some(format!("write it as text: `\"{raw}\"`"))
            }
            (Kind::List(_), DeValue::String(_)) => Some(format!("write an array: `[{raw}]`")),
            _ => None,
        };
        self.sink
            .push(self.fault(code::WRONG_TYPE, message).label(format!("this is {found}")).maybe_hint(hint));
    }

    pub(crate) fn bad(&self, message: String, hint: Option<String>) {
        self.sink.push(self.fault(code::BAD_VALUE, message).maybe_hint(hint));
    }

    /// The value as text that has no NUL, which neither paths nor processes can carry.
    pub(crate) fn text(&self) -> Option<&'a str> {
        let Some(text) = self.as_text() else {
            self.wrong_type();
            return None;
        };
        if text.contains('\0') {
            self.bad(format!("`{}` contains a NUL character", self.name), None);
            return None;
        }
        Some(text)
    }

    /// Text that is not empty.
    pub(crate) fn some_text(&self) -> Option<&'a str> {
        let text = self.text()?;
        if text.trim().is_empty() {
            self.bad(
                format!("`{}` is empty", self.name),
                Some("give it a value, or leave the key out".into()),
            );
            return None;
        }
        Some(text)
    }

    pub(crate) fn boolean(&self) -> Option<bool> {
        let value = self.node.get_ref().as_bool();
        if value.is_none() {
            self.wrong_type();
        }
        value
    }

    pub(crate) fn integer(&self) -> Option<u32> {
        let Some(integer) = self.node.get_ref().as_integer() else {
            self.wrong_type();
            return None;
        };
        let Kind::Integer(min, max) = *self.kind else { return None };
        let value = i128::from_str_radix(integer.as_str(), integer.radix()).ok();
        let inside = value.and_then(|v| u32::try_from(v).ok()).filter(|v| (min..=max).contains(v));
        if inside.is_none() {
            self.out_of_range(&min.to_string(), &max.to_string());
        }
        inside
    }

    pub(crate) fn number(&self) -> Option<f64> {
        let value = match self.node.get_ref() {
            DeValue::Integer(i) => i128::from_str_radix(i.as_str(), i.radix()).ok().map(|i| i as f64),
            DeValue::Float(f) => f.as_str().parse().ok(),
            _ => {
                self.wrong_type();
                return None;
            }
        };
        let Kind::Number(min, max) = *self.kind else { return None };
        let inside = value.filter(|v: &f64| (min..=max).contains(v));
        if inside.is_none() {
            self.out_of_range(&min.to_string(), &max.to_string());
        }
        inside
    }

    pub(crate) fn duration(&self) -> Option<Duration> {
        let Kind::Duration(min, max) = *self.kind else { return None };
        let text = self.text()?;
        let Some(value) = quantity::duration(text) else {
            let hint = "write a number and `ms`, `s`, `m` or `h`: `500ms`, `1.5s`, `2m`, `1h`";
            self.bad(format!("`{text}` is not a duration"), Some(hint.into()));
            return None;
        };
        let (min, max) = (Duration::from_millis(min), Duration::from_millis(max));
        if !(min..=max).contains(&value) {
            self.out_of_range(&quantity::show_duration(min), &quantity::show_duration(max));
            return None;
        }
        Some(value)
    }

    pub(crate) fn size(&self) -> Option<u64> {
        let Kind::Size(min, max) = *self.kind else { return None };
        let text = self.text()?;
        let Some(value) = quantity::size(text) else {
            let hint = "write a number and `B`, `KB`, `MB` or `GB` (or `KiB`, `MiB`, `GiB`): `512MB`";
            self.bad(format!("`{text}` is not a size"), Some(hint.into()));
            return None;
        };
        if !(min..=max).contains(&value) {
            self.out_of_range(&quantity::show_size(min), &quantity::show_size(max));
            return None;
        }
        Some(value)
    }

    pub(crate) fn address(&self) -> Option<SocketAddr> {
        let text = self.text()?;
        let address = text.parse().ok();
        if address.is_none() {
            let port = text.rsplit(':').next().and_then(|p| p.parse::<u16>().ok());
            let hint = match port {
                Some(port) if text.starts_with('[') || text.matches(':').count() > 1 => {
                    format!("an IPv6 address is in brackets: `\"[::1]:{port}\"`")
                }
                Some(port) => {
                    format!(
                        "write `\"127.0.0.1:{port}\"` for this machine only, `\"0.0.0.0:{port}\"` for all"
                    )
                }
                None => "write an IP address and a port: `\"127.0.0.1:8080\"`".to_owned(),
            };
            self.bad(format!("`{text}` is not an IP address and a port"), Some(hint));
        }
        address
    }

    /// One of the choices that the key has.
    pub(crate) fn choice(&self) -> Option<&'static str> {
        let Kind::Choice(choices) = *self.kind else { return None };
        let text = self.text()?;
        let found = choices.iter().copied().find(|c| *c == text);
        if found.is_none() {
            self.bad_choice(text, choices);
        }
        found
    }

    pub(crate) fn bad_choice(&self, text: &str, choices: &[&'static str]) {
        // `SIGTERM` for `TERM`, `canary-deploy` for `canary`.
        let inside = || choices.iter().copied().find(|c| text.to_lowercase().contains(&c.to_lowercase()));
        let meant = did_you_mean(text, choices.iter().copied()).or_else(inside);
        let hint = meant.map(|c| format!("did you mean `\"{c}\"`?"));
        self.bad(format!("`{}` is {}, not `{text}`", self.name, keys::one_of(choices)), hint);
    }

    /// A path that starts with `/`, as URLs have it.
    pub(crate) fn url_path(&self) -> Option<&'a str> {
        let text = self.text()?;
        let bad = |c: char| c.is_whitespace() || c.is_control() || c == '?' || c == '#';
        let hint = if !text.starts_with('/') {
            format!("start it with a slash: `\"/{text}\"`")
        } else if text.contains(bad) {
            "leave out spaces, `?` and `#`: only the path is compared".to_owned()
        } else if text.contains("//") || text.split('/').any(|s| s == "." || s == "..") {
            "no empty segment, `.` or `..`: such requests are not passed on".to_owned()
        } else {
            return Some(text);
        };
        self.bad(format!("`{text}` is not a path of a URL"), Some(hint));
        None
    }

    /// What a table of any keys holds, with the place of each key.
    pub(crate) fn map(self) -> Vec<(&'a str, Range<usize>, Value<'a>)> {
        let (Kind::Map(kind), Some(table)) = (self.kind, self.node.get_ref().as_table()) else {
            self.wrong_type();
            return Vec::new();
        };
        let entries = table.iter().map(|(key, node)| {
            let name: &str = key.get_ref();
            (name, key.span(), Value { name, kind, node, ..self })
        });
        entries.collect()
    }

    /// The entries of an array, each of the kind that the list takes; empty with a fault where it is none.
    pub(crate) fn items(self) -> Vec<Value<'a>> {
        let Some(array) = self.node.get_ref().as_array() else {
            self.wrong_type();
            return Vec::new();
        };
        let Kind::List(inner) = *self.kind else { return Vec::new() };
        array.iter().map(|node| Value { node, kind: inner, entry: true, ..self }).collect()
    }

    /// The value as a table with the keys of its kind. `at` is where to say that something is missing.
    pub(crate) fn section(self, at: Range<usize>) -> Option<Section<'a>> {
        match (self.kind, self.node.get_ref().as_table()) {
            (Kind::Table(spec), Some(table)) => Some(Section::open(self.sink, spec, table, at)),
            _ => {
                self.wrong_type();
                None
            }
        }
    }

    fn out_of_range(&self, min: &str, max: &str) {
        let message = format!("`{}` is from {min} to {max}", self.name);
        self.sink.push(self.fault(code::OUT_OF_RANGE, message).label("outside"));
    }
}

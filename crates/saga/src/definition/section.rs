//! Mappings read key by key; every fault is collected, none ends the reading.

use std::cell::RefCell;
use std::ops::Range;

use serde_json::Value;

use super::fault::{Fault, code};
use super::quantity;
use super::yaml::{Node, What};
use crate::expr::{Condition, Template};

/// A value and where it is.
#[derive(Debug, Clone)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// The bytes of the text.
    pub span: Range<usize>,
}

impl<T> Spanned<T> {
    pub fn new(value: T, span: &Range<usize>) -> Self {
        Self { value, span: span.clone() }
    }
}

/// What is collected while a definition is read.
pub struct Sink<'a> {
    text: &'a str,
    faults: RefCell<Vec<Fault>>,
}

impl<'a> Sink<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { text, faults: RefCell::default() }
    }

    pub fn push(&self, fault: Fault) {
        self.faults.borrow_mut().push(fault);
    }

    pub fn error(&self, code: &'static str, span: &Range<usize>, message: impl Into<String>) {
        self.push(Fault::error(code, span.clone(), message));
    }

    pub fn finish(self) -> Vec<Fault> {
        super::fault::finish(self.faults.into_inner(), self.text)
    }

    /// The part of `span` where `needle` stands; all of it when it is not there literally.
    pub fn narrow(&self, span: &Range<usize>, needle: &str) -> Range<usize> {
        match self.text.get(span.clone()).and_then(|raw| raw.find(needle)) {
            Some(at) => span.start + at..span.start + at + needle.len(),
            None => span.clone(),
        }
    }
}

/// A mapping whose keys are known.
pub struct Section<'a> {
    entries: &'a [(super::yaml::Key, Node)],
    /// Where it is.
    pub span: &'a Range<usize>,
    sink: &'a Sink<'a>,
    what: &'a str,
}

impl<'a> Section<'a> {
    /// `what` is its name in messages. Unknown keys are faults.
    pub fn new(node: &'a Node, what: &'a str, known: &[&str], sink: &'a Sink<'a>) -> Self {
        let entries: &[_] = match &node.what {
            What::Map(entries) => entries,
            // An empty mapping may be written as nothing.
            What::Scalar(Value::Null) => &[],
            _ => {
                sink.error(
                    code::BAD_VALUE,
                    &node.span,
                    format!("{what} is a mapping, and this is {}", node.kind()),
                );
                &[]
            }
        };
        for (key, _) in entries.iter().filter(|(key, _)| !known.contains(&key.text.as_str())) {
            let fault = Fault::error(
                code::UNKNOWN_KEY,
                key.span.clone(),
                format!("{what} has no key `{}`", key.text),
            );
            let close = known.iter().find(|k| close(k, &key.text));
            sink.push(match close {
                Some(likely) => fault.hint(format!("did you mean `{likely}`?")),
                None => fault.hint(format!("it has: {}", known.join(", "))),
            });
        }
        Self { entries, span: &node.span, sink, what }
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&'a Node> {
        self.entries.iter().find(|(k, _)| k.text == key).map(|(_, node)| node)
    }

    /// Where a key is, if it is there.
    pub fn key_span(&self, key: &str) -> Option<&'a Range<usize>> {
        self.entries.iter().find(|(k, _)| k.text == key).map(|(k, _)| &k.span)
    }

    /// A key that must be there.
    pub fn need(&self, key: &str) -> Option<&'a Node> {
        let found = self.get(key);
        if found.is_none() {
            let head = self.span.start..self.entries.first().map_or(self.span.end, |(k, _)| k.span.end);
            self.sink.error(code::MISSING_KEY, &head, format!("{} has no `{key}`", self.what));
        }
        found
    }

    pub fn text(&self, key: &str) -> Option<Spanned<String>> {
        self.get(key).and_then(|node| text(node, key, self.sink))
    }

    pub fn duration(&self, key: &str) -> Option<u64> {
        let text = self.text(key)?;
        let read = quantity::duration(&text.value);
        if read.is_none() {
            let message =
                format!("`{}` is not a duration; one looks like `500ms`, `10s`, `2m`, `1h`", text.value);
            self.sink.error(code::BAD_VALUE, &text.span, message);
        }
        read
    }

    pub fn template(&self, key: &str) -> Option<Spanned<Template>> {
        self.get(key).map(|node| template(node, self.sink))
    }

    pub fn condition(&self, key: &str) -> Option<Spanned<Condition>> {
        let node = self.get(key)?;
        let text = match &node.what {
            // `when: true` is a condition too.
            What::Scalar(value) => crate::expr::as_text(value),
            _ => {
                self.sink.error(
                    code::BAD_VALUE,
                    &node.span,
                    format!("`{key}` is a condition, and this is {}", node.kind()),
                );
                return None;
            }
        };
        match Condition::parse(&text) {
            Ok(condition) => Some(Spanned::new(condition, &node.span)),
            Err(error) => {
                self.sink.error(code::BAD_VALUE, &node.span, error.to_string());
                None
            }
        }
    }

    pub fn flag(&self, key: &str) -> bool {
        match self.get(key).map(|node| (&node.what, node)) {
            None => false,
            Some((What::Scalar(Value::Bool(it)), _)) => *it,
            Some((_, node)) => {
                self.sink.error(
                    code::BAD_VALUE,
                    &node.span,
                    format!("`{key}` is true or false, and this is {}", node.kind()),
                );
                false
            }
        }
    }

    /// The entries of a mapping of any names.
    pub fn named(&self, key: &str) -> Vec<(Spanned<String>, Spanned<Template>)> {
        let Some(node) = self.get(key) else { return Vec::new() };
        let What::Map(entries) = &node.what else {
            if !matches!(node.what, What::Scalar(Value::Null)) {
                self.sink.error(
                    code::BAD_VALUE,
                    &node.span,
                    format!("`{key}` is a mapping, and this is {}", node.kind()),
                );
            }
            return Vec::new();
        };
        entries
            .iter()
            .map(|(k, node)| (Spanned::new(k.text.clone(), &k.span), template(node, self.sink)))
            .collect()
    }
}

/// A text; anything else is a fault.
pub fn text(node: &Node, what: &str, sink: &Sink<'_>) -> Option<Spanned<String>> {
    match &node.what {
        What::Scalar(Value::String(text)) => Some(Spanned::new(text.clone(), &node.span)),
        _ => {
            sink.error(
                code::BAD_VALUE,
                &node.span,
                format!("`{what}` is a text, and this is {}", node.kind()),
            );
            None
        }
    }
}

/// Any value, with references in its texts.
pub fn template(node: &Node, sink: &Sink<'_>) -> Spanned<Template> {
    let value = match &node.what {
        What::Scalar(Value::String(text)) => Template::text(text).unwrap_or_else(|error| {
            sink.error(code::BAD_VALUE, &node.span, error.to_string());
            Template::Literal(Value::Null)
        }),
        What::Scalar(value) => Template::Literal(value.clone()),
        What::List(items) => Template::List(items.iter().map(|item| template(item, sink).value).collect()),
        What::Map(entries) => Template::Map(
            entries.iter().map(|(key, item)| (key.text.clone(), template(item, sink).value)).collect(),
        ),
    };
    Spanned::new(value, &node.span)
}

/// Whether two words differ by one letter that is wrong, missing, too much, or by two that changed places.
pub fn close(a: &str, b: &str) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let head = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
    let tail = a.iter().rev().zip(b.iter().rev()).take_while(|(x, y)| x == y).count();
    let rest = |word: &[char]| word.len().saturating_sub(head).saturating_sub(tail);
    let swapped = a.len() == b.len()
        && a.get(head) == b.get(head + 1)
        && a.get(head + 1) == b.get(head)
        && rest(&a) <= 2;
    a.len().abs_diff(b.len()) <= 1 && (rest(&a) <= 1 && rest(&b) <= 1 || swapped)
}

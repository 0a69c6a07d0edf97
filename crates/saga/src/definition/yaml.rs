//! YAML with the place of everything: a small tree made from a parser's events.
//!
//! Anchors, aliases, tags and several documents are refused: a definition has no use for them, and they are where YAML bites.

use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use serde_json::{Number, Value};

use super::fault::{Fault, code};

/// Deeper nesting is refused.
const DEEPEST: usize = 40;

/// A piece of the text and where it is.
#[derive(Debug, Clone)]
pub struct Node {
    /// What it is.
    pub what: What,
    /// The bytes of the text.
    pub span: Range<usize>,
}

/// What a node is.
#[derive(Debug, Clone)]
pub enum What {
    /// A number, a text, true, false, null.
    Scalar(Value),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in order; keys are texts.
    Map(Vec<(Key, Node)>),
}

/// A key of a mapping.
#[derive(Debug, Clone)]
pub struct Key {
    /// Its text.
    pub text: String,
    /// The bytes of the text.
    pub span: Range<usize>,
}

impl Node {
    /// What to call it in a message.
    pub fn kind(&self) -> &'static str {
        match &self.what {
            What::Scalar(Value::Null) => "nothing",
            What::Scalar(Value::Bool(_)) => "true or false",
            What::Scalar(Value::Number(_)) => "a number",
            What::Scalar(_) => "a text",
            What::List(_) => "a list",
            What::Map(_) => "a mapping",
        }
    }
}

/// A mapping or list that is not complete yet.
enum Open {
    List(Vec<Node>, usize),
    Map(Vec<(Key, Node)>, Option<Key>, usize),
}

/// Reads a document; `None` for an empty one.
///
/// # Errors
/// It is not YAML, or uses what is not allowed.
pub fn read(text: &str) -> Result<Option<Node>, Box<Fault>> {
    let bytes = Offsets::new(text);
    let mut open: Vec<Open> = Vec::new();
    let mut root = None;
    let mut documents = 0;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let at = bytes.of(error.marker().line(), error.marker().col());
            Box::new(Fault::error(code::SYNTAX, at..at, format!("not YAML: {}", error.info())))
        })?;
        let span = bytes.span(&span);
        let here = span.clone();
        let refuse = |what: &str| {
            let message = format!("{what} cannot be used in a definition");
            Box::new(Fault::error(code::SYNTAX, here.clone(), message))
        };
        let node = match event {
            Event::DocumentStart(_) => {
                documents += 1;
                if documents > 1 {
                    return Err(refuse("a second document"));
                }
                continue;
            }
            Event::Scalar(text, style, anchor, tag) => {
                if anchor > 0 || tag.is_some() {
                    return Err(refuse("an anchor or a tag"));
                }
                Node { what: What::Scalar(scalar(&text, style)), span }
            }
            Event::SequenceStart(anchor, tag) | Event::MappingStart(anchor, tag)
                if anchor > 0 || tag.is_some() =>
            {
                return Err(refuse("an anchor or a tag"));
            }
            Event::SequenceStart(..) | Event::MappingStart(..) if open.len() >= DEEPEST => {
                return Err(refuse("nesting as deep as this"));
            }
            Event::SequenceStart(..) => {
                open.push(Open::List(Vec::new(), span.start));
                continue;
            }
            Event::MappingStart(..) => {
                open.push(Open::Map(Vec::new(), None, span.start));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::List(items, start)) => {
                    let end = items.last().map_or(span.end, |n| n.span.end.max(start));
                    Node { what: What::List(items), span: start..end }
                }
                Some(Open::Map(entries, _, start)) => {
                    let end = entries.last().map_or(span.end, |(_, n)| n.span.end.max(start));
                    Node { what: What::Map(entries), span: start..end }
                }
                None => continue,
            },
            Event::Alias(_) => return Err(refuse("an alias")),
            _ => continue,
        };
        match open.last_mut() {
            None => root = Some(node),
            Some(Open::List(items, _)) => items.push(node),
            Some(Open::Map(entries, key @ None, _)) => match node.what {
                What::Scalar(value) => {
                    let text = crate::expr::as_text(&value);
                    if let Some((first, _)) = entries.iter().find(|(k, _)| k.text == text) {
                        let message = format!("`{text}` is here twice");
                        let fault = Fault::error(code::SYNTAX, node.span, message);
                        return Err(Box::new(fault.related(first.span.clone(), "first here")));
                    }
                    *key = Some(Key { text, span: node.span });
                }
                _ => return Err(refuse("a key that is not a text")),
            },
            Some(Open::Map(entries, key, _)) => entries.extend(key.take().map(|key| (key, node))),
        }
    }
    Ok(root)
}

/// The core schema of YAML 1.2, without octal and hexadecimal numbers.
fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return Value::String(text.to_owned());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => number(text).map_or_else(|| Value::String(text.to_owned()), Value::Number),
    }
}

fn number(text: &str) -> Option<Number> {
    if !text.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+' || c == '.')
        || !text.contains(|c: char| c.is_ascii_digit())
    {
        return None;
    }
    if let Ok(whole) = text.parse::<i64>() {
        return Some(whole.into());
    }
    text.parse::<f64>().ok().and_then(Number::from_f64)
}

/// From lines and characters to bytes.
struct Offsets<'a> {
    text: &'a str,
    lines: Vec<usize>,
}

impl<'a> Offsets<'a> {
    fn new(text: &'a str) -> Self {
        let ends = text.match_indices('\n').map(|(at, _)| at + 1);
        Self { text, lines: std::iter::once(0).chain(ends).collect() }
    }

    /// `line` from 1, `column` from 0, in characters.
    fn of(&self, line: usize, column: usize) -> usize {
        let Some(start) = self.lines.get(line.saturating_sub(1)) else { return self.text.len() };
        let rest = self.text.get(*start..).unwrap_or_default();
        rest.char_indices().nth(column).map_or(self.text.len(), |(at, _)| start + at)
    }

    fn span(&self, span: &Span) -> Range<usize> {
        let start = self.of(span.start.line(), span.start.col());
        start..self.of(span.end.line(), span.end.col()).max(start)
    }
}

//! YAML 1.2 (core schema), one document, into a tree.

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, Tag};

use super::{Builder, Entry, MAX_DEPTH, Mark, NodeId, Number, Tree, Value};
use crate::fault::Fault;

pub fn parse(name: &str, text: &str) -> Result<Tree, Fault> {
    let mut reader =
        Reader { name, parser: Parser::new_from_str(text), builder: Builder::default(), anchors: Vec::new() };
    let root = reader.document()?;
    Ok(reader.builder.finish(root))
}

struct Reader<'a> {
    name: &'a str,
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    builder: Builder,
    /// The nodes of anchors, in the order of their ids; of those still being read there is none.
    anchors: Vec<Option<NodeId>>,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, Fault> {
        self.parser.next_event().transpose().map_err(|error: ScanError| {
            let what = format!("this is no YAML: {}", error.info());
            Fault::syntax(self.name, mark_of(error.marker()), &what)
        })
    }

    fn document(&mut self) -> Result<NodeId, Fault> {
        while let Some((event, span)) = self.next()? {
            match event {
                Event::StreamStart | Event::DocumentStart(_) | Event::Nothing => {}
                Event::StreamEnd | Event::DocumentEnd => break,
                other => {
                    let root = self.node(other, span, 0)?;
                    // Reads what follows, so that a fault there is found; a second document is not looked at.
                    while let Some((event, _)) = self.next()? {
                        if matches!(event, Event::DocumentStart(_)) {
                            break;
                        }
                    }
                    return Ok(root);
                }
            }
        }
        Err(Fault::syntax(self.name, Mark { line: 1, column: 1 }, "the document is empty"))
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<NodeId, Fault> {
        let mark = mark_of(&span.start);
        if depth > MAX_DEPTH {
            return Err(Fault::too_deep(self.name, mark));
        }
        match event {
            Event::Alias(anchor) => self.anchors.get(anchor).copied().flatten().ok_or_else(|| {
                Fault::syntax(self.name, mark, "this alias names nothing, or what it stands in itself")
            }),
            Event::Scalar(text, style, anchor, tag) => {
                let value = scalar(&text, style, tag.as_deref());
                let id = self.builder.push(mark, value);
                self.anchored(anchor, id);
                Ok(id)
            }
            Event::SequenceStart(anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.inner(mark)? {
                        (Event::SequenceEnd, _) => break,
                        (event, span) => items.push(self.node(event, span, depth + 1)?),
                    }
                }
                let id = self.builder.push(mark, Value::List(items));
                self.anchored(anchor, id);
                Ok(id)
            }
            Event::MappingStart(anchor, _) => {
                let entries = self.mapping(mark, depth)?;
                let id = self.builder.map(mark, entries);
                self.anchored(anchor, id);
                Ok(id)
            }
            _ => Err(Fault::syntax(self.name, mark, "this is no YAML that can be read")),
        }
    }

    fn mapping(&mut self, mark: Mark, depth: usize) -> Result<Vec<Entry>, Fault> {
        let mut entries = Vec::new();
        loop {
            let (event, span) = self.inner(mark)?;
            let mark = mark_of(&span.start);
            let key: Box<str> = match event {
                Event::MappingEnd => return Ok(entries),
                Event::Scalar(text, _, anchor, _) => {
                    let key: Box<str> = text.into();
                    if anchor > 0 {
                        let id = self.builder.push(mark, Value::Text(key.clone()));
                        self.anchored(anchor, id);
                    }
                    key
                }
                event => {
                    let id = self.node(event, span, depth + 1)?;
                    let Value::Text(key) = &self.builder.nodes[id.0 as usize].value else {
                        return Err(Fault::syntax(self.name, mark, "a key has to be a text"));
                    };
                    key.clone()
                }
            };
            let (event, span) = self.inner(mark)?;
            let value = self.node(event, span, depth + 1)?;
            if &*key == "<<" {
                self.merge(value, &mut entries);
            } else {
                entries.push(Entry { key, mark, value });
            }
        }
    }

    /// YAML 1.1's merge key: what the map has itself, wherever it stands, comes before what is merged.
    fn merge(&self, from: NodeId, entries: &mut Vec<Entry>) {
        let sources = match &self.builder.nodes[from.0 as usize].value {
            Value::List(items) => items.clone(),
            _ => vec![from],
        };
        let mut merged = Vec::new();
        for source in sources.iter().rev() {
            if let Value::Map(inherited) = &self.builder.nodes[source.0 as usize].value {
                merged.extend(inherited.iter().cloned());
            }
        }
        // The last of equal keys counts, so what is inherited goes to the front.
        entries.splice(0..0, merged);
    }

    fn inner(&mut self, start: Mark) -> Result<(Event<'a>, Span), Fault> {
        self.next()?.ok_or_else(|| Fault::syntax(self.name, start, "this is not closed"))
    }

    fn anchored(&mut self, anchor: usize, id: NodeId) {
        if anchor > 0 {
            if self.anchors.len() <= anchor {
                self.anchors.resize(anchor + 1, None);
            }
            self.anchors[anchor] = Some(id);
        }
    }
}

fn mark_of(marker: &Marker) -> Mark {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Mark { line: number(marker.line().max(1)), column: number(marker.col() + 1) }
}

/// The core schema (YAML 1.2.2, 10.3.2).
fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Value {
    let forced = tag.is_some_and(|tag| tag.suffix == "str");
    if style != ScalarStyle::Plain || forced {
        return Value::Text(text.into());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        other => match Number::parse(other) {
            Some(number) => Value::Number(number),
            None => Value::Text(other.into()),
        },
    }
}

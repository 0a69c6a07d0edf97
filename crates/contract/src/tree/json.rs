//! JSON (RFC 8259), strictly, into a tree.

use jsonc_parser::ast::Value as Ast;
use jsonc_parser::common::Ranged;
use jsonc_parser::errors::ParseErrorKind;
use jsonc_parser::{CollectOptions, CommentCollectionStrategy, ParseOptions, parse_to_ast};

use super::{Builder, Entry, MAX_DEPTH, Mark, NodeId, Number, Tree, Value};
use crate::fault::Fault;

/// Nothing of what other dialects allow.
const STRICT: ParseOptions = ParseOptions {
    allow_comments: false,
    allow_loose_object_property_names: false,
    allow_trailing_commas: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

pub fn parse(name: &str, text: &str) -> Result<Tree, Fault> {
    let collect = CollectOptions { comments: CommentCollectionStrategy::Off, tokens: false };
    let lines = Lines::of(text);
    let parsed = parse_to_ast(text, &collect, &STRICT).map_err(|error| {
        let mark = lines.mark(error.range().start);
        match error.kind() {
            ParseErrorKind::NestingDepthExceeded => Fault::too_deep(name, mark),
            kind => Fault::syntax(name, mark, &format!("this is no JSON: {kind}")),
        }
    })?;
    let Some(ast) = parsed.value else {
        return Err(Fault::syntax(name, Mark { line: 1, column: 1 }, "the document is empty"));
    };
    let mut reader = Reader { name, lines, builder: Builder::default() };
    let root = reader.node(&ast, 0)?;
    Ok(reader.builder.finish(root))
}

struct Reader<'a> {
    name: &'a str,
    lines: Lines<'a>,
    builder: Builder,
}

impl Reader<'_> {
    fn node(&mut self, ast: &Ast<'_>, depth: usize) -> Result<NodeId, Fault> {
        let mark = self.lines.mark(ast.range().start);
        if depth > MAX_DEPTH {
            return Err(Fault::too_deep(self.name, mark));
        }
        let value = match ast {
            Ast::NullKeyword(_) => Value::Null,
            Ast::BooleanLit(lit) => Value::Bool(lit.value),
            Ast::StringLit(lit) => Value::Text(lit.value.as_ref().into()),
            // What is out of every range is no bound that anything could meet: kept as it is written.
            Ast::NumberLit(lit) => match Number::parse(lit.value) {
                Some(number) => Value::Number(number),
                None => Value::Text(lit.value.into()),
            },
            Ast::Array(array) => {
                let items = array.elements.iter().map(|item| self.node(item, depth + 1));
                Value::List(items.collect::<Result<_, _>>()?)
            }
            Ast::Object(object) => {
                let mut entries = Vec::with_capacity(object.properties.len());
                for property in &object.properties {
                    let mark = self.lines.mark(property.range.start);
                    let value = self.node(&property.value, depth + 1)?;
                    entries.push(Entry { key: property.name.as_str().into(), mark, value });
                }
                return Ok(self.builder.map(mark, entries));
            }
        };
        Ok(self.builder.push(mark, value))
    }
}

/// Finds lines and columns of byte offsets.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        let after = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at + 1);
        Self { text, starts: std::iter::once(0).chain(after).collect() }
    }

    fn mark(&self, offset: usize) -> Mark {
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts[line.saturating_sub(1)];
        let before = self.text.get(start..offset).unwrap_or_default();
        // A minified document is one long line: columns there are bytes, which saves counting it over and over.
        let column = if before.len() > 4096 { before.len() } else { before.chars().count() };
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Mark { line: number(line), column: number(column + 1) }
    }
}

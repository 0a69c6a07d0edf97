//! Any message against a contract of every kind of rule, for fuzzing.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue};
use model::Operation;
use serde_json::{Value, json};

use super::book::Book;
use super::check::{self, Media, Seen};
use super::mask::masked;
use super::text::Written;

/// Shorter texts come about by chance.
const TELLING: usize = 12;

/// A target, header fields, an empty line, and a body, as a request and as an answer. Panics where a value is shown.
pub(crate) fn probe(bytes: &[u8]) {
    let mut lines = bytes.splitn(2, |byte| *byte == b'\n');
    let Ok(target) = PathAndQuery::try_from(lines.next().unwrap_or_default()) else { return };
    let mut headers = HeaderMap::new();
    let mut rest = lines.next().unwrap_or_default();
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let (line, after) = (&rest[..end], &rest[end + 1..]);
        rest = after;
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { break };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    let (query, path) = (target.query().unwrap_or_default(), target.path());
    let written = Written { template: "/orders/{id}", path, query, headers: &headers };
    let media = Media::of(&headers);
    let mut found = check::request(book(), 0, written, Seen::Whole(rest));
    found.extend(check::response(book(), 0, 200, false, &media, Seen::Whole(rest)));
    let Ok(body) = serde_json::from_slice::<Value>(rest) else { return };
    let shown = masked(&body).to_string();
    let told: String = found.iter().map(ToString::to_string).collect();
    let media = media.essence.unwrap_or_default();
    for value in values(&body).into_iter().filter(|value| !media.contains(value)) {
        assert!(!shown.contains(&value) && !told.contains(&value), "{value} is shown: {told} {shown}");
    }
}

/// Telling texts that are values and nothing else: no names of properties, no words of the contract.
fn values(body: &Value) -> BTreeSet<String> {
    let (mut values, mut names, mut todo) = (BTreeSet::new(), String::new(), vec![body]);
    while let Some(value) = todo.pop() {
        match value {
            Value::String(text) if text.len() >= TELLING => drop(values.insert(text.clone())),
            Value::Array(items) => todo.extend(items),
            Value::Object(fields) => {
                fields.keys().for_each(|name| names.push_str(name));
                todo.extend(fields.values());
            }
            _ => {}
        }
    }
    let contract = contract().to_string();
    let ours = |text: &String| {
        names.contains(text) || contract.contains(text) || text.contains(['<', '>', '"', ' ', '\\'])
    };
    values.retain(|text| !ours(text) && text.is_ascii());
    values
}

fn contract() -> Value {
    json!({
        "schemas": {
            "body": { "type": "object", "required": ["id"], "additionalProperties": false, "properties": {
                "id": { "$ref": "#/$defs/id" }, "mail": { "type": "string", "format": "email", "maxLength": 8 },
                "at": { "type": "string", "format": "date-time" }, "one": { "oneOf": [{ "$ref": "#/$defs/id" }, { "type": "array" }] },
                "kind": { "enum": ["a", "b"] }, "const": { "const": 1 }, "not": { "not": { "type": "string" } },
                "list": { "type": "array", "items": { "$ref": "#/$defs/body" }, "uniqueItems": true, "contains": { "type": "object" } },
                "map": { "propertyNames": { "maxLength": 2 }, "additionalProperties": { "type": "integer", "multipleOf": 3 } } } },
            "id": { "type": ["string", "integer"], "pattern": "^(a|b)*c$", "minimum": 1 },
            "ids": { "type": "array", "items": { "$ref": "#/$defs/id" }, "maxItems": 3 },
            "flag": { "type": ["boolean", "null"] },
        },
        "operations": { "PUT /orders/{id}": {
            "parameters": [
                { "name": "id", "place": "path", "required": true, "explode": false, "schema": "id" },
                { "name": "ids", "place": "query", "required": true, "explode": true, "schema": "ids" },
                { "name": "some", "place": "query", "required": false, "explode": false, "schema": "ids" },
                { "name": "x-flag", "place": "header", "required": false, "explode": false, "schema": "flag" },
                { "name": "session", "place": "cookie", "required": true, "explode": true, "schema": "id" },
            ],
            "body": { "required": true, "content": { "application/json": "body", "text/*": null } },
            "responses": { "2XX": { "*/*": "body" } },
        } },
    })
}

fn book() -> &'static Book {
    static BOOK: OnceLock<Book> = OnceLock::new();
    BOOK.get_or_init(|| {
        let name = "PUT /orders/{id}".to_owned();
        let operation = Operation { method: "PUT".to_owned(), path: "/orders/{id}".to_owned(), name };
        // What is written above is read.
        let shapes = serde_json::from_value(contract()).unwrap_or_default();
        let book = Book::new(shapes, &[operation]);
        book.prepare();
        book
    })
}

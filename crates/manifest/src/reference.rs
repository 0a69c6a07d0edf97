//! The list of keys as a JSON Schema for editors, and as the tables of `docs/manifest.md`.

use serde_json::{Map, Value, json};

use crate::keys::{self, Key, Kind, Table};

/// The JSON Schema (draft 7, which editors know) of `isles.toml`.
pub fn schema() -> Value {
    let mut schema = object(&keys::ROOT);
    schema.insert("$schema".into(), json!("http://json-schema.org/draft-07/schema#"));
    schema.insert("title".into(), json!("isles.toml"));
    Value::Object(schema)
}

/// The tables of the reference in its order: the title of each, and its keys as a Markdown table.
pub fn tables() -> Vec<(&'static str, String)> {
    keys::ALL.iter().map(|table| (table.title, markdown(table))).collect()
}

fn markdown(table: &Table) -> String {
    let mut out = format!("{}\n\n| key | takes | default | what |\n|---|---|---|---|\n", table.doc);
    for key in table.keys {
        let default = match key.default {
            Some(default) => format!("`{}`", written(key, default)),
            None if key.required => "**required**".to_owned(),
            None => key.otherwise.to_owned(),
        };
        let takes = key.kind.expected();
        out.push_str(&format!(
            "| `{}` | {takes}{} | {default} | {} |\n",
            key.name,
            range(&key.kind),
            key.doc
        ));
    }
    out
}

/// A default as it is written in TOML.
fn written(key: &Key, default: &str) -> String {
    let bare =
        |kind: &Kind| matches!(kind, Kind::Boolean | Kind::Integer(..) | Kind::Number(..) | Kind::List(_));
    let plain = match &key.kind {
        Kind::AnyOf(kinds) => default.starts_with(|c: char| c.is_ascii_digit()) && kinds.iter().any(bare),
        kind => bare(kind),
    };
    if plain { default.to_owned() } else { format!("\"{default}\"") }
}

fn range(kind: &Kind) -> String {
    use crate::quantity::{show_duration, show_size};
    let millis = |ms: u64| show_duration(std::time::Duration::from_millis(ms));
    match kind {
        Kind::Integer(min, max) => format!(", {min} to {max}"),
        Kind::Number(min, max) => format!(", {min} to {max}"),
        Kind::Duration(min, max) => format!(", {} to {}", millis(*min), millis(*max)),
        Kind::Size(min, _) => format!(", at least {}", show_size(*min)),
        Kind::List(inner) => range(inner),
        Kind::AnyOf(kinds) => kinds.iter().map(range).collect(),
        _ => String::new(),
    }
}

fn object(table: &Table) -> Map<String, Value> {
    let properties: Map<String, Value> =
        table.keys.iter().map(|key| (key.name.to_owned(), property(key))).collect();
    let required: Vec<&str> = table.keys.iter().filter(|k| k.required).map(|k| k.name).collect();
    let mut object = Map::new();
    object.insert("type".into(), json!("object"));
    object.insert("description".into(), json!(table.doc));
    object.insert("properties".into(), Value::Object(properties));
    if !required.is_empty() {
        object.insert("required".into(), json!(required));
    }
    object.insert("additionalProperties".into(), json!(false));
    object
}

fn property(key: &Key) -> Value {
    let mut value = kind(&key.kind);
    if let Some(map) = value.as_object_mut() {
        let otherwise =
            if key.otherwise.is_empty() { String::new() } else { format!(" Default: {}.", key.otherwise) };
        map.insert("description".into(), json!(format!("{}{otherwise}", key.doc)));
        if let Some(default) = key.default {
            let written = written(key, default);
            map.insert("default".into(), serde_json::from_str(&written).unwrap_or_else(|_| json!(default)));
        }
    }
    value
}

fn kind(kind_of: &Kind) -> Value {
    let text = |pattern: &str| json!({ "type": "string", "pattern": pattern });
    match kind_of {
        Kind::Text | Kind::Template => json!({ "type": "string" }),
        Kind::Path => json!({ "type": "string", "minLength": 1 }),
        Kind::Name => text("^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$"),
        Kind::UrlPath => text("^/"),
        Kind::Url => text("^https?://"),
        Kind::Address => text(":[0-9]+$"),
        Kind::Boolean => json!({ "type": "boolean" }),
        Kind::Rate => text("^ *[0-9]+ */ *[smh] *$"),
        Kind::Choice(choices) => json!({ "type": "string", "enum": choices }),
        Kind::Integer(min, max) => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::Number(min, max) => json!({ "type": "number", "minimum": min, "maximum": max }),
        Kind::Duration(..) => text("^ *[0-9]+([.][0-9]+)? *(ms|s|m|h) *$"),
        Kind::Size(..) => text("^ *[0-9]+([.][0-9]+)? *([kKMGT]?B|[KMGT]iB) *$"),
        Kind::Words => json!({ "anyOf": [
            { "type": "string", "minLength": 1 },
            { "type": "array", "items": { "type": "string" }, "minItems": 1 },
        ] }),
        Kind::List(inner) => json!({ "type": "array", "items": kind(inner) }),
        Kind::Table(table) => Value::Object(object(table)),
        Kind::Tables(table) => {
            json!({ "type": "object", "additionalProperties": Value::Object(object(table)) })
        }
        Kind::Map(inner) => json!({ "type": "object", "additionalProperties": kind(inner) }),
        Kind::AnyOf(kinds) => json!({ "anyOf": kinds.iter().map(kind).collect::<Vec<_>>() }),
    }
}

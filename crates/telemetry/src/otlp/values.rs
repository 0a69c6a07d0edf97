//! Attributes: bounded in number and length, without what looks like a secret.

use std::collections::BTreeMap;

use model::secret::{self, MASKED};
use model::span::Value;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};

/// Attributes of one thing; those beyond are left out (the default of OpenTelemetry's SDKs).
const MOST_ATTRIBUTES: usize = 128;
/// The longest key, and the longest value, in bytes.
const MOST_KEY: usize = 256;
const MOST_TEXT: usize = 4096;
/// All attributes of one thing together, in bytes; those beyond are left out.
const MOST_ALL: usize = 16 * 1024;
/// Values within values are looked into no deeper.
const MOST_DEPTH: usize = 6;

pub fn attributes(list: Vec<KeyValue>) -> BTreeMap<String, Value> {
    let mut out = BTreeMap::new();
    let mut room = MOST_ALL;
    for pair in list.into_iter().take(MOST_ATTRIBUTES) {
        let Some(any) = pair.value.and_then(|value| value.value) else { continue };
        let value = if hides(&pair.key, &any) { Value::Text(MASKED.to_owned()) } else { value(any) };
        let size = pair.key.len().min(MOST_KEY) + if let Value::Text(text) = &value { text.len() } else { 8 };
        let Some(left) = room.checked_sub(size) else { break };
        room = left;
        out.insert(cut(&pair.key, MOST_KEY), value);
    }
    out
}

/// Whether the value of an attribute is likely to be a secret. A number of tokens, as language models have them, is none.
fn hides(key: &str, value: &Any) -> bool {
    let counts = matches!(value, Any::IntValue(_) | Any::DoubleValue(_) | Any::BoolValue(_));
    if counts {
        secret::is_named(&key.to_ascii_lowercase().replace("token", ""))
    } else {
        secret::is_named(key)
    }
}

/// The text of an attribute.
pub fn text_of<'v>(list: &'v [KeyValue], key: &str) -> Option<&'v str> {
    match list.iter().find(|pair| pair.key == key)?.value.as_ref()?.value.as_ref()? {
        Any::StringValue(text) => Some(text),
        _ => None,
    }
}

pub fn value(any: Any) -> Value {
    match any {
        Any::BoolValue(yes) => Value::Bool(yes),
        Any::IntValue(number) => Value::Int(number),
        Any::StringValue(text) => Value::Text(cut(&text, MOST_TEXT)),
        other => Value::Text(cut(&json(other, 0).to_string(), MOST_TEXT)),
    }
}

/// What is no plain value, as JSON.
fn json(any: Any, depth: usize) -> serde_json::Value {
    if depth > MOST_DEPTH {
        return "…".into();
    }
    let inner = |any: AnyValue| any.value.map_or(serde_json::Value::Null, |any| json(any, depth + 1));
    match any {
        Any::BoolValue(yes) => yes.into(),
        Any::IntValue(number) => number.into(),
        Any::DoubleValue(number) => number.into(),
        Any::StringValue(text) => cut(&text, MOST_TEXT).into(),
        Any::BytesValue(bytes) => format!("{} bytes", bytes.len()).into(),
        Any::ArrayValue(list) => list.values.into_iter().take(MOST_ATTRIBUTES).map(inner).collect(),
        Any::KvlistValue(list) => {
            let pairs = list.values.into_iter().take(MOST_ATTRIBUTES);
            pairs
                .map(|pair| {
                    let any = pair.value.and_then(|value| value.value);
                    let value = match any {
                        Some(any) if hides(&pair.key, &any) => MASKED.into(),
                        any => inner(AnyValue { value: any }),
                    };
                    (cut(&pair.key, MOST_KEY), value)
                })
                .collect()
        }
        // A reference into a table of strings that only profiles have.
        _ => serde_json::Value::Null,
    }
}

/// Not more of a text than `most` bytes.
pub fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(most)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::common::v1::{ArrayValue, KeyValueList};

    fn pair(key: &str, any: Any) -> KeyValue {
        KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(any) }), ..KeyValue::default() }
    }

    #[test]
    fn values_are_cut_to_size_and_secrets_masked() {
        let text = |text: &str| Any::StringValue(text.to_owned());
        let list = |values: Vec<Any>| {
            let values = values.into_iter().map(|any| AnyValue { value: Some(any) }).collect();
            Any::ArrayValue(ArrayValue { values })
        };
        let map = Any::KvlistValue(KeyValueList {
            values: vec![pair("a", Any::IntValue(1)), pair("Password", text("hunter2"))],
        });
        let deep = (0..50).fold(text("inside"), |inner, _| list(vec![inner]));
        let taken = attributes(vec![
            pair("plain", text("x")),
            pair("http.request.header.authorization", text("Bearer abc")),
            pair("DB_PASSWORD", text("hunter2")),
            pair("pin.password", Any::IntValue(1234)),
            pair("llm.token_count", Any::IntValue(17)),
            pair("llm.token", text("abc")),
            pair("ratio", Any::DoubleValue(0.5)),
            pair("list", list(vec![text("a"), Any::BoolValue(true)])),
            pair("map", map),
            pair("bytes", Any::BytesValue(vec![1, 2, 3])),
            pair("long", text(&"é".repeat(10_000))),
            pair("deep", deep),
            KeyValue { key: "none".to_owned(), ..KeyValue::default() },
        ]);
        let shown = |key: &str| taken[key].to_string();
        for (key, expected) in [
            ("plain", "x"),
            ("http.request.header.authorization", MASKED),
            ("DB_PASSWORD", MASKED),
            ("pin.password", MASKED),
            ("llm.token_count", "17"),
            ("llm.token", MASKED),
            ("ratio", "0.5"),
            ("list", r#"["a",true]"#),
            ("map", r#"{"Password":"•••","a":1}"#),
            ("bytes", "\"3 bytes\""),
            ("deep", r#"[[[[[[["…"]]]]]]]"#),
        ] {
            assert_eq!(shown(key), expected, "{key}");
        }
        assert!(shown("long").len() <= MOST_TEXT + 3 && !taken.contains_key("none"));
        let many = (0..1000).map(|n| pair(&format!("k{n}"), Any::IntValue(n))).collect();
        assert_eq!(attributes(many).len(), MOST_ATTRIBUTES);
        let large = (0..100).map(|n| pair(&format!("k{n}"), text(&"x".repeat(4096)))).collect();
        assert_eq!(attributes(large).len(), 3, "not more than {MOST_ALL} bytes together");
    }
}

//! Values with everything taken out that somebody said: names of properties, types and lengths stay.

use serde_json::{Map, Value, json};

/// So much of a value is shown.
const DEPTH: usize = 8;
const PROPERTIES: usize = 40;
const ITEMS: usize = 3;
/// The longest name of a property, in characters.
const NAME: usize = 60;
/// In bytes, as JSON.
const LONGEST: usize = 1024;

/// The value without what it says.
pub(super) fn masked(value: &Value) -> Value {
    // As deep as it can be shown; at the last depth that is a word.
    let fits = |shown: &Value| shown.to_string().len() <= LONGEST;
    (0..DEPTH).map(|depth| within(value, depth)).find(fits).unwrap_or_else(|| within(value, DEPTH))
}

fn within(value: &Value, depth: usize) -> Value {
    match value {
        Value::Null => Value::Null,
        Value::Bool(_) => json!("<boolean>"),
        Value::Number(number) => json!(if number.is_f64() { "<number>" } else { "<integer>" }),
        Value::String(text) => json!(format!("<string of {}>", text.chars().count())),
        Value::Array(items) if depth >= DEPTH => json!(format!("<list of {}>", items.len())),
        Value::Object(fields) if depth >= DEPTH => json!(format!("<object of {}>", fields.len())),
        Value::Array(items) => {
            let mut shown: Vec<Value> =
                items.iter().take(ITEMS).map(|item| within(item, depth + 1)).collect();
            shown.extend(more(items.len(), ITEMS));
            Value::Array(shown)
        }
        Value::Object(fields) => {
            let shown =
                fields.iter().take(PROPERTIES).map(|(name, value)| (short(name), within(value, depth + 1)));
            let rest = more(fields.len(), PROPERTIES).map(|more| ("…".to_owned(), more));
            Value::Object(shown.chain(rest).collect::<Map<_, _>>())
        }
    }
}

fn short(name: &str) -> String {
    name.chars().take(NAME).collect()
}

fn more(all: usize, shown: usize) -> Option<Value> {
    (all > shown).then(|| json!(format!("<{} more>", all - shown)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_types_and_lengths_stay_and_nothing_else() {
        let value = json!({
            "email": "ada@example.com", "age": 36, "score": 1.5, "vip": true, "note": null,
            "items": [{ "sku": "A-1" }, 2, [], "x", "y"],
        });
        let shown = masked(&value);
        assert_eq!(
            shown,
            json!({
                "email": "<string of 15>", "age": "<integer>", "score": "<number>", "vip": "<boolean>", "note": null,
                "items": [{ "sku": "<string of 3>" }, "<integer>", [], "<2 more>"],
            })
        );
        let deep = (0..100).fold(json!("secret"), |inner, _| json!({ "a": inner }));
        let wide: Map<String, Value> =
            (0..5000).map(|n| (format!("a-rather-long-name-{n}"), deep.clone())).collect();
        let long = json!({ "a".repeat(50_000): "secret" });
        for large in [deep, Value::Object(wide), long] {
            let shown = masked(&large).to_string();
            assert!(shown.len() <= LONGEST && !shown.contains("secret"), "{shown}");
        }
    }
}

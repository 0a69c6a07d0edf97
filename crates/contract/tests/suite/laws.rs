//! What holds for every contract.

use contract::{Report, Severity, Verdict};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::support::diff;

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!({"type": "string"})),
        Just(json!({"type": "string", "nullable": true})),
        Just(json!({"type": "boolean", "default": true})),
        (0..4u8).prop_map(|n| json!({"type": "string", "maxLength": n + 1})),
        (0..4i8).prop_map(|n| json!({"type": "integer", "minimum": n - 2, "format": "int32"})),
        (0..4i8).prop_map(|n| json!({"type": "number", "maximum": n, "exclusiveMaximum": true})),
        proptest::sample::subsequence(vec!["a", "b", "c"], 1..=3)
            .prop_map(|v| json!({"type": "string", "enum": v})),
        (0..3u8).prop_map(|n| json!({"$ref": format!("#/components/schemas/S{n}")})),
    ]
}

fn schema() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(3, 16, 3, |inner| {
        let names = proptest::sample::subsequence(vec!["a", "b", "c"], 0..=3);
        prop_oneof![
            (proptest::collection::vec(inner.clone(), 3), names.clone(), names).prop_map(
                |(s, has, required)| {
                    let properties: Map<String, Value> =
                        has.iter().zip(s).map(|(name, schema)| ((*name).to_owned(), schema)).collect();
                    let required: Vec<_> = required.into_iter().filter(|r| has.contains(r)).collect();
                    json!({"type": "object", "properties": properties, "required": required})
                }
            ),
            inner.clone().prop_map(|s| json!({"type": "array", "items": s})),
            proptest::collection::vec(inner.clone(), 1..3).prop_map(|s| json!({"allOf": s})),
            proptest::collection::vec(inner, 1..4).prop_map(|s| json!({"anyOf": s})),
        ]
    })
}

/// Components refer only to those after them, so that they can be written out.
fn document() -> impl Strategy<Value = Value> {
    let operation = (schema(), schema(), leaf(), any::<bool>());
    (proptest::collection::vec(operation, 1..3), schema(), schema(), schema()).prop_map(
        |(operations, a, b, c)| {
            let mut paths = Map::new();
            for (at, (sent, received, query, required)) in operations.into_iter().enumerate() {
                let body = |schema: Value| json!({"content": {"application/json": {"schema": schema}}});
                let operation = json!({
                    "parameters": [{"name": "q", "in": "query", "required": required, "schema": query}],
                    "requestBody": body(sent),
                    "responses": {"200": body(received)},
                });
                paths.insert(format!("/p{at}"), json!({"post": operation}));
            }
            let schemas = json!({"S0": after(a, 0), "S1": after(b, 1), "S2": after(c, 2)});
            json!({"openapi": "3.0.3", "paths": paths, "components": {"schemas": schemas}})
        },
    )
}

fn after(value: Value, at: usize) -> Value {
    rewrite(value, &|v| match v.get("$ref").and_then(Value::as_str) {
        Some(name) if (0..=at).any(|n| name.ends_with(&format!("S{n}"))) => json!({"type": "boolean"}),
        _ => v,
    })
}

/// Rewrites every map, from inside.
fn rewrite(value: Value, change: &dyn Fn(Value) -> Value) -> Value {
    match value {
        Value::Object(map) => {
            change(Value::Object(map.into_iter().map(|(k, v)| (k, rewrite(v, change))).collect()))
        }
        Value::Array(items) => Value::Array(items.into_iter().map(|v| rewrite(v, change)).collect()),
        other => other,
    }
}

/// Every reference written out.
fn inlined(document: &Value) -> Value {
    let mut document = document.clone();
    for _ in 0..4 {
        let whole = document.clone();
        document = rewrite(document, &|v| match v.get("$ref").and_then(Value::as_str) {
            Some(reference) => whole.pointer(&reference[1..]).cloned().unwrap_or(Value::Null),
            None => v,
        });
    }
    document
}

/// The same in OpenAPI 3.1.
fn modern(document: &Value) -> Value {
    let mut document = rewrite(document.clone(), &|mut v| {
        if v.get("nullable") == Some(&json!(true)) && v["type"].is_string() {
            v["type"] = json!([v["type"], "null"]);
            v.as_object_mut().unwrap().remove("nullable");
        }
        if v.get("exclusiveMaximum") == Some(&json!(true)) {
            v["exclusiveMaximum"] = v["maximum"].clone();
            v.as_object_mut().unwrap().remove("maximum");
        }
        v
    });
    document["openapi"] = json!("3.1.0");
    document
}

/// JSON with the keys of every map the other way round.
fn reversed(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let entries = map.iter().rev().map(|(k, v)| format!("{}:\n {}", json!(k), reversed(v)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(reversed).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

fn outcome(report: &Report) -> Vec<(String, Severity, String)> {
    let mut out: Vec<_> =
        report.changes.iter().map(|c| (c.rule.clone(), c.severity, c.location.clone())).collect();
    out.sort();
    out
}

/// All that is told, but for where it stands.
fn told(reports: &[Report]) -> Vec<(Option<String>, String, Severity, String, String)> {
    let changes = reports.iter().flat_map(|r| &r.changes);
    let mut out: Vec<_> = changes
        .map(|c| {
            let operation = c.operation.as_ref().map(|o| o.key.clone());
            (operation, c.rule.clone(), c.severity, c.location.clone(), c.sentence.clone())
        })
        .collect();
    out.sort();
    out
}

/// A document with only one of its paths.
fn only(document: &Value, path: &str) -> String {
    let mut document = document.clone();
    document["paths"].as_object_mut().unwrap().retain(|name, _| name == path);
    document.to_string()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn nothing_differs_from_itself_in_other_words(a in document()) {
        let text = a.to_string();
        for other in [text.clone(), reversed(&a), serde_yaml_ng::to_string(&a).unwrap(), inlined(&a).to_string(), modern(&a).to_string()] {
            for report in [diff(&text, &other), diff(&other, &text)] {
                prop_assert_eq!(report.verdict, Verdict::Same, "{} {:#?}", &other, report.changes);
            }
        }
    }

    #[test]
    fn words_do_not_change_a_verdict((a, b) in (document(), document())) {
        let plain = diff(&a.to_string(), &b.to_string());
        for (x, y) in [
            (reversed(&a), serde_yaml_ng::to_string(&b).unwrap()),
            (modern(&a).to_string(), b.to_string()),
            (a.to_string(), modern(&b).to_string()),
        ] {
            prop_assert_eq!(outcome(&plain), outcome(&diff(&x, &y)));
        }
    }

    #[test]
    fn there_and_back((a, b) in (document(), document())) {
        let (there, back) = (diff(&a.to_string(), &b.to_string()), diff(&b.to_string(), &a.to_string()));
        prop_assert_eq!(there.verdict == Verdict::Same, back.verdict == Verdict::Same);
        // A value may become a list of such values, not the other way: its items are compared in one direction only.
        let listed = |report: &Report| report.changes.iter().any(|c| c.rule.ends_with("-list"));
        prop_assume!(!listed(&there) && !listed(&back));
        let count = |report: &Report, what: &str| report.changes.iter().filter(|c| c.rule.ends_with(what)).count();
        for (one, other) in [("operation-added", "operation-removed"), ("-increased", "-decreased"), ("request-parameter-became-required", "request-parameter-became-optional")] {
            prop_assert_eq!(count(&there, one), count(&back, other), "{}", one);
        }
    }

    /// What was found on the way of one operation is used again for others, so it must not depend on that way.
    #[test]
    fn what_is_told_of_an_operation_does_not_depend_on_others((a, b) in (document(), document())) {
        let paths: std::collections::BTreeSet<String> = [&a, &b].iter().flat_map(|d| d["paths"].as_object().unwrap().keys().cloned()).collect();
        let each: Vec<Report> = paths.iter().map(|path| diff(&only(&a, path), &only(&b, path))).collect();
        prop_assert_eq!(told(&[diff(&a.to_string(), &b.to_string())]), told(&each));
    }
}

/// How a schema is named in XML matters only where it is sent as XML: that nothing was told of it elsewhere says nothing.
#[test]
fn what_is_told_of_a_schema_depends_on_where_it_stands() {
    let document = |name: &str| {
        let path = |media: &str| {
            let content = json!({media: {"schema": {"$ref": "#/components/schemas/S"}}});
            json!({"get": {"responses": {"200": {"description": "", "content": content}}}})
        };
        let paths = json!({"/a": path("application/x-www-form-urlencoded"), "/b": path("application/xml"), "/c": path("application/json")});
        let schemas = json!({"S": {"type": "object", "xml": {"name": name}}});
        json!({"openapi": "3.0.3", "paths": paths, "components": {"schemas": schemas}}).to_string()
    };
    let report = diff(&document("old"), &document("new"));
    let told: Vec<_> = report.changes.iter().map(|c| c.operation.as_ref().unwrap().key.as_str()).collect();
    assert_eq!(told, ["GET /b"], "{:#?}", report.changes);
}

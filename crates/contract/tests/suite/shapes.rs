//! What real requests and answers are held to says what the contract says.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use model::shapes::{ParameterPlace, Shapes};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// The shapes of a document.
fn shapes(document: &Value) -> Shapes {
    let files = HashMap::from([(PathBuf::from("a.json"), document.to_string())]);
    contract::load_from(&files, Path::new("a.json")).unwrap().shapes().unwrap()
}

/// A document in which this is what is sent, and what comes back.
fn document(version: &str, schema: &Value, components: &Value) -> Value {
    let content = json!({ "application/json": { "schema": schema } });
    let operation = json!({
        "requestBody": { "content": content }, "responses": { "200": { "description": "d", "content": content } },
    });
    json!({
        "openapi": version, "info": { "title": "t", "version": "1" }, "paths": { "/a": { "post": operation } },
        "components": { "schemas": components },
    })
}

fn validator(schema: &Value) -> jsonschema::Validator {
    jsonschema::options().with_draft(jsonschema::Draft::Draft202012).build(schema).unwrap()
}

/// What is said of the body of a request, or of an answer, as one schema.
fn written(shapes: &Shapes, request: bool) -> Value {
    let shape = &shapes.operations["POST /a"];
    let content = if request { &shape.body.as_ref().unwrap().content } else { &shape.responses["200"] };
    let key = content["application/json"].as_ref().unwrap();
    json!({ "$ref": format!("#/$defs/{key}"), "$defs": shapes.schemas })
}

fn accepts(document: &Value, request: bool, value: &Value) -> bool {
    validator(&written(&shapes(document), request)).is_valid(value)
}

#[test]
fn each_dialect_is_said_in_the_words_of_json_schema() {
    let pet = json!({ "type": "object", "required": ["id", "secret", "name"], "properties": {
        "id": { "type": "integer", "readOnly": true }, "secret": { "type": "string", "writeOnly": true },
        "name": { "$ref": "#/components/schemas/Name" } } });
    let old = [
        (json!({ "type": "string", "nullable": true }), json!(null), true),
        (json!({ "type": "integer", "minimum": 1, "exclusiveMinimum": true }), json!(1), false),
        (json!({ "type": "integer", "minimum": 1, "exclusiveMinimum": true }), json!(2), true),
        (json!({ "nullable": true, "allOf": [{ "$ref": "#/components/schemas/Name" }] }), json!(null), true),
        (json!({ "$ref": "#/components/schemas/Name", "maxLength": 1 }), json!("ab"), true),
        (
            json!({ "type": "array", "items": { "$ref": "#/components/schemas/Node" } }),
            json!([{ "next": { "next": 1 } }]),
            false,
        ),
        (
            json!({ "type": "array", "items": { "$ref": "#/components/schemas/Node" } }),
            json!([{ "next": { "next": null } }]),
            true,
        ),
    ];
    let new = [
        (json!({ "type": ["string", "null"] }), json!(null), true),
        (json!({ "exclusiveMinimum": 1 }), json!(1), false),
        (json!({ "$ref": "#/components/schemas/Name", "maxLength": 1 }), json!("ab"), false),
        (json!({ "const": "a" }), json!("b"), false),
        (
            json!({ "type": "array", "prefixItems": [{ "type": "string" }], "items": false }),
            json!(["a", 1]),
            false,
        ),
        (json!({ "if": { "required": ["a"] }, "then": { "required": ["b"] } }), json!({ "a": 1 }), false),
        (json!({ "oneOf": [{ "type": "integer" }, { "type": "number" }] }), json!(1), false),
        (
            json!({ "oneOf": [{ "type": "object", "required": ["a"] }, { "type": "array" }, { "type": "null" }] }),
            json!(null),
            true,
        ),
        (
            json!({ "type": "object", "unevaluatedProperties": false, "anyOf": [{ "properties": { "a": true } }, { "required": ["z"] }] }),
            json!({ "a": 1 }),
            true,
        ),
        (json!({ "not": { "type": "string" } }), json!("a"), false),
        (json!({ "type": "file" }), json!(1), true),
        (json!({ "$ref": "#/components/schemas/Gone" }), json!(1), true),
        (json!({ "not": { "$ref": "#/components/schemas/Gone" } }), json!(1), true),
    ];
    let components = json!({
        "Name": { "type": "string" },
        "Node": { "type": "object", "properties": { "next": { "nullable": true, "type": ["object", "null"], "allOf": [{ "$ref": "#/components/schemas/Node" }] } } },
    });
    let of_old = json!({
        "Name": { "type": "string" },
        "Node": { "type": "object", "properties": { "next": { "nullable": true, "allOf": [{ "$ref": "#/components/schemas/Node" }] } } },
    });
    for (version, components, cases) in [("3.0.3", &of_old, &old[..]), ("3.1.0", &components, &new[..])] {
        for (schema, value, fits) in cases {
            let document = document(version, schema, components);
            assert_eq!(accepts(&document, true, value), *fits, "{version}: {schema} and {value}");
        }
        // What only one side says is asked of that side alone.
        let document = document(version, &pet, components);
        for (request, value, fits) in [
            (true, json!({ "secret": "s", "name": "n" }), true),
            (true, json!({ "id": 1, "name": "n" }), false),
            (false, json!({ "id": 1, "name": "n" }), true),
            (false, json!({ "secret": "s", "name": "n" }), false),
        ] {
            assert_eq!(accepts(&document, request, &value), fits, "{version}: {request} {value}");
        }
    }
}

#[test]
fn parameters_and_media_types_are_told_as_they_are_written() {
    let parameter = |name: &str, more: Value| {
        let mut all = json!({ "name": name, "in": "query", "schema": { "type": "array", "items": { "type": "integer" } } });
        all.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        all
    };
    let json_of = |kind: &str| json!({ "schema": { "type": kind } });
    let document = json!({ "openapi": "3.1.0", "paths": { "/a/{id}": {
        "parameters": [{ "name": "id", "in": "path", "required": true, "schema": { "type": "integer" } }],
        "put": {
            "parameters": [
                parameter("plain", json!({})), parameter("commas", json!({ "explode": false })),
                parameter("deep", json!({ "style": "deepObject" })), parameter("must", json!({ "required": true })),
            ],
            "requestBody": { "required": true, "content": {
                "application/json; v=1": json_of("string"), "application/json; v=2": json_of("integer"), "Text/*": {} } },
            "responses": { "2xx": { "content": { "application/json": json_of("null") } }, "default": {} },
        },
    } }, "webhooks": { "told": { "post": {} } } });
    let shapes = shapes(&document);
    assert_eq!(shapes.operations.keys().collect::<Vec<_>>(), ["PUT /a/{id}"], "what a consumer can call");
    let shape = &shapes.operations["PUT /a/{id}"];
    let told: Vec<_> = shape
        .parameters
        .iter()
        .map(|p| (p.name.as_str(), p.place, p.required, p.explode, p.schema.is_some()))
        .collect();
    assert_eq!(
        told,
        [
            ("plain", ParameterPlace::Query, false, true, true),
            ("commas", ParameterPlace::Query, false, false, true),
            ("deep", ParameterPlace::Query, false, false, false),
            ("must", ParameterPlace::Query, true, true, true),
            ("id", ParameterPlace::Path, true, false, true),
        ]
    );
    let body = shape.body.as_ref().unwrap();
    let content: Vec<_> =
        body.content.iter().map(|(media, schema)| (media.as_str(), schema.is_some())).collect();
    assert_eq!((body.required, content), (true, vec![("application/json", false), ("text/*", false)]));
    assert_eq!(shape.responses.keys().collect::<Vec<_>>(), ["2XX", "default"]);
    let read: Shapes = serde_json::from_str(&serde_json::to_string(&shapes).unwrap()).unwrap();
    assert_eq!(read, shapes, "as a file");
}

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        proptest::sample::subsequence(
            vec!["string", "integer", "number", "boolean", "null", "array", "object"],
            1..=3
        )
        .prop_map(|types| json!({ "type": types })),
        (0..3u8, 0..3u8)
            .prop_map(|(low, more)| json!({ "type": "integer", "minimum": low, "maximum": low + more })),
        (0..3u8).prop_map(|n| json!({ "type": "string", "minLength": n, "pattern": "^[ab]*$" })),
        proptest::sample::subsequence(vec![json!("a"), json!(1), json!(true), json!(null), json!([])], 1..=3)
            .prop_map(|values| json!({ "enum": values })),
        Just(json!({ "multipleOf": 2 })),
        Just(json!({ "uniqueItems": true, "maxItems": 2 })),
        Just(json!({ "$ref": "#/components/schemas/Node" })),
        Just(json!({ "$ref": "#/components/schemas/Word", "maxLength": 1 })),
        Just(json!({})),
    ]
}

fn schema() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(3, 12, 3, |inner| {
        let some = || proptest::collection::vec(inner.clone(), 1..=3);
        prop_oneof![
            (some(), any::<bool>(), any::<bool>()).prop_map(|(s, required, closed)| {
                let properties: Map<String, Value> =
                    ["a", "b", "c"].iter().zip(s).map(|(name, s)| ((*name).to_owned(), s)).collect();
                let mut out = json!({ "type": "object", "properties": properties });
                if required {
                    out["required"] = json!(["a"]);
                }
                if closed {
                    out["additionalProperties"] = json!(false);
                }
                out
            }),
            inner.clone().prop_map(|s| json!({ "items": s, "minItems": 1 })),
            some().prop_map(|s| json!({ "allOf": s })),
            some().prop_map(|s| json!({ "anyOf": s })),
            some().prop_map(|s| json!({ "oneOf": s })),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| json!({ "if": a, "then": b })),
            inner.clone().prop_map(|s| json!({ "additionalProperties": s })),
        ]
    })
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        Just(json!(true)),
        (-1..4i8).prop_map(|n| json!(n)),
        Just(json!(1.5)),
        "[abc]{0,3}".prop_map(Value::String),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
            proptest::collection::vec(inner, 0..=3).prop_map(|v| ["a", "b", "next"]
                .iter()
                .map(|n| (*n).to_owned())
                .zip(v)
                .collect::<Map<_, _>>()
                .into()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// What the contract allows is never called wrong.
    #[test]
    fn no_value_that_fits_the_contract_is_refused(schema in schema(), values in proptest::collection::vec(value(), 8)) {
        let components = json!({
            "Node": { "type": "object", "properties": { "next": { "$ref": "#/components/schemas/Node" } } },
            "Word": { "type": "string" },
        });
        let document = document("3.1.0", &schema, &components);
        let own = json!({ "allOf": [schema], "components": { "schemas": components } });
        let (own, ours) = (validator(&own), validator(&written(&shapes(&document), false)));
        for value in values {
            if own.is_valid(&value) {
                let error = ours.validate(&value).map_err(|e| e.to_string());
                prop_assert!(error.is_ok(), "{} and {value}: {error:?}", document["paths"]);
            }
        }
    }
}

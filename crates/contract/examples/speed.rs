//! How long it takes to read and compare two contracts of about a megabyte each:
//! `cargo run --release -p contract --example speed`.

use std::fmt::Write;
use std::time::Instant;

/// 150 resources of five operations, each with a schema of its own that refers to the next one; `ring` of them make a ring.
fn api(ring: usize) -> serde_json::Value {
    let mut paths = serde_json::Map::new();
    let mut schemas = serde_json::Map::new();
    for at in 0..150 {
        let reference = serde_json::json!({"$ref": format!("#/components/schemas/R{at}")});
        let content = serde_json::json!({"application/json": {"schema": reference}});
        let operation = |name: &str| {
            serde_json::json!({
                "operationId": format!("{name}{at}"),
                "description": "A description that is about as long as descriptions in real contracts are, which is one or two lines. ".repeat(4),
                "parameters": [{"name": "limit", "in": "query", "schema": {"type": "integer", "maximum": 100}}],
                "requestBody": {"content": content},
                "responses": {"200": {"description": "ok", "content": content}, "404": {"description": "none"}},
            })
        };
        paths.insert(
            format!("/r{at}"),
            serde_json::json!({"get": operation("list"), "post": operation("add")}),
        );
        let one = serde_json::json!({"get": operation("get"), "put": operation("put"), "delete": operation("delete")});
        paths.insert(format!("/r{at}/{{id}}"), one);
        let mut properties = serde_json::Map::new();
        for property in 0..12 {
            let mut name = String::new();
            let _ = write!(name, "property{property}");
            properties.insert(name, serde_json::json!({"type": "string", "maxLength": 100, "description": "What it is, in a line of text."}));
        }
        properties.insert(
            "next".to_owned(),
            serde_json::json!({"$ref": format!("#/components/schemas/R{}", at / ring * ring + (at + 1) % ring)}),
        );
        schemas.insert(format!("R{at}"), serde_json::json!({"type": "object", "properties": properties}));
    }
    serde_json::json!({"openapi": "3.1.0", "paths": paths, "components": {"schemas": schemas}})
}

/// What is changed of the first document to make the second.
const CASES: [(&str, Change); 4] = [
    ("nothing", |_| {}),
    ("one property of one schema", |api| {
        api["components"]["schemas"]["R75"]["properties"]["property3"]["maxLength"] = 90.into();
    }),
    ("one operation in ten", |api| {
        let Some(paths) = api["paths"].as_object_mut() else { return };
        for (_, item) in paths.iter_mut().step_by(5) {
            item["get"]["parameters"][0]["schema"]["maximum"] = 90.into();
        }
    }),
    ("every property of every schema", |api| {
        let Some(schemas) = api["components"]["schemas"].as_object_mut() else { return };
        for (_, schema) in schemas.iter_mut() {
            let Some(properties) = schema["properties"].as_object_mut() else { continue };
            for (_, property) in properties.iter_mut().filter(|(name, _)| *name != "next") {
                property["maxLength"] = 90.into();
            }
        }
    }),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for (format, write) in [
        ("JSON", (|v| serde_json::to_string_pretty(v).map_err(Into::into)) as Writer),
        ("YAML", |v| serde_yaml_ng::to_string(v).map_err(Into::into)),
    ] {
        for ring in [5, 150] {
            for (what, change) in CASES {
                let (old, mut new) = (api(ring), api(ring));
                change(&mut new);
                measure(&format!("{format}, rings of {ring}, {what} changed"), write(&old)?, write(&new)?)?;
            }
        }
    }
    Ok(())
}

/// The best of ten runs, as `isles api diff` does it: both are read side by side, and compared.
fn measure(what: &str, old: String, new: String) -> Result<(), Box<dyn std::error::Error>> {
    let size = old.len() / 1024;
    let folder = tempfile::tempdir()?;
    let (old_path, new_path) = (folder.path().join("old.yaml"), folder.path().join("new.yaml"));
    std::fs::write(&old_path, old)?;
    std::fs::write(&new_path, new)?;
    let mut best = [u128::MAX; 3];
    let mut changes = 0;
    for _ in 0..10 {
        let begin = Instant::now();
        let (old, new) = contract::load_both(&old_path, &new_path);
        let read = begin.elapsed().as_micros();
        changes = contract::diff(&old?, &new?, &contract::Options::default())?.changes.len();
        let all = begin.elapsed().as_micros();
        for (best, now) in best.iter_mut().zip([all, read, all - read]) {
            *best = now.min(*best);
        }
    }
    let [all, read, compared] = best.map(|micros| micros as f64 / 1000.0);
    println!(
        "{what}: 2 x {size} kB, {changes} changes: {all:.1} ms (read {read:.1}, compared {compared:.1})"
    );
    Ok(())
}

type Writer = fn(&serde_json::Value) -> Result<String, Box<dyn std::error::Error>>;
type Change = fn(&mut serde_json::Value);

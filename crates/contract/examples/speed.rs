//! How long it takes to read and compare two contracts of about a megabyte each:
//! `cargo run --release -p contract --example speed`.

use std::collections::HashMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// 150 resources of five operations, each with a schema of its own that refers to its neighbours.
fn api(length: usize) -> serde_json::Value {
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
            properties.insert(name, serde_json::json!({"type": "string", "maxLength": length, "description": "What it is, in a line of text."}));
        }
        properties.insert(
            "next".to_owned(),
            serde_json::json!({"$ref": format!("#/components/schemas/R{}", (at + 1) % 150)}),
        );
        schemas.insert(format!("R{at}"), serde_json::json!({"type": "object", "properties": properties}));
    }
    serde_json::json!({"openapi": "3.1.0", "paths": paths, "components": {"schemas": schemas}})
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for (format, write) in [
        ("JSON", (|v| serde_json::to_string_pretty(v).map_err(Into::into)) as Writer),
        ("YAML", |v| serde_yaml_ng::to_string(v).map_err(Into::into)),
    ] {
        let (old, new) = (write(&api(100))?, write(&api(90))?);
        let size = old.len();
        let files: HashMap<PathBuf, String> = [("old.yaml".into(), old), ("new.yaml".into(), new)].into();
        let mut best: Option<(u128, u128, u128)> = None;
        for _ in 0..10 {
            let begin = Instant::now();
            let a = contract::load_from(&files, Path::new("old.yaml"))?;
            let b = contract::load_from(&files, Path::new("new.yaml"))?;
            let read = begin.elapsed();
            let same = Instant::now();
            contract::diff(&a, &a, &contract::Options::default())?;
            let same = same.elapsed();
            let differs = Instant::now();
            let report = contract::diff(&a, &b, &contract::Options::default())?;
            assert_ne!(report.verdict, contract::Verdict::Same);
            let now = (read.as_micros(), same.as_micros(), differs.elapsed().as_micros());
            best = Some(best.map_or(now, |b| (b.0.min(now.0), b.1.min(now.1), b.2.min(now.2))));
        }
        let (read, same, differs) = best.unwrap_or_default();
        println!(
            "{format}, 2 x {} kB: both read in {read} us, compared in {same} us (same) and {differs} us (all differ)",
            size / 1024
        );
    }
    Ok(())
}

type Writer = fn(&serde_json::Value) -> Result<String, Box<dyn std::error::Error>>;

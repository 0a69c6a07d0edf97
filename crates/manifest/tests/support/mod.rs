//! A manifest in a folder of its own.
#![allow(dead_code, clippy::unwrap_used, reason = "tests; each of them uses a part of it")]

use std::path::Path;

use manifest::{Context, Faults, Parsed};
use tempfile::TempDir;

/// A folder with a few services' folders and contracts in it.
pub fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in [
        ("inventory/openapi.yaml", "openapi: 3.1.0\n"),
        ("inventory/src/main.rs", ""),
        ("orders/orders.proto", ""),
        ("payments/notes.txt", ""),
    ] {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

/// A context with the variable `HOME` and the secret `stripe` only.
pub fn context(folder: &Path) -> Context {
    Context {
        path: folder.join("isles.toml"),
        env: Box::new(|name| (name == "HOME").then(|| "/home/ann".to_owned())),
        secrets: Box::new(|name| (name == "stripe").then(|| "sk_test".to_owned())),
    }
}

/// Parses `text` as the manifest of such a folder.
pub fn parse(text: &str) -> Result<Parsed, Faults> {
    let folder = folder();
    manifest::parse(text, &context(folder.path()))
}

/// Every fault or warning of `text`, drawn; each line's trailing spaces are cut so that snapshots keep.
pub fn picture(text: &str) -> String {
    let faults = match parse(text) {
        Ok(parsed) => parsed.warnings,
        Err(faults) => faults.0,
    };
    let drawn = manifest::render(&faults, "isles.toml", text, false, 120);
    drawn.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

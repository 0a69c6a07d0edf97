//! The list of keys, the JSON Schema, the reference and the pages of the codes say the same.
//!
//! `ISLES_UPDATE=1 cargo test -p manifest --test reference` writes the schema and the tables of the reference anew.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    // Absent counts as empty, so that the first update can write it.
    std::fs::read_to_string(here(path)).unwrap_or_default()
}

/// Compares a file with what it should be, or makes it so when that is asked for.
fn same(path: &str, expected: &str) {
    if std::env::var_os("ISLES_UPDATE").is_some() {
        std::fs::write(here(path), expected).unwrap();
    }
    assert!(read(path) == expected, "{path} is out of date: run this test with ISLES_UPDATE=1");
}

#[test]
fn the_schema_is_up_to_date() {
    let schema = serde_json::to_string_pretty(&manifest::reference::schema()).unwrap();
    same("isles.schema.json", &format!("{schema}\n"));
}

#[test]
fn the_reference_has_every_key_and_no_other() {
    let path = "../../docs/manifest.md";
    let mut page = read(path);
    let mut sections = 0;
    for (title, table) in manifest::reference::tables() {
        let begin = format!("<!-- keys of {title} -->\n");
        let start = page.find(&begin).unwrap_or_else(|| panic!("no `{begin}` in {path}")) + begin.len();
        let length = page[start..].find("<!-- end -->").expect("the mark of the end");
        page.replace_range(start..start + length, &table);
        sections += 1;
    }
    assert_eq!(page.matches("<!-- keys of ").count(), sections, "no section of the page is left over");
    same(path, &page);
}

#[test]
fn every_code_has_a_page_and_every_page_a_code() {
    let pages: BTreeSet<String> = std::fs::read_dir(here("../../docs/errors"))
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_suffix(".md").map(str::to_owned))
        .filter(|name| name.starts_with("manifest-"))
        .collect();
    let codes: BTreeSet<String> = manifest::code::ALL.iter().map(|code| (*code).to_owned()).collect();
    assert_eq!(pages, codes);
    for code in &codes {
        let page = read(&format!("../../docs/errors/{code}.md"));
        assert!(page.starts_with(&format!("# {code}\n")), "{code}: the title is the code");
        assert!(page.contains("## How to mend it"), "{code}: advice");
    }
}

/// The first example of every page has the fault that the page is about.
#[test]
fn every_page_shows_its_own_fault() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("orders")).unwrap();
    let [key, another] = [(); 2].map(|()| rcgen::KeyPair::generate().unwrap());
    let cert = rcgen::CertificateParams::new(["shop.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    std::fs::write(folder.path().join("orders/shop.pem"), cert.pem()).unwrap();
    std::fs::write(folder.path().join("orders/another.key"), another.serialize_pem()).unwrap();
    let context = manifest::Context {
        path: folder.path().join("isles.toml"),
        env: Box::new(|_| None),
        secrets: Box::new(|_| None),
    };
    for code in manifest::code::ALL.iter().filter(|code| **code != manifest::code::UNREADABLE) {
        let page = read(&format!("../../docs/errors/{code}.md"));
        let example = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let faults = match manifest::parse(example, &context) {
            Ok(parsed) => parsed.warnings,
            Err(faults) => faults.0,
        };
        let found: Vec<&str> = faults.iter().map(|fault| fault.code).collect();
        assert_eq!(found, [*code], "the example in {code}.md");
    }
}

#[test]
fn the_example_of_the_reference_is_sound() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("inventory/src")).unwrap();
    std::fs::write(folder.path().join("inventory/openapi.yaml"), "openapi: 3.1.0\n").unwrap();
    let page = read("../../docs/manifest.md");
    let example = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let context = manifest::Context::from_process(folder.path().join("isles.toml"));
    let parsed = manifest::parse(example, &context).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(parsed.warnings, []);
    assert_eq!(parsed.desired.services.len(), 3);
}

/// Fragments are read inside a manifest that has what they refer to.
#[test]
fn the_fragments_of_the_reference_are_sound() {
    let folder = tempfile::tempdir().unwrap();
    let context = manifest::Context::from_process(folder.path().join("isles.toml"));
    let page = read("../../docs/manifest.md");
    let (_, keys) = page.split_once("## Every key").expect("the part about keys");
    let fragments: Vec<&str> =
        keys.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(fragments.len() > 10);
    for fragment in fragments {
        let others = ["orders", "inventory", "payments", "catalogue", "stripe"].map(|name| {
            let kind = if name == "stripe" { "external" } else { "services" };
            let line = if name == "stripe" { "url = \"http://stripe\"" } else { "command = \"run\"" };
            let header = format!("[{kind}.{name}]\n");
            if fragment.contains(&header) { String::new() } else { format!("{header}{line}\n") }
        });
        let text = format!("name = \"x\"\n[services.a]\ncommand = \"a\"\n{fragment}{}", others.concat());
        let parsed = manifest::parse(&text, &context).unwrap_or_else(|faults| panic!("{faults}\nin\n{text}"));
        assert_eq!(parsed.warnings, [], "{text}");
    }
}

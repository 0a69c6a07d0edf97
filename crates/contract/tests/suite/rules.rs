//! The page of rules is made from the rules.

use std::collections::HashSet;

#[test]
fn the_page_is_what_the_rules_say() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/rules/README.md");
    let page = contract::rules::page();
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &page).unwrap();
    }
    let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        page == checked_in,
        "docs/rules/README.md is not what the rules say; if the change is meant, run\n    \
         UPDATE_SNAPSHOTS=1 cargo test -p contract --test rules"
    );
}

#[test]
fn every_rule_has_a_name_of_its_own() {
    let page = contract::rules::page();
    let names: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert!(names.len() > 200, "{}", names.len());
    let mut operations = HashSet::new();
    let mut facets = HashSet::new();
    for rule in contract::rules::rule::ALL.iter().chain(contract::rules::proto::ALL) {
        assert!(operations.insert(rule.id), "{}", rule.id);
    }
    for facet in contract::rules::facet::ALL {
        assert!(facets.insert(facet.name), "{}", facet.name);
    }
}

//! Any text is a definition or has faults inside it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use saga::contracts::{Contract, Contracts};

const CONTRACT: &str = r#"{ "paths": { "/a/{id}": { "post": { "operationId": "do",
  "parameters": [{ "name": "id", "in": "path" }] }, "get": { "operationId": "get" } } } }"#;

fuzz_target!(|text: &str| {
    let contract = Contract::read(CONTRACT).ok();
    let contracts: Contracts = [("s".to_owned(), contract)].into();
    match saga::definition::read(text, &contracts) {
        Ok(plan) => {
            let json = serde_json::to_string(&plan).expect("a plan can be written");
            let again: saga::plan::Plan = serde_json::from_str(&json).expect("and read");
            assert_eq!(plan, again);
        }
        Err(faults) => {
            assert!(!faults.is_empty());
            for fault in &faults {
                assert!(text.get(fault.span.clone()).is_some());
            }
        }
    }
});

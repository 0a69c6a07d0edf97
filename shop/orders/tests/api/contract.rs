//! `openapi.yaml` and the router say the same.

use std::collections::BTreeSet;

use serde_json::Value;

fn contract() -> Value {
    serde_yaml_ng::from_str(include_str!("../../openapi.yaml")).unwrap()
}

#[test]
fn every_route_is_in_the_contract_and_the_other_way_round() {
    let contract = contract();
    let methods = ["get", "put", "post", "delete", "patch"];
    let mut documented = BTreeSet::new();
    for (path, item) in contract["paths"].as_object().unwrap() {
        for method in methods.iter().filter(|method| item.get(**method).is_some()) {
            documented.insert(((*method).to_owned(), path.clone()));
        }
    }
    let mut served: BTreeSet<(String, String)> =
        shop_orders::operations().into_iter().map(|(method, path)| (method.into(), path.into())).collect();
    served.insert(("get".into(), "/health/live".into()));
    served.insert(("get".into(), "/health/ready".into()));
    assert_eq!(served, documented);
}

#[test]
fn operation_ids_are_there_and_unique_and_references_lead_somewhere() {
    let contract = contract();
    let mut ids = BTreeSet::new();
    for item in contract["paths"].as_object().unwrap().values() {
        for (_, operation) in item.as_object().unwrap().iter().filter(|(name, _)| *name != "parameters") {
            let id = operation["operationId"].as_str().expect("an operationId");
            assert!(ids.insert(id.to_owned()), "{id} is there twice");
        }
    }
    let mut references = Vec::new();
    gather(&contract, &mut references);
    assert!(references.len() > 50);
    for reference in references {
        assert!(contract.pointer(reference.trim_start_matches('#')).is_some(), "{reference} leads nowhere");
    }
}

fn gather(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
                references.push(reference.to_owned());
            }
            members.values().for_each(|member| gather(member, references));
        }
        Value::Array(items) => items.iter().for_each(|item| gather(item, references)),
        _ => {}
    }
}

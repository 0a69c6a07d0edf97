//! The contract that is checked in is the one that is served.

use std::path::Path;

use console::api::{AppState, AppStatus, LogItem};

#[test]
fn the_checked_in_contract_is_the_one_served() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    let served = console::server::openapi();
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, &served).unwrap();
    }
    let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        served == checked_in,
        "crates/console/openapi.json is not what the code serves; if the change is meant, run\n    \
         UPDATE_SNAPSHOTS=1 cargo test -p console --test api contract"
    );
    let document: serde_json::Value = serde_json::from_str(&served).unwrap();
    let paths: Vec<_> = document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        paths,
        [
            "/v1/deploy",
            "/v1/down",
            "/v1/events",
            "/v1/logs",
            "/v1/metrics",
            "/v1/openapi.json",
            "/v1/plan",
            "/v1/services/{service}",
            "/v1/services/{service}/drift",
            "/v1/services/{service}/measured",
            "/v1/services/{service}/promote",
            "/v1/services/{service}/releases",
            "/v1/services/{service}/restart",
            "/v1/services/{service}/rollback",
            "/v1/services/{service}/scale",
            "/v1/services/{service}/usage",
            "/v1/spans",
            "/v1/status",
            "/v1/traffic",
            "/v1/watch",
        ]
    );
}

#[test]
fn a_reader_takes_what_it_does_not_know() {
    let newer = r#"{"app":"shop","root":"/","pid":1,"state":"hibernating","since":1,"version":"9","moon":"full",
        "services":[{"name":"a","protocol":"quic","state":"dreaming","desired":1,"ready":0,"replicas":[]}]}"#;
    let status: AppStatus = serde_json::from_str(newer).unwrap();
    assert_eq!(status.state, AppState::Unknown);
    let line: LogItem =
        serde_json::from_str(r#"{"at":1,"service":"a","stream":"video","text":"t","more":1}"#).unwrap();
    assert!(matches!(line, LogItem::Entry(_)));
}

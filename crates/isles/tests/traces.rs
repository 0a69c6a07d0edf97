//! A request and the calls that it causes are one trace.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use serde_json::Value;
use testkit::{App, wait_until};

const APP: &str = r#"
[[gateway.routes]]
path = "/"
service = "web"
[services.web]
command = "{scripted}"
health = "/health"
calls = ["api"]
[services.api]
dir = "api"
command = "{scripted}"
health = "/health"
"#;

#[test]
fn a_failure_is_found_and_shown_with_the_call_that_caused_it() {
    let app = App::new(APP);
    std::fs::create_dir(app.root().join("api")).unwrap();
    std::fs::write(app.root().join("api/script"), "fail 100").unwrap();
    app.up();
    let edge = app.get("/env").unwrap().json()["API_URL"].as_str().unwrap().to_owned();
    assert_eq!(app.get(&format!("/pass?url={edge}/things")).unwrap().status, 500);
    let listed = || {
        let listed = app.isles(&["traces", "--errors", "--json"]).stdout;
        serde_json::from_str::<Value>(&listed).unwrap_or_default().as_array().cloned().unwrap_or_default()
    };
    let traces = wait_until("both spans are there", listed, |traces| {
        traces.len() == 1 && traces[0].as_array().is_some_and(|spans| spans.len() == 2)
    });
    let id = traces[0][0]["trace"].as_str().unwrap();

    let table = app.isles(&["traces", "api"]).stdout;
    assert!(table.contains(id) && table.contains("GET /pass") && table.contains("web, api"), "{table}");
    let shown = app.isles(&["trace", &id[..12]]).stdout;
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines[0].contains(id) && lines[0].contains("2 spans"), "{shown}");
    assert!(lines[2].starts_with("gateway → web") && lines[2].contains("500"), "{shown}");
    assert!(lines[3].starts_with("  web → api") && lines[3].contains("GET /things"), "{shown}");

    let none = app.isles(&["trace", "ffffffffffffffff"]);
    assert!(none.code == Some(1) && none.stderr.contains("isles traces"), "{none:?}");
    assert!(app.isles(&["traces", "--slower-than", "1h"]).stderr.contains("no such trace"));
}

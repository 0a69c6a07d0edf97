//! Real requests and answers are held to the contract of the release in charge, by a real data plane.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use serde_json::{Value, json};
use testkit::{App, wait_until};

const APP: &str = r#"
[[gateway.routes]]
path = "/"
service = "stock"
enforce_contract = true
[[gateway.routes]]
path = "/free"
service = "stock"
strip = true
[[gateway.routes]]
path = "/never"
methods = ["GET"]
service = "stock"
[services.stock]
dir = "stock"
command = "{scripted}"
contract = "openapi.json"
health = { path = "/health", interval = "100ms" }
deploy = { hold = "200ms", ready = "3s" }
"#;

/// Levels of which at most so many are asked for.
fn contract(app: &App, most: u32) {
    let limit = json!({ "name": "limit", "in": "query", "required": true,
        "schema": { "$ref": "#/components/schemas/Limit" } });
    let content = json!({ "application/json": { "schema": { "type": "array" } } });
    let levels = json!({ "get": { "operationId": "levels", "parameters": [limit],
        "responses": { "200": { "description": "d", "content": content } } } });
    let document = json!({ "openapi": "3.1.0", "info": { "title": "stock", "version": "1" },
        "paths": { "/levels": levels }, "components": { "schemas": { "Limit": { "type": "integer", "maximum": most } } } });
    std::fs::write(app.root().join("stock/openapi.json"), document.to_string()).unwrap();
}

fn app() -> App {
    let app = App::new(APP);
    std::fs::create_dir(app.root().join("stock")).unwrap();
    contract(&app, 10);
    app.up();
    app
}

fn json_of(app: &App, args: &[&str]) -> Value {
    let ended = app.isles(args);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    serde_json::from_str(&ended.stdout).unwrap()
}

#[test]
fn a_route_that_enforces_the_contract_follows_the_release_in_charge_and_outlives_the_control_plane() {
    let app = app();
    let ask = |limit: u32| app.get(&format!("/levels?limit={limit}")).unwrap();
    assert_eq!(ask(10).status, 200);
    let refused = ask(11);
    assert_eq!((refused.status, refused.json()["code"].as_str()), (400, Some("contract_violation")));
    let told = json!([{ "place": "query parameter `limit`", "detail": "the value is greater than the maximum of 10" }]);
    assert_eq!(refused.json()["errors"], told);
    assert_eq!(app.get("/env").unwrap().json()["code"], "not_in_contract", "what it serves besides");
    assert_eq!(app.get("/free/env").unwrap().status, 200, "a route that asks for nothing");

    contract(&app, 100);
    let deployed = app.isles(&["deploy", "stock"]);
    assert_eq!(deployed.code, Some(0), "{deployed:?}");
    wait_until("the new contract counts", || ask(11).status, |status| *status == 200);
    assert_eq!(ask(101).status, 400);

    app.kill(u32::try_from(app.status()["pid"].as_u64().unwrap()).unwrap());
    assert_eq!((ask(100).status, ask(101).status), (200, 400), "nobody is there but the data plane");
    app.up();
    assert_eq!((ask(100).status, ask(101).status), (200, 400));
}

#[test]
fn what_is_not_as_the_contract_says_is_shown_and_so_is_what_nobody_takes() {
    let app = app();
    // It answers with its path, and says no type: the contract promises a list in JSON.
    assert_eq!(app.get("/levels?limit=1").unwrap().body, "/levels");
    app.get("/free/levels?limit=secret").unwrap();
    app.get("/free/release").unwrap();
    let drift = || json_of(&app, &["api", "drift", "stock", "--json"]);
    let found = |drift: &Value| !drift["operations"].as_array().unwrap().is_empty();
    let drift = wait_until("it is looked at", drift, found);
    let finding = &drift["operations"][0]["findings"][0];
    assert_eq!(
        (finding["side"].as_str(), finding["place"].as_str(), finding["detail"].as_str()),
        (Some("answer"), Some("answer 200"), Some("it has no content type")),
        "{drift:#}"
    );
    assert_eq!(drift["undocumented"][0]["request"], "GET /release", "{drift:#}");
    assert!(!drift.to_string().contains("secret"));
    let shown = app.isles(&["api", "drift", "stock"]).stdout;
    for expected in [
        "GET /levels",
        "stock answer 200: it has no content type",
        "GET /release answered the gateway with 200",
    ] {
        assert!(shown.contains(expected), "{expected} in {shown}");
    }

    let usage = || json_of(&app, &["api", "usage", "stock", "--json"]);
    let taken = |usage: &Value| usage["routes"][1]["requests"] == 2;
    let usage = wait_until("the routes are counted", usage, taken);
    let routes: Vec<_> =
        usage["routes"].as_array().unwrap().iter().map(|r| (&r["route"], &r["requests"])).collect();
    let (all, free, never) = (json!("/"), json!("/free"), json!("GET /never"));
    assert_eq!(routes, [(&all, &json!(1)), (&free, &json!(2)), (&never, &json!(0))]);
    let shown = app.isles(&["api", "usage", "stock"]).stdout;
    assert!(shown.lines().any(|line| line.starts_with("GET /never") && line.ends_with("nobody")), "{shown}");
    assert_eq!(app.isles(&["api", "drift", "stok"]).code, Some(2));
}

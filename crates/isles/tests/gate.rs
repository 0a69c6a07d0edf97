//! A deploy that would break a real caller is refused, by name; what nobody uses may go.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use serde_json::Value;
use testkit::{App, wait_until};

const APP: &str = r#"
[[gateway.routes]]
path = "/"
service = "web"
[services.web]
dir = "web"
command = "{scripted}"
health = { path = "/health", interval = "100ms" }
calls = ["stock"]
[services.stock]
dir = "stock"
command = "{scripted}"
contract = "openapi.json"
health = { path = "/health", interval = "100ms" }
deploy = { hold = "200ms", ready = "3s", used_within = "36h" }
[sagas]
files = ["trip.yaml"]
"#;

const SAGA: &str = r#"
saga: trip
version: 1
steps:
  - id: hold
    do: stock.hold
    with: { path: { sku: $input.sku } }
    undo: stock.release
    undo_with: { path: { sku: $input.sku } }
"#;

/// Its contract; `change` makes another one of it.
fn contract(app: &App, change: impl FnOnce(&mut Value)) {
    let answer = |schema: Value| serde_json::json!({"200": {"description": "d", "content": {"application/json": {"schema": schema}}}});
    let sku =
        serde_json::json!([{"name": "sku", "in": "path", "required": true, "schema": {"type": "string"}}]);
    let level = serde_json::json!({"type": "object", "required": ["left"], "properties": {
        "left": {"type": "integer"}, "place": {"type": "string"}}});
    let mut document = serde_json::json!({"openapi": "3.0.3", "info": {"title": "stock", "version": "1"}, "paths": {
        "/levels/{sku}": {"parameters": sku, "get": {"operationId": "level", "responses": answer(level)}},
        "/levels": {"get": {"operationId": "levels", "responses": answer(serde_json::json!({"type": "array", "items": {"type": "string"}}))}},
        "/holds/{sku}": {"parameters": sku,
            "put": {"operationId": "hold", "responses": answer(serde_json::json!({"type": "object"}))},
            "delete": {"operationId": "release", "responses": answer(serde_json::json!({"type": "object"}))}},
    }});
    change(&mut document);
    std::fs::write(app.root().join("stock/openapi.json"), document.to_string()).unwrap();
}

fn app() -> App {
    let app = App::new(APP);
    for service in ["web", "stock"] {
        std::fs::create_dir(app.root().join(service)).unwrap();
    }
    std::fs::write(app.root().join("trip.yaml"), SAGA).unwrap();
    contract(&app, |_| {});
    app
}

#[track_caller]
fn deploy(app: &App, args: &[&str], code: i32) -> String {
    let ended = app.isles(&[&["deploy", "stock"], args].concat());
    assert_eq!(ended.code, Some(code), "{ended:#?}");
    ended.stderr
}

/// Rows of operation, caller, requests.
fn usage(app: &App) -> Vec<(String, String, u64)> {
    let report: Value =
        serde_json::from_str(&app.isles(&["api", "usage", "stock", "--json"]).stdout).unwrap();
    let mut rows = Vec::new();
    for operation in report["operations"].as_array().unwrap() {
        let name = operation["operation"].as_str().unwrap_or("-");
        for caller in operation["callers"].as_array().unwrap() {
            let who = caller["caller"].as_str().unwrap_or("the gateway");
            rows.push((name.to_owned(), who.to_owned(), caller["requests"].as_u64().unwrap()));
        }
    }
    rows
}

/// `web` asks for a level until that is known.
fn ask(app: &App) {
    let edge = app.get("/env").unwrap().json()["STOCK_URL"].as_str().unwrap().to_owned();
    let asked = || {
        app.get(&format!("/call?url={edge}/levels/7")).unwrap();
        usage(app)
    };
    let known = |rows: &Vec<(String, String, u64)>| {
        rows.iter().any(|(operation, caller, _)| operation == "GET /levels/{sku}" && caller == "web")
    };
    wait_until("the call is counted", asked, known);
}

#[test]
fn what_breaks_a_caller_is_refused_by_name_and_what_nobody_uses_may_go() {
    let app = app();
    app.up();
    ask(&app);
    let release = || app.service("stock")["release"].clone();
    let (first, pids) = (release(), app.pids("stock"));

    // A field that an answer had.
    let levels = "/paths/~1levels~1{sku}/get/responses/200/content/application~1json/schema";
    let without_left = |document: &mut Value| {
        let schema = document.pointer_mut(levels).unwrap();
        schema["properties"].as_object_mut().unwrap().remove("left");
        schema["required"] = serde_json::json!([]);
    };
    contract(&app, without_left);
    let said = deploy(&app, &[], 3);
    assert!(said.contains("breaks `GET /levels/{sku}`") && said.contains("used by web ("), "{said}");
    assert_eq!((release(), app.pids("stock")), (first.clone(), pids), "nothing of it was started");

    // An operation that nothing but an undo needs, and the name that a saga calls it by.
    contract(&app, |document| {
        document["paths"]["/holds/{sku}"].as_object_mut().unwrap().remove("delete");
    });
    let said = deploy(&app, &[], 3);
    assert!(said.contains("`DELETE /holds/{sku}`") && said.contains("used by saga trip, to undo"), "{said}");
    contract(&app, |document| document["paths"]["/holds/{sku}"]["put"]["operationId"] = "keep".into());
    let said = deploy(&app, &[], 3);
    assert!(said.contains("no operation `hold` any more: used by saga trip"), "{said}");

    // Nobody has called this.
    contract(&app, |document| {
        document["paths"].as_object_mut().unwrap().remove("/levels");
    });
    let said = deploy(&app, &[], 0);
    assert!(said.contains("`GET /levels`") && said.contains("nobody has called it for 36 h"), "{said}");
    let second = release();
    assert_ne!(second, first);
    // What is compatible passes without a word.
    contract(&app, |document| {
        document["paths"].as_object_mut().unwrap().remove("/levels");
        document.pointer_mut(levels).unwrap()["properties"]["colour"] = serde_json::json!({"type": "string"});
    });
    assert!(!deploy(&app, &[], 0).contains("breaks"));

    // Forced, and remembered as such.
    contract(&app, without_left);
    let said = deploy(&app, &["--force"], 0);
    assert!(said.contains("forced, although: breaks `GET /levels/{sku}`"), "{said}");
    let status = app.service("stock");
    let notes = status["rollout"]["notes"].as_array().unwrap();
    assert!(
        notes.iter().any(|note| note["text"].as_str().unwrap().contains("forced, although")),
        "{notes:?}"
    );
}

#[test]
fn usage_is_counted_by_operation_and_caller_and_outlives_a_killed_control_plane() {
    let app = app();
    app.up();
    ask(&app);
    let edge = app.get("/env").unwrap().json()["STOCK_URL"].as_str().unwrap().to_owned();
    app.get(&format!("/call?url={edge}/no/such/path")).unwrap();
    let all = wait_until("both are counted", || usage(&app), |rows| rows.len() == 2);
    assert!(
        all.iter().any(|(operation, caller, n)| (operation.as_str(), caller.as_str(), *n) == ("-", "web", 1)),
        "{all:?}"
    );

    // What was asked for has been written down.
    app.kill(u32::try_from(app.status()["pid"].as_u64().unwrap()).unwrap());
    app.up();
    assert_eq!(usage(&app), all);
    let table = app.isles(&["api", "usage", "stock"]).stdout;
    for expected in ["GET /levels/{sku}", "web", "nobody", "not in the contract"] {
        assert!(table.contains(expected), "{expected} in {table}");
    }
    let without = app.isles(&["deploy", "web"]);
    assert!(without.stderr.contains("unchanged"), "{without:?}");
    std::fs::write(app.root().join("web/script"), "version 2").unwrap();
    let without = app.isles(&["deploy", "web"]);
    assert!(without.stderr.contains("without a contract nobody can tell"), "{without:?}");
}

#[test]
fn what_an_unfinished_saga_began_with_has_to_stay_until_it_is_over() {
    let app = app();
    let define = |undo: &str| {
        let steps = format!("  - {{ id: hold, do: stock.hold, with: {{ path: {{ sku: '7' }} }}, {undo} }}\n");
        let saga = format!("saga: trip\nsteps:\n{steps}  - {{ id: pause, wait: 1h }}\n");
        std::fs::write(app.root().join("trip.yaml"), saga).unwrap();
    };
    define("undo: stock.release, undo_with: { path: { sku: '7' } }");
    app.up();
    let sagas = app.get("/env").unwrap().json()["SAGAS_URL"].as_str().unwrap().to_owned();
    let begun = app.get(&format!("/call?url={sagas}/trip&post=one")).unwrap().json();
    let body: Value = serde_json::from_str(begun["body"].as_str().unwrap()).unwrap();
    let id = body["id"].as_str().unwrap();
    let show = || app.isles(&["saga", "show", id]).stdout;
    wait_until("it waits", show, |shown| shown.contains("pause: started"));

    // Nothing that begins from now on needs the operation.
    assert_eq!(app.isles(&["down"]).code, Some(0));
    define("undo: none");
    app.up();
    contract(&app, |document| {
        document["paths"]["/holds/{sku}"].as_object_mut().unwrap().remove("delete");
    });
    let said = deploy(&app, &[], 3);
    let why = "used by saga trip as defined before, some of which are not over, to undo";
    assert!(said.contains("`DELETE /holds/{sku}`") && said.contains(why), "{said}");

    assert_eq!(app.isles(&["saga", "undo", id]).code, Some(0));
    wait_until("it is over", show, |shown| shown.contains("undone"));
    let said = deploy(&app, &[], 0);
    assert!(said.contains("nobody has called it"), "{said}");
}

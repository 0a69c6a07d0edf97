//! Sagas in a running app: begun at the address that a service finds in its environment, and shown, undone and tried again by commands.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use testkit::{App, wait_until};

const SAGAS: &str = r#"
[[gateway.routes]]
path = "/"
service = "web"

[services.web]
dir = "."
command = "{scripted}"
contract = "openapi.yaml"

[sagas]
files = ["sagas/*.yaml"]
"#;

const CONTRACT: &str = "
openapi: 3.1.0
paths:
  /book: { post: { operationId: book } }
  /unbook/{key}: { parameters: [{ name: key, in: path, required: true }], post: { operationId: unbook } }
  /slow: { get: { operationId: slow, parameters: [{ name: ms, in: query }] } }
";

const TRIP: &str = "
saga: trip
steps:
  - { id: book, do: web.book, undo: web.unbook, undo_with: { path: { key: $book.key } } }
  - { id: think, do: web.slow, timeout: 4s, with: { query: { ms: '1500' } } }
  - { id: again, do: web.book, undo: none }
output: done
";

/// An app with these lines in `[sagas]`, and the saga `trip`.
fn app(lines: &str) -> App {
    let app = App::new(&SAGAS.replace("[sagas]", &format!("[sagas]\n{lines}")));
    std::fs::write(app.root().join("openapi.yaml"), CONTRACT).unwrap();
    std::fs::create_dir(app.root().join("sagas")).unwrap();
    std::fs::write(app.root().join("sagas/trip.yaml"), TRIP).unwrap();
    app
}

#[test]
fn a_store_that_cannot_be_opened_is_told_without_its_password() {
    let nobody = testkit::free_port();
    let url = format!("postgres://isles:hunter2@127.0.0.1:{nobody}/sagas");
    for store in [url.as_str(), "${env.STORE:-mysql://isles:hunter2@db/sagas}"] {
        let app = app(&format!("store = \"{store}\""));
        let refused = app.isles(&["up", "--detach"]);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        let told = format!("{}{}", refused.stderr, app.control_log());
        assert!(told.contains("the store of [sagas] cannot be opened"), "{told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
}

#[test]
fn a_saga_goes_on_after_the_control_plane_was_killed_in_the_middle_of_it() {
    let app = app("");
    let file = app.root().join("sagas/trip.yaml");
    std::fs::write(&file, TRIP.replace("web.slow", "web.slw")).unwrap();
    let refused = app.isles(&["check"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(
        refused.stderr.contains("saga-unknown-operation") && refused.stderr.contains("web.slow"),
        "{refused:?}"
    );
    std::fs::write(&file, TRIP).unwrap();
    app.up();

    // The service starts it where its environment says.
    let env: serde_json::Value = serde_json::from_str(&app.get("/env").unwrap().body).unwrap();
    let url = env["SAGAS_URL"].as_str().unwrap().to_owned();
    let begin = || -> serde_json::Value {
        let answer = app.get(&format!("/call?url={url}/trip&post=one")).unwrap();
        serde_json::from_str(&answer.body).unwrap()
    };
    let begun = begin();
    assert_eq!(begun["status"], 202, "{begun}");
    let body: serde_json::Value = serde_json::from_str(begun["body"].as_str().unwrap()).unwrap();
    let id = body["id"].as_str().unwrap().to_owned();
    let show = || app.isles(&["saga", "show", &id]).stdout;
    wait_until("it is in the middle", show, |shown| shown.contains("think: started"));

    app.kill(u32::try_from(app.status()["pid"].as_u64().unwrap()).unwrap());
    app.up();
    let list =
        || -> serde_json::Value { serde_json::from_str(&app.isles(&["sagas", "--json"]).stdout).unwrap() };
    wait_until("it is done", list, |list| list["sagas"][0]["status"] == "done");
    let shown = show();
    assert!(shown.contains("think: done") && shown.trim_end().ends_with("done"), "{shown}");
    let again = begin();
    assert!(again["body"].as_str().unwrap().contains(&id), "the key is known: {again}");

    // It has no pivot, so it can be undone afterwards.
    let undo = app.isles(&["saga", "undo", &id]);
    assert_eq!(undo.code, Some(0), "{undo:?}");
    wait_until("it is undone", list, |list| list["sagas"][0]["status"] == "undone");
    assert!(show().contains("book: undone"));
    assert_eq!(app.isles(&["saga", "retry", &id]).code, Some(1), "it is over");
}

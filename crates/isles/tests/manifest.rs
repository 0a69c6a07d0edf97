//! A manifest that changes while the app runs: what differs is planned, then put in force, and nothing else is touched.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use serde_json::Value;
use testkit::{App, Load};

/// `web` calls `api`; `old` is called by nobody but the gateway.
const BEFORE: &str = r#"
[[gateway.routes]]
path = "/"
service = "web"
[[gateway.routes]]
path = "/old"
service = "old"
[services.web]
command = "{scripted}"
health = { path = "/health", interval = "100ms" }
deploy = { hold = "300ms" }
calls = ["api"]
[services.api]
command = "{scripted}"
health = { path = "/health", interval = "100ms" }
[services.old]
command = "{scripted}"
health = { path = "/health", interval = "100ms" }
"#;

fn edit(app: &App, edits: &[(&str, &str)]) {
    let path = app.root().join("isles.toml");
    let mut text = std::fs::read_to_string(&path).unwrap();
    for (from, to) in edits {
        assert!(text.contains(from), "{from:?} in\n{text}");
        text = text.replace(from, to);
    }
    std::fs::write(path, text).unwrap();
}

#[track_caller]
fn run(app: &App, args: &[&str], code: i32) -> String {
    let ended = app.isles(args);
    assert_eq!(ended.code, Some(code), "{args:?}: {ended:#?}");
    ended.stderr + &ended.stdout
}

/// Every change that is planned: part with name, kind, keys, effect.
fn plan(app: &App) -> Vec<String> {
    let report: Value = serde_json::from_str(&app.isles(&["plan", "--json"]).stdout).unwrap();
    let each = report["changes"].as_array().unwrap().iter().map(|change| {
        let text = |key: &str| change[key].as_str().unwrap_or_default().to_owned();
        let keys: Vec<&str> = change["keys"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        format!("{} {} {} [{}] {}", text("part"), text("name"), text("kind"), keys.join(" "), text("effect"))
    });
    each.collect()
}

fn variable(app: &App, name: &str) -> Value {
    let env: Value = serde_json::from_str(&app.get("/env").unwrap().body).unwrap();
    env[name].clone()
}

#[test]
fn what_differs_is_planned_and_put_in_force_and_nothing_else_is_touched() {
    let app = App::new(BEFORE);
    let fresh = run(&app, &["plan"], 0);
    assert!(fresh.contains("+ service web") && fresh.contains("Nothing runs"), "{fresh}");
    app.up();
    assert!(run(&app, &["plan"], 0).contains("runs as the manifest says"));
    let (web, api) = (app.pids("web"), app.pids("api"));
    let old = app.pids("old");

    let scripted = testkit::scripted_service();
    let new = format!("[services.new]\ncommand = \"{}\"\nhealth = \"/health\"\n", scripted.display());
    edit(
        &app,
        &[
            ("path = \"/old\"\nservice = \"old\"", "path = \"/new\"\nservice = \"new\""),
            ("[services.old]\n", "[services.unused]\n"),
            ("calls = [\"api\"]\n", "calls = [\"api\", \"new\"]\nenv = { COLOUR = \"blue\" }\n"),
            ("[services.api]\n", "[services.api]\nlimits = { timeout = \"7s\" }\n"),
            ("[services.unused]\n", &format!("{new}[services.unused]\n")),
        ],
    );
    assert_eq!(
        plan(&app),
        [
            "gateway  changed [routes] at_once",
            "service api changed [limits.timeout] at_once",
            "service new added [] start",
            "service old removed [] stop",
            "service unused added [] start",
            "service web changed [calls env.COLOUR] rollout",
        ]
    );
    assert_eq!(app.pids("web"), web, "a plan changes nothing");

    let load = Load::start(app.gateway(), "/slow?ms=2", 4);
    load.wait_for_more(100);
    let said = run(&app, &["up", "-d"], 0);
    assert!(said.contains("- service old") && said.contains("web runs"), "{said}");
    load.wait_for_more(100);
    let report = load.stop();
    assert!(report.failures.is_empty(), "{report:#?}");

    app.wait_ready();
    assert_eq!(app.pids("api"), api, "its limits need no new process");
    assert_ne!(app.pids("web"), web);
    assert_eq!(variable(&app, "COLOUR"), "blue");
    assert!(variable(&app, "NEW_URL").is_string());
    assert_eq!(app.get("/new/pid").unwrap().status, 200);
    let status = app.status();
    assert!(status["services"].as_array().unwrap().iter().all(|s| s["name"] != "old"), "{status:#}");
    testkit::wait_until("the replica of old has ended", || app.processes(), |all| !all.contains(&old[0]));
    assert_eq!(plan(&app), Vec::<String>::new());

    // The next control plane finds what it would have started.
    let control = u32::try_from(app.status()["pid"].as_u64().unwrap()).unwrap();
    let pids = [app.pids("web"), app.pids("api"), app.pids("new")];
    app.kill(control);
    app.up();
    assert_eq!([app.pids("web"), app.pids("api"), app.pids("new")], pids);
}

#[test]
fn a_deploy_of_one_service_takes_its_settings_alone() {
    let app = App::new(BEFORE);
    app.up();
    let api = app.pids("api");
    let blue = "\nenv = { COLOUR = \"blue\" }\nhealth = { path = \"/health\", interval = \"100ms\" }\n";
    edit(&app, &[("\nhealth = { path = \"/health\", interval = \"100ms\" }\n", blue)]);
    assert_eq!(plan(&app).len(), 3);
    run(&app, &["deploy", "web"], 0);
    assert_eq!(variable(&app, "COLOUR"), "blue");
    assert_eq!(app.pids("api"), api);
    assert_eq!(plan(&app).len(), 2, "the others still differ");

    edit(&app, &[("calls = [\"api\"]", "calls = [\"api\", \"late\"]")]);
    edit(
        &app,
        &[("[services.old]", "[services.late]\ncommand = \"true\"\nhealth = \"none\"\n[services.old]")],
    );
    let refused = run(&app, &["deploy", "web"], 1);
    assert!(refused.contains("`web` calls `late`") && refused.contains("isles up"), "{refused}");
}

#[test]
fn what_cannot_be_is_refused_before_anything_happens() {
    let app = App::new(BEFORE);
    app.up();
    let pids = (app.pids("web"), app.pids("api"));
    edit(&app, &[("name = \"test\"", "name = \"other\"")]);
    assert_eq!(plan(&app), ["app name changed [] refused"]);
    let refused = run(&app, &["deploy", "--all"], 1);
    assert!(refused.contains("isles down"), "{refused}");
    edit(&app, &[("name = \"other\"", "name = \"test\"\ntypo = 1")]);
    for command in [&["plan"][..], &["up", "-d"], &["deploy", "web"], &["deploy", "--all"]] {
        assert!(run(&app, command, 2).contains("typo"));
    }
    assert_eq!((app.pids("web"), app.pids("api")), pids);
    assert_eq!(app.status()["state"], "ready");
}

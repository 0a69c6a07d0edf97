//! What a user gets from the program when no app runs: texts, JSON, exit codes.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const GOOD: &str = r#"
name = "shop"
[services.orders]
command = "sleep 60"
health = "none"
calls = ["payments"]
[services.payments]
command = "sleep 60"
health = "none"
"#;

const BAD: &str = r#"
name = "shop"
[services.orders]
comand = "sleep 60"
calls = ["paymets"]
[services.payments]
command = "sleep 60"
"#;

fn app(manifest: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("isles.toml"), manifest).unwrap();
    folder
}

fn isles(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_isles"))
        .args(args)
        .current_dir(folder)
        .env_remove("NO_COLOR")
        .env_remove("CLICOLOR_FORCE")
        .stdin(Stdio::null())
        .output()
        .expect("the program runs")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("an exit code")
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn check_says_what_is_declared() {
    let folder = app(GOOD);
    let deep = folder.path().join("a/b");
    fs::create_dir_all(&deep).unwrap();
    for (here, args) in [
        (folder.path(), vec!["check"]),
        (&deep, vec!["check"]),
        (Path::new("/"), { vec!["-f", folder.path().to_str().unwrap(), "check"] }),
    ] {
        let done = isles(here, &args);
        assert_eq!(code(&done), 0, "{}", err(&done));
        assert_eq!(out(&done), "✓ shop is well declared: 2 services, 1 call between them\n");
    }
    let json: serde_json::Value =
        serde_json::from_str(&out(&isles(folder.path(), &["check", "--json"]))).unwrap();
    assert_eq!(json["ok"], true);
    assert_eq!(json["services"], serde_json::json!(["orders", "payments"]));
}

#[test]
fn check_shows_every_fault() {
    let folder = app(BAD);
    let done = isles(folder.path(), &["check"]);
    assert_eq!(code(&done), 2);
    assert_eq!(out(&done), "");
    let text = err(&done);
    for expected in ["comand", "paymets", "isles.toml:4:", "in isles.toml"] {
        assert!(text.contains(expected), "{expected:?} is not in\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "no styles without a terminal\n{text}");
    assert!(err(&isles(folder.path(), &["check", "--color", "always"])).contains('\u{1b}'));

    let done = isles(folder.path(), &["check", "--json"]);
    assert_eq!(code(&done), 2);
    let json: serde_json::Value = serde_json::from_str(&out(&done)).unwrap();
    assert_eq!(json["ok"], false);
    assert!(json["faults"].as_array().unwrap().len() >= 2, "{json}");
    assert_eq!(json["faults"][0]["line"], 4);
}

#[test]
fn wrong_use_is_told_apart() {
    let folder = app(GOOD);
    let empty = tempfile::tempdir().unwrap();
    for (here, args, expected) in [
        (folder.path(), vec!["dance"], "unrecognized subcommand 'dance'"),
        (folder.path(), vec!["restart"], "required"),
        (folder.path(), vec!["wait", "--timeout", "5"], "a duration is a whole number with its unit"),
        (empty.path(), vec!["ps"], "there is no isles.toml in"),
        (folder.path(), vec!["-f", "other.toml", "ps"], "cannot read"),
    ] {
        let done = isles(here, &args);
        assert_eq!(code(&done), 2, "{args:?}: {}", err(&done));
        assert!(err(&done).contains(expected), "{args:?}: {}", err(&done));
    }
    assert_eq!(code(&isles(folder.path(), &["up", "-f", "isles.toml", "--json"])), 2);
    assert_eq!(code(&isles(app(BAD).path(), &["up"])), 2);
    assert_eq!(code(&isles(app(BAD).path(), &["up", "-d"])), 2);
}

#[test]
fn nothing_running_has_its_own_code() {
    let folder = app(GOOD);
    for args in [
        vec!["ps"],
        vec!["ps", "--json"],
        vec!["down"],
        vec!["logs"],
        vec!["logs", "-f"],
        vec!["restart", "orders"],
        vec!["scale", "orders", "2"],
        vec!["wait"],
    ] {
        let done = isles(folder.path(), &args);
        assert_eq!(code(&done), 5, "{args:?}: {}", err(&done));
        assert!(err(&done).starts_with("error: nothing is running here\nhelp: "), "{args:?}: {}", err(&done));
        assert_eq!(out(&done), "", "{args:?}");
    }
    // A broken manifest keeps nobody from stopping what runs.
    assert_eq!(code(&isles(app(BAD).path(), &["down"])), 5);
}

#[test]
fn doctor_fails_for_a_missing_program_and_says_what_to_do() {
    let folder = app(&GOOD.replace("\"sleep 60\"", "\"no-such-program-here\""));
    let done = isles(folder.path(), &["doctor"]);
    assert_eq!(code(&done), 1);
    assert!(out(&done).contains("`no-such-program-here` is not in PATH"), "{}", out(&done));
    assert!(out(&done).contains("fix: "), "{}", out(&done));

    let done = isles(folder.path(), &["doctor", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&out(&done)).unwrap();
    assert_eq!((code(&done), &json["ok"]), (1, &serde_json::Value::Bool(false)));
    let orders = json["findings"].as_array().unwrap().iter().find(|f| f["topic"] == "orders").unwrap();
    assert_eq!(orders["level"], "fail");
}

#[test]
fn doctor_names_a_taken_port() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let routes = "[[gateway.routes]]\npath = \"/\"\nservice = \"orders\"\n";
    let folder = app(&format!("{GOOD}\n[gateway]\nlisten = \"{address}\"\n{routes}"));
    let done = isles(folder.path(), &["doctor", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&out(&done)).unwrap();
    let findings = json["findings"].as_array().unwrap();
    let port = findings.iter().find(|f| f["topic"] == address.to_string()).unwrap();
    assert_eq!((code(&done), &port["level"]), (1, &serde_json::Value::from("fail")));
}

#[test]
fn completions_are_scripts() {
    let folder = app(GOOD);
    for shell in ["bash", "zsh", "fish"] {
        let done = isles(folder.path(), &["completions", shell]);
        assert_eq!(code(&done), 0);
        assert!(out(&done).contains("restart"), "{shell}");
    }
}

/// As in `isles completions bash | true`: the reader is gone before anything is written.
#[test]
fn a_closed_pipe_ends_it_quietly() {
    let folder = app(GOOD);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let done = Command::new(env!("CARGO_BIN_EXE_isles"))
        .args(["completions", "bash"])
        .current_dir(folder.path())
        .stdout(writer)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!((code(&done), err(&done).as_str()), (0, ""));
}

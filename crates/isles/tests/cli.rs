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
fn doctor_says_whether_a_limit_of_processors_can_be_kept() {
    let finding = |manifest: &str| {
        let done = isles(app(manifest).path(), &["doctor", "--json"]);
        let json: serde_json::Value = serde_json::from_str(&out(&done)).unwrap();
        json["findings"].as_array().unwrap().iter().find(|f| f["topic"] == "cpu").unwrap().clone()
    };
    let kept = supervisor::cgroup::cpu_trouble().is_none();
    println!("kept by control groups: {kept}");
    let wanted = finding(&format!("{GOOD}\nlimits = {{ cpu = 0.5 }}\n"));
    assert_eq!(wanted["level"], if kept { "ok" } else { "warn" }, "{wanted}");
    let found = wanted["found"].as_str().unwrap();
    assert_eq!(found.contains("`limits.cpu` has no effect"), !kept, "{found}");
    assert_eq!(finding(GOOD)["level"], "ok", "nobody asks for it");
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

#[test]
fn api_diff_refuses_what_breaks() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let api = |parameters: &str| {
        format!(
            "openapi: 3.1.0\npaths:\n  /a:\n    get:\n      parameters: {parameters}\n      responses: {{'200': {{description: x}}}}\n"
        )
    };
    write("old.yaml", &api("[]"));
    write("new.yaml", &api("[{name: q, in: query, required: true}]"));
    write("soft.yaml", &api("[{name: q, in: query}]"));
    write("bad.yaml", "openapi: 3.1.0\npaths: [\n");
    write(
        "old.proto",
        "syntax = \"proto3\";\nmessage M { int32 a = 1; }\nservice S { rpc Get(M) returns (M); }\n",
    );
    write(
        "new.proto",
        "syntax = \"proto3\";\nmessage M { string a = 1; }\nservice S { rpc Get(M) returns (M); }\n",
    );
    let diff = |args: &[&str]| isles(folder.path(), &[&["api", "diff"], args].concat());

    let breaking = diff(&["old.yaml", "new.yaml"]);
    assert_eq!(code(&breaking), 3, "{}", err(&breaking));
    let text = out(&breaking);
    assert!(text.contains("GET /a\n") && text.contains("new.yaml:5:20"), "{text}");
    assert!(text.ends_with("consumers break: 1 breaking\n"), "{text}");

    for (new, expected) in
        [("old.yaml", "nothing that a consumer"), ("soft.yaml", "no consumer breaks: 1 safe")]
    {
        let fine = diff(&["old.yaml", new]);
        assert_eq!((code(&fine), out(&fine).contains(expected)), (0, true), "{}", out(&fine));
    }
    let json = diff(&["old.yaml", "new.yaml", "--format", "json"]);
    let value: serde_json::Value = serde_json::from_str(&out(&json)).unwrap();
    assert_eq!(value["verdict"], "breaking");
    assert_eq!(value["changes"][0]["rule"], "new-required-request-parameter");
    let github = out(&diff(&["old.yaml", "new.yaml", "--format", "github"]));
    assert!(
        github.starts_with("::error file=new.yaml,line=5,col=20,title=new-required-request-parameter::"),
        "{github}"
    );

    let proto = diff(&["old.proto", "new.proto"]);
    assert_eq!(code(&proto), 3);
    assert!(out(&proto).contains("S/Get\n") && out(&proto).contains("new.proto:2:13"), "{}", out(&proto));

    for (new, says) in [
        ("bad.yaml", "bad.yaml:3:1: this is no YAML"),
        ("none.yaml", "cannot be read"),
        ("new.proto", "one is OpenAPI"),
    ] {
        let unreadable = diff(&["old.yaml", new]);
        assert_eq!(code(&unreadable), 2);
        assert!(err(&unreadable).contains(says), "{}", err(&unreadable));
    }
}

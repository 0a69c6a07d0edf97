//! From `up` to `down`, with real processes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use testkit::{App, get, wait_for, wait_until};

/// Two services: `web` behind the gateway, which may call `api`; and `api`, which may call nobody.
const TWO: &str = r#"
[[gateway.routes]]
path = "/"
service = "web"

[services.web]
dir = "."
command = "{scripted}"
calls = ["api"]
[services.web.env]
GREETING = "hello ${data}"

[services.api]
dir = "."
command = "{scripted}"
"#;

#[test]
fn a_service_sees_what_it_was_promised_and_reaches_only_whom_it_may_call() {
    let app = App::new(TWO);
    app.up();
    let env = app.get("/env").unwrap().json();
    assert_eq!(env["ISLES_APP"], "test");
    assert_eq!(env["ISLES_SERVICE"], "web");
    assert_eq!(env["ISLES_REPLICA"], "1");
    assert_eq!(env["OTEL_SERVICE_NAME"], "web");
    let data = app.root().join(".isles/data/web");
    assert_eq!(env["ISLES_DATA"], data.to_str().unwrap());
    assert_eq!(env["GREETING"], format!("hello {}", data.display()));
    assert_eq!(env["ISLES_RELEASE"], app.service("web")["release"]);

    let edge = env["API_URL"].as_str().unwrap().to_owned();
    let called = app.get(&format!("/call?url={edge}/env")).unwrap().json();
    assert_eq!(called["status"], 200);
    let api: serde_json::Value = serde_json::from_str(called["body"].as_str().unwrap()).unwrap();
    assert_eq!(api["ISLES_SERVICE"], "api");
    assert!(
        api.as_object().unwrap().keys().all(|k| !k.ends_with("_URL") || k == "TEST_POSTGRES_URL"),
        "{api:#}"
    );

    let seen = app.get(&format!("/call?url={edge}/headers")).unwrap().json();
    let seen: serde_json::Value = serde_json::from_str(seen["body"].as_str().unwrap()).unwrap();
    assert_eq!(seen["x-isles-caller"], "web", "a caller is known by its edge");
}

#[test]
fn down_leaves_no_process_and_says_so_when_there_is_none() {
    let app = App::new(TWO);
    app.up();
    assert!(app.processes().len() >= 3, "two services and the data plane");
    let pids = app.pids("web");
    let again = app.isles(&["up", "-d"]);
    assert_eq!(again.code, Some(0), "{again:?}");
    assert!(again.stderr.contains("runs already") && again.stderr.contains("unchanged"), "{again:?}");
    assert_eq!(app.pids("web"), pids);

    let down = app.isles(&["down"]);
    assert_eq!(down.code, Some(0), "{down:?}");
    assert_eq!(app.processes(), [0u32; 0]);
    assert!(app.get("/").is_err(), "the gateway is closed");
    for command in [&["down"][..], &["ps"], &["restart", "web"], &["scale", "web", "2"], &["wait"]] {
        let ended = app.isles(command);
        assert_eq!(ended.code, Some(5), "{command:?}: {ended:?}");
    }
}

#[test]
fn down_ends_what_a_killed_control_plane_left_running() {
    let app = App::new(TWO);
    app.up();
    let control = u32::try_from(app.status()["pid"].as_u64().unwrap()).unwrap();
    app.kill(control);
    wait_for("the socket is dead", || (app.isles(&["ps"]).code == Some(5)).then_some(()));
    assert!(app.get("/pid").is_ok(), "services run on, and the gateway serves them");
    assert!(app.processes().len() >= 3);
    let down = app.isles(&["down"]);
    assert_eq!(down.code, Some(0), "{down:?}");
    assert_eq!(app.processes(), [0u32; 0]);
}

#[test]
fn ctrl_c_drains_and_exits_0() {
    let app = App::new(TWO);
    let mut up = app.command(&["up"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    wait_for("the app is ready", || app.get("/pid").ok().filter(|a| a.status == 200));
    let gateway = app.gateway();
    let slow = std::thread::spawn(move || get(gateway, "/slow?ms=2000&say=slow-has-begun"));
    // The request has to be in flight before the signal.
    wait_until(
        "it is in flight",
        || app.isles(&["logs", "web"]).stdout,
        |text| text.contains("slow-has-begun"),
    );
    let pid = rustix::process::Pid::from_raw(up.id().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let status = up.wait().unwrap();
    assert_eq!(status.code(), Some(0));
    assert_eq!(slow.join().unwrap().unwrap().body, "slow", "what was in flight was finished");
    assert_eq!(app.processes(), [0u32; 0]);
}

#[test]
fn a_process_that_ignores_the_signal_is_killed_with_its_children_after_its_grace() {
    let app = App::new(
        r#"
[services.web]
dir = "."
command = "sh -c 'sleep 1000 & exec {scripted} stubborn'"
stop = { grace = "300ms" }
"#,
    );
    app.up();
    assert!(app.processes().len() >= 3, "the service, its child, the data plane");
    let down = app.isles(&["down"]);
    assert_eq!(down.code, Some(0), "{down:?}");
    assert_eq!(app.processes(), [0u32; 0]);
}

#[test]
fn a_failed_build_is_shown_with_its_last_lines_and_harms_nobody_else() {
    let app = App::new(
        r#"
[[gateway.routes]]
path = "/"
service = "web"
[services.web]
dir = "."
command = "{scripted}"
[services.broken]
dir = "."
build = ["sh", "-c", "echo compiling; echo the semicolon is missing >&2; exit 7"]
command = "true"
"#,
    );
    let up = app.isles(&["up", "-d"]);
    assert_eq!(up.code, Some(1), "{up:?}");
    let said = format!("{}{}", up.stdout, up.stderr);
    assert!(said.contains("the semicolon is missing") && said.contains("broken"), "{said}");
    wait_for("web serves all the same", || app.get("/pid").ok().filter(|a| a.status == 200));
    assert_eq!(app.service("broken")["state"], "build_failed");
}

#[test]
fn a_crash_loop_is_named_with_the_last_words_of_the_process() {
    let app = App::new(TWO);
    app.up();
    let data = app.root().join(".isles/data/api");
    std::fs::write(data.join("crash"), "").unwrap();
    app.kill(app.pids("api")[0]);
    let api = wait_until("a crash loop", || app.service("api"), |s| s["state"] == "crash_loop");
    let exit = &api["replicas"][0]["last_exit"];
    assert_eq!(exit["code"], 3);
    assert!(exit["last_lines"].to_string().contains("crashing because the test says so"), "{exit:#}");
    let ps = app.isles(&["ps"]);
    assert!(ps.stdout.contains("crashing because the test says so"), "{}", ps.stdout);
    let wait = app.isles(&["wait", "--timeout", "100ms"]);
    assert_eq!(wait.code, Some(1), "{wait:?}");
    assert!(format!("{}{}", wait.stdout, wait.stderr).contains("api"), "{wait:?}");

    std::fs::remove_file(data.join("crash")).unwrap();
    let restart = app.isles(&["restart", "api"]);
    assert_eq!(restart.code, Some(0), "{restart:?}");
    app.wait_ready();
}

#[test]
fn before_start_runs_once_for_a_release() {
    let app = App::new(
        r#"
[services.web]
dir = "."
command = "{scripted}"
before_start = ["sh", "-c", "echo migrated >> \"$ISLES_DATA/migrations\""]
scale = 2
"#,
    );
    let migrations = || std::fs::read_to_string(app.root().join(".isles/data/web/migrations")).unwrap();
    app.up();
    assert_eq!(migrations(), "migrated\n");
    app.isles(&["restart", "web"]);
    app.wait_ready();
    assert_eq!(app.isles(&["down"]).code, Some(0));
    app.up();
    assert_eq!(migrations(), "migrated\n", "the release is the same");
}

#[test]
fn an_unhealthy_replica_gets_no_requests_until_it_is_well() {
    let app = App::new(
        r#"
[[gateway.routes]]
path = "/"
service = "web"
[services.web]
dir = "."
command = "{scripted}"
health = { path = "/health", interval = "50ms", failures = 2 }
"#,
    );
    app.up();
    let sick = app.root().join(".isles/data/web/unhealthy");
    std::fs::write(&sick, "").unwrap();
    wait_until("unready", || app.service("web"), |s| s["ready"] == 0);
    let answer = wait_until("no replica", || app.get("/pid").unwrap(), |a| a.status == 503);
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
    std::fs::remove_file(&sick).unwrap();
    wait_until("well again", || app.get("/pid").unwrap(), |a| a.status == 200);
}

#[test]
fn logs_are_kept_by_replica_and_readable_also_when_nothing_runs() {
    let app = App::new(TWO);
    app.up();
    app.get("/print?text=a-line-to-find").unwrap();
    let shown = |args: &[&str]| app.isles(args).stdout;
    wait_until("the line", || shown(&["logs", "web"]), |text| text.matches("a-line-to-find").count() == 2);
    assert!(!shown(&["logs", "api"]).contains("a-line-to-find"));
    let json = shown(&["logs", "--json", "-n", "50", "web"]);
    let lines: Vec<serde_json::Value> = json.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let found: Vec<_> =
        lines.iter().filter(|l| l["text"] == "a-line-to-find").map(|l| l["stream"].clone()).collect();
    assert!(found.contains(&"out".into()) && found.contains(&"err".into()), "{lines:#?}");
    app.isles(&["down"]);
    assert_eq!(shown(&["logs", "-n", "100", "web"]).matches("a-line-to-find").count(), 2);
}

#[test]
fn a_gateway_address_in_use_is_said_before_anything_starts() {
    let app = App::new(TWO);
    let _other = std::net::TcpListener::bind(app.gateway()).unwrap();
    let up = app.isles(&["up", "-d"]);
    assert_eq!(up.code, Some(1), "{up:?}");
    assert!(up.stderr.contains(&app.gateway().to_string()), "{up:?}");
    assert_eq!(app.processes(), [0u32; 0]);
}

#[test]
fn a_secret_reaches_the_service_that_names_it_and_nobody_else() {
    let manifest = r#"
name = "test"
[gateway]
listen = "127.0.0.1:8080"
[[gateway.routes]]
path = "/web"
service = "web"
strip = true
[[gateway.routes]]
path = "/pay"
service = "pay"
strip = true
[services.web]
dir = "."
command = "{scripted}"
[services.pay]
dir = "."
before_start = "sh -c 'echo prepared with $API_KEY'"
command = ["sh", "-c", "echo connects with $API_KEY; exec {scripted}"]
[services.pay.env]
API_KEY = "${secret.KEY}"
"#;
    let manifest = manifest.replace("{scripted}", testkit::scripted_service().to_str().unwrap());
    let app = App::of_manifest(&manifest, &[("ISLES_SECRET_KEY", "s3cret-value")]);
    app.up();
    assert_eq!(app.get("/pay/env").unwrap().json()["API_KEY"], "s3cret-value");
    assert!(!app.get("/web/env").unwrap().body.contains("s3cret-value"));
    let logs = app.isles(&["logs"]).stdout;
    assert!(logs.contains("connects with •••"), "what it writes is masked: {logs}");
    let prepared = std::fs::read_to_string(app.root().join(".isles/logs/pay/build.log")).unwrap();
    assert_eq!(prepared, "prepared with •••\n");
    for said in [app.control_log(), app.isles(&["ps", "--json"]).stdout, logs] {
        assert!(!said.contains("s3cret-value"), "{said}");
    }
    // A process that was started before is adopted together with what it knows.
    app.kill(u32::try_from(app.status()["pid"].as_u64().unwrap()).unwrap());
    app.up();
    assert_eq!(app.get("/pay/print?text=still-s3cret-value").unwrap().status, 200);
    let logs = || app.isles(&["logs", "pay"]).stdout;
    let logs = wait_until("the line is kept", logs, |logs| logs.contains("still-"));
    assert!(logs.contains("still-•••") && logs.contains("adopted"), "{logs}");
}

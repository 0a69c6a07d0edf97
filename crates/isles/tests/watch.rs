//! `isles up --watch`: what somebody saves runs a moment later, and nothing else is touched.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::fs::File;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use testkit::{App, Load, wait_until};

/// Without anybody to judge, a rollout here would take an hour.
const APP: &str = r#"
[[gateway.routes]]
path = "/"
service = "web"
[services.web]
dir = "web"
build = "sh build.sh"
command = "{scripted}"
health = { path = "/health", interval = "100ms" }
deploy = { hold = "1h", ready = "3s" }
[services.api]
dir = "api"
command = "{scripted}"
health = { path = "/health", interval = "100ms" }
"#;

struct Watching<'a> {
    app: &'a App,
    child: Child,
}

impl<'a> Watching<'a> {
    fn start(app: &'a App) -> Self {
        let said = File::create(app.root().join("said.txt")).unwrap();
        let (out, err) = (Stdio::from(said.try_clone().unwrap()), Stdio::from(said));
        let child = app.command(&["up", "--watch"]).stdout(out).stderr(err).spawn().unwrap();
        Self { app, child }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.app.root().join("said.txt")).unwrap()
    }

    /// Waits until it has said `what` so many times.
    #[track_caller]
    fn wait_for(&self, what: &str, times: usize) {
        wait_until(what, || self.said(), |said| said.matches(what).count() >= times);
    }

    fn end(mut self) -> Option<i32> {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        self.child.wait().unwrap().code()
    }
}

fn app() -> App {
    let app = App::new(APP);
    for service in ["web", "api"] {
        std::fs::create_dir(app.root().join(service)).unwrap();
    }
    write(&app, "web/build.sh", "date +%N > built.log");
    write(&app, "web/.gitignore", "*.log\n");
    write(&app, "web/script", "version 1");
    app
}

fn write(app: &App, file: &str, text: &str) {
    std::fs::write(app.root().join(file), text).unwrap();
}

#[test]
fn what_is_saved_runs_a_moment_later_and_nothing_else_is_touched() {
    let app = app();
    let watching = Watching::start(&app);
    watching.wait_for("ready", 1);
    app.wait_ready();
    let (web, api) = (app.pids("web"), app.pids("api"));
    let load = Load::start(app.gateway(), "/slow?ms=2", 4);
    load.wait_for_more(100);

    write(&app, "web/script", "version 2");
    watching.wait_for("web runs", 1);
    assert!(watching.said().contains("web/script has changed"), "{}", watching.said());
    let second = app.pids("web");
    assert_ne!(second, web);

    // What does not build harms nobody, and the next attempt is seen.
    write(&app, "web/build.sh", "echo no such thing >&2; exit 1");
    watching.wait_for("no such thing", 1);
    assert_eq!(app.pids("web"), second);
    write(&app, "web/build.sh", "true");
    watching.wait_for("web runs", 2);

    // The same with a manifest.
    let manifest = std::fs::read_to_string(app.root().join("isles.toml")).unwrap();
    write(&app, "isles.toml", &format!("{manifest}typo = 1\n"));
    watching.wait_for("1 error in isles.toml", 1);
    write(
        &app,
        "isles.toml",
        &manifest.replace("dir = \"web\"", "dir = \"web\"\nenv = { COLOUR = \"blue\" }"),
    );
    watching.wait_for("web runs", 3);
    assert_eq!(app.get("/env").unwrap().json()["COLOUR"], "blue");

    load.wait_for_more(100);
    let report = load.stop();
    assert!(report.failures.is_empty(), "{report:#?}");
    assert_eq!(app.pids("api"), api, "nobody has touched it");
    assert_eq!(watching.end(), Some(0));
    assert_eq!(app.processes(), Vec::<u32>::new());
}

#[test]
fn an_app_that_runs_already_is_left_running() {
    let app = app();
    app.up();
    let watching = Watching::start(&app);
    watching.wait_for("waiting for files to change", 1);
    write(&app, "web/script", "version 2");
    watching.wait_for("web runs", 1);
    let web = app.pids("web");
    assert_eq!(watching.end(), Some(0));
    assert_eq!(app.pids("web"), web);
    assert_eq!(app.status()["state"], "ready");
    assert!(app.isles(&["up", "--watch", "-d"]).code == Some(2));
}

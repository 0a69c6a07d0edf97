//! Whatever is killed comes back, and what could be kept is kept: real load, real SIGKILLs.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use testkit::{App, Load, wait_until};

/// `web` has two replicas and calls nobody.
const WEB: &str = r#"
[[gateway.routes]]
path = "/"
service = "web"

[services.web]
dir = "."
command = "{scripted}"
scale = 2
"#;

const CONNECTIONS: usize = 8;
/// Requests that have to go well before and after what is done to the app.
const SOME: u64 = 300;

fn pid(app: &App, key: &str) -> u32 {
    u32::try_from(app.status()[key].as_u64().unwrap()).unwrap()
}

#[test]
fn a_killed_replica_of_two_loses_no_request_and_comes_back() {
    let app = App::new(WEB);
    app.up();
    let load = Load::start(app.gateway(), "/some/path", CONNECTIONS);
    for _ in 0..3 {
        load.wait_for_more(SOME);
        let before = app.pids("web");
        app.kill(before[0]);
        wait_until(
            "two replicas, one of them new",
            || app.pids("web"),
            |now| now.len() == 2 && *now != before,
        );
    }
    load.wait_for_more(SOME);
    let report = load.stop();
    assert!(report.failures.is_empty(), "{report:#?}");
    assert!(app.service("web")["replicas"].to_string().contains("\"signal\":9"), "the reason is kept");
}

#[test]
fn a_killed_control_plane_loses_no_request_and_the_next_one_adopts_what_runs() {
    let app = App::new(WEB);
    app.up();
    let before = (app.pids("web"), pid(&app, "proxy_pid"));
    let load = Load::start(app.gateway(), "/some/path", CONNECTIONS);
    load.wait_for_more(SOME);
    app.kill(pid(&app, "pid"));
    load.wait_for_more(SOME);
    app.get("/print?text=written-while-nobody-looked").unwrap();
    app.up();
    load.wait_for_more(SOME);
    assert_eq!((app.pids("web"), pid(&app, "proxy_pid")), before, "the same processes");
    let report = load.stop();
    assert!(report.failures.is_empty(), "{report:#?}");
    let line =
        || app.isles(&["logs", "-n", "500", "web"]).stdout.matches("written-while-nobody-looked").count();
    wait_until("what was written meanwhile is in the logs", line, |count| *count == 2);
    let found = app.isles(&["logs", "--search", "Written-While", "-n", "1"]).stdout;
    assert!(found.lines().count() == 1 && found.contains("written-while-nobody-looked"), "{found}");

    // The adopted are supervised as well as one's own.
    app.kill(before.0[0]);
    wait_until(
        "an adopted replica is started anew",
        || app.pids("web"),
        |now| now.len() == 2 && *now != before.0,
    );
}

#[test]
fn a_replica_that_dies_while_there_is_no_control_plane_is_started_by_the_next() {
    let app = App::new(WEB);
    app.up();
    let before = app.pids("web");
    app.kill(pid(&app, "pid"));
    app.kill(before[1]);
    app.up();
    let after = wait_until("two replicas", || app.pids("web"), |now| now.len() == 2);
    assert_eq!(after[0], before[0]);
    assert_ne!(after[1], before[1]);
}

#[test]
fn a_killed_data_plane_comes_back_on_the_same_addresses() {
    let app = App::new(
        r#"
[[gateway.routes]]
path = "/"
service = "web"
[services.web]
dir = "."
command = "{scripted}"
calls = ["api"]
[services.api]
dir = "."
command = "{scripted}"
"#,
    );
    app.up();
    let edge = app.get("/env").unwrap().json()["API_URL"].as_str().unwrap().to_owned();
    let services = (app.pids("web"), app.pids("api"));
    let proxy = pid(&app, "proxy_pid");
    app.kill(proxy);
    wait_until(
        "another data plane",
        || app.status()["proxy_pid"].as_u64(),
        |now| now.is_some_and(|now| now != u64::from(proxy)),
    );
    let called =
        wait_until("the gateway", || app.get(&format!("/call?url={edge}/pid")).ok(), Option::is_some);
    assert_eq!(called.unwrap().json()["status"], 200);
    assert_eq!((app.pids("web"), app.pids("api")), services, "no service noticed");
}

#[test]
fn scaling_and_restarting_under_load_loses_no_request() {
    let app = App::new(WEB);
    app.up();
    let load = Load::start(app.gateway(), "/slow?ms=3", CONNECTIONS);
    for replicas in ["4", "1", "2"] {
        load.wait_for_more(SOME);
        let scaled = app.isles(&["scale", "web", replicas]);
        assert_eq!(scaled.code, Some(0), "{scaled:?}");
        let count = replicas.parse::<usize>().unwrap();
        wait_until(
            "scaled",
            || app.service("web"),
            |s| s["replicas"].as_array().is_some_and(|r| r.len() == count) && s["ready"] == count,
        );
    }
    let before = app.pids("web");
    let restarted = app.isles(&["restart", "web"]);
    assert_eq!(restarted.code, Some(0), "{restarted:?}");
    wait_until(
        "all new",
        || app.pids("web"),
        |now| now.len() == 2 && now.iter().all(|p| !before.contains(p)),
    );
    load.wait_for_more(SOME);
    let report = load.stop();
    assert!(report.failures.is_empty(), "{report:#?}");
}

fn proxy_pid(app: &App) -> u32 {
    pid(app, "proxy_pid")
}

#[test]
fn a_newer_program_takes_the_data_planes_place_and_loses_no_request() {
    let mut app = App::new(WEB);
    app.up();
    let replicas = app.pids("web");
    let load = Load::start(app.gateway(), "/slow?ms=3", CONNECTIONS);
    let mut planes = vec![proxy_pid(&app)];
    for _ in 0..2 {
        load.wait_for_more(SOME);
        app.kill(pid(&app, "pid"));
        app.upgrade();
        app.up();
        planes.push(proxy_pid(&app));
        load.wait_for_more(SOME);
    }
    let mut different = planes.clone();
    different.dedup();
    assert_eq!(different.len(), 3, "each has been replaced: {planes:?}");
    assert_eq!(app.pids("web"), replicas, "the services did not notice");
    // The replica that the load uses is replaced while a retired data plane may still be there.
    assert_eq!(app.isles(&["restart", "web"]).code, Some(0));
    wait_until(
        "all new",
        || app.pids("web"),
        |now| now.len() == 2 && now.iter().all(|p| !replicas.contains(p)),
    );
    load.wait_for_more(SOME);
    let report = load.stop();
    assert!(report.failures.is_empty(), "{report:#?}");
    wait_until(
        "those that were replaced have ended",
        || app.status()["retired_proxies"].clone(),
        |retired| retired.as_array().is_some_and(Vec::is_empty),
    );
    let before = proxy_pid(&app);
    app.kill(pid(&app, "pid"));
    app.up();
    assert_eq!(proxy_pid(&app), before, "the same program adopts its data plane");
}

#[test]
fn a_control_plane_killed_during_a_hand_over_leaves_what_the_next_one_can_use() {
    let mut app = App::new(WEB);
    app.up();
    let load = Load::start(app.gateway(), "/some/path", CONNECTIONS);
    let log = app.root().join(".isles/proxy.log");
    for what in ["successor=true", "a successor has got the sockets", "this data plane leads"] {
        load.wait_for_more(SOME);
        app.kill(pid(&app, "pid"));
        app.upgrade();
        let said = |app: &App| {
            std::fs::read_to_string(app.root().join(".isles/proxy.log")).unwrap().matches(what).count()
        };
        let before = said(&app);
        let mut starting = app.command(&["up", "--detach"]).spawn().unwrap();
        wait_until("the hand-over has come that far", || said(&app), |now| *now > before);
        let control = std::fs::read_to_string(app.root().join(".isles/lock")).unwrap();
        app.kill(control.trim().parse().unwrap());
        starting.wait().unwrap();
        load.wait_for_more(SOME);
        app.up();
        load.wait_for_more(SOME);
    }
    let report = load.stop();
    assert!(report.failures.is_empty(), "{report:#?}\n{}", std::fs::read_to_string(log).unwrap());
    let (control, proxy) = (pid(&app, "pid"), proxy_pid(&app));
    let services = app.pids("web");
    wait_until(
        "one control plane, one data plane and two replicas are left",
        || app.processes().into_iter().filter(|p| *p != control && *p != proxy).collect::<Vec<_>>(),
        |left| left.iter().all(|p| services.contains(p)),
    );
}

#[test]
fn a_successor_that_cannot_start_changes_nothing_and_is_told() {
    let mut app = App::new(WEB);
    app.up();
    let before = proxy_pid(&app);
    let load = Load::start(app.gateway(), "/some/path", CONNECTIONS);
    load.wait_for_more(SOME);
    app.kill(pid(&app, "pid"));
    app.upgrade();
    // What a data plane writes to is taken away for as long as the new one starts.
    let log = app.root().join(".isles/proxy.log");
    std::fs::remove_file(&log).unwrap();
    std::fs::create_dir(&log).unwrap();
    app.up();
    assert_eq!(proxy_pid(&app), before);
    load.wait_for_more(SOME);
    let told = app.isles(&["ps"]).stdout;
    assert!(told.contains("is of another build, and could not be replaced"), "{told}");
    // It is told of changes like any other.
    assert_eq!(app.isles(&["scale", "web", "3"]).code, Some(0));
    wait_until("three replicas", || app.pids("web"), |now| now.len() == 3);
    let report = load.stop();
    assert!(report.failures.is_empty(), "{report:#?}");
    std::fs::remove_dir(&log).unwrap();
}

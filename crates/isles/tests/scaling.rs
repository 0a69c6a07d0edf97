//! Replicas follow the requests, down to none and back, and nobody notices: real load, real processes, real SIGKILLs.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::net::SocketAddr;

use testkit::{App, Load, get, wait_until};

/// A service that is scaled by its load; the window is short so that a test can wait for it.
fn app(scale: &str) -> App {
    App::new(&format!(
        r#"
[[gateway.routes]]
path = "/"
service = "web"
[services.web]
command = "{{scripted}}"
health = {{ path = "/health", interval = "100ms" }}
limits = {{ timeout = "30s" }}
scale = {scale}
"#
    ))
}

fn wait_for_replicas(app: &App, what: &str, enough: impl Fn(u64) -> bool) {
    let count = || {
        let web = app.service("web");
        (web["replicas"].as_array().map_or(0, Vec::len) as u64, web["ready"].as_u64().unwrap())
    };
    wait_until(what, count, |(all, ready)| enough(*ready) && (*ready > 0 || *all == 0));
}

/// So many requests at once, of which every one has to go well.
fn crowd(gateway: SocketAddr, size: usize) {
    let customers: Vec<_> = (0..size).map(|_| std::thread::spawn(move || get(gateway, "/hello"))).collect();
    for customer in customers {
        let answer = customer.join().unwrap().unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, "/hello"));
    }
}

#[test]
fn a_service_without_requests_goes_to_zero_and_the_next_ones_wait_for_it() {
    let app = app(r#"{ min = 0, max = 3, concurrency = 50, window = "1s" }"#);
    app.up();
    assert_eq!(app.pids("web").len(), 1, "it begins with one, so that it is known to start");
    wait_for_replicas(&app, "it went to zero", |ready| ready == 0);
    assert_eq!(app.status()["state"], "ready", "nothing is wrong with that");
    let shown = app.isles(&["ps"]).stdout;
    assert!(shown.contains("scaled to zero"), "{shown}");

    crowd(app.gateway(), 30);
    let web =
        wait_until("it is said how long that took", || app.service("web"), |w| !w["cold_start"].is_null());
    println!("cold start: {} ms", web["cold_start"]);
    wait_for_replicas(&app, "it went to zero again", |ready| ready == 0);
    let shown = app.isles(&["ps"]).stdout;
    assert!(shown.contains("scaled to zero, last started in"), "{shown}");

    // Whoever waits while there is no control plane waits for the next one too.
    let control = u32::try_from(app.status()["pid"].as_u64().unwrap()).unwrap();
    app.kill(control);
    let gateway = app.gateway();
    let waiting = std::thread::spawn(move || crowd(gateway, 10));
    app.up();
    waiting.join().unwrap();
}

#[test]
fn replicas_are_added_under_load_and_go_when_it_is_over_and_no_request_fails() {
    let app = app(r#"{ min = 1, max = 3, concurrency = 2, window = "2s" }"#);
    app.up();
    let load = Load::start(app.gateway(), "/slow?ms=20", 6);
    wait_for_replicas(&app, "there are as many as the load needs", |ready| ready == 3);
    load.wait_for_more(200);
    let said = app.control_log();
    assert!(said.contains("requests in flight on average"), "{said}");
    // By hand for a moment, within its bounds; the load has the last word.
    assert_eq!(app.isles(&["scale", "web", "4"]).code, Some(1));
    let by_hand = app.isles(&["scale", "web", "2"]);
    assert_eq!(by_hand.code, Some(0), "{by_hand:?}");
    wait_for_replicas(&app, "the load has it scaled up again", |ready| ready == 3);
    let busy = load.stop();
    assert!(busy.failures.is_empty(), "{busy:#?}");

    let calm = Load::start(app.gateway(), "/slow?ms=1", 1);
    wait_for_replicas(&app, "one is enough", |ready| ready == 1);
    calm.wait_for_more(50);
    let calm = calm.stop();
    assert!(calm.failures.is_empty(), "{calm:#?}");
}

#[test]
fn a_limit_of_processors_is_kept_or_it_is_shown_why_not() {
    let app = App::new(
        r#"
[services.web]
command = "{scripted}"
health = { path = "/health", interval = "100ms" }
limits = { cpu = 0.5, memory = "256MB" }
"#,
    );
    app.up();
    let (shown, problem) = (app.isles(&["ps"]).stdout, app.status()["limits_problem"].clone());
    let groups = std::fs::read_to_string(format!("/proc/{}/cgroup", app.pids("web")[0])).unwrap();
    println!("control groups: {groups}; {problem}");
    match problem.as_str() {
        None => assert!(groups.contains("-web-1-"), "{groups}"),
        Some(problem) => {
            assert!(problem.starts_with("`limits.cpu` of web has no effect: "), "{problem}");
            assert!(shown.contains(problem), "{shown}");
        }
    }
}

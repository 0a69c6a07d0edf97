//! One service is updated, and nobody notices: real load, real processes, real SIGKILLs.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Stdio};

use serde_json::Value;
use testkit::{App, Load, wait_until};

const CONNECTIONS: usize = 8;
/// Requests that have to go well before and after what is done to the app.
const SOME: u64 = 300;

/// `web` runs from the folder `web`, where the file `script` says what it does; `deploy` is its way of being deployed.
fn app(deploy: &str, more: &str) -> App {
    let app = App::new(&format!(
        r#"
[[gateway.routes]]
path = "/"
service = "web"
[services.web]
dir = "web"
command = "{{scripted}}"
health = {{ path = "/health", interval = "100ms", failures = 2 }}
deploy = {deploy}
{more}
"#
    ));
    std::fs::create_dir(app.root().join("web")).unwrap();
    script(&app, "version 1");
    app
}

const ROLLING: &str = r#"{ hold = "300ms", ready = "3s" }"#;
const CANARY: &str = r#"{ strategy = "canary", steps = [10, 50], hold = "400ms", ready = "3s" }"#;

fn script(app: &App, text: &str) {
    std::fs::write(app.root().join("web/script"), text).unwrap();
}

#[track_caller]
fn run(app: &App, args: &[&str], code: i32) -> String {
    let ended = app.isles(args);
    assert_eq!(ended.code, Some(code), "{args:?}: {ended:#?}\n{:#}", app.service("web")["rollout"]);
    ended.stderr + &ended.stdout
}

fn release(app: &App) -> String {
    app.service("web")["release"].as_str().unwrap().to_owned()
}

fn pid(app: &App, key: &str) -> u32 {
    u32::try_from(app.status()[key].as_u64().unwrap()).unwrap()
}

/// Waits until the latest rollout of `web` has ended, and gives it.
#[track_caller]
fn ended(app: &App) -> Value {
    let rollout = || {
        let ended = app.isles(&["ps", "--json"]);
        let status: Value = serde_json::from_str(&ended.stdout).unwrap_or_default();
        status["services"].as_array().and_then(|s| s.iter().find(|s| s["name"] == "web").cloned())
    };
    let web = wait_until("the rollout has ended", rollout, |web| {
        web.as_ref().is_some_and(|web| web["rollout"]["outcome"].is_string())
    });
    web.unwrap()["rollout"].clone()
}

#[test]
fn a_release_does_not_depend_on_its_source_and_can_be_gone_back_to() {
    let app = app(ROLLING, "");
    app.up();
    let first = release(&app);
    let pids = app.pids("web");
    assert!(run(&app, &["deploy", "web"], 0).contains("unchanged"));
    assert_eq!((app.pids("web"), release(&app)), (pids, first.clone()), "nothing is started anew");

    script(&app, "version 2");
    run(&app, &["deploy", "web"], 0);
    let second = release(&app);
    assert_ne!(second, first);
    assert_eq!(app.get("/release").unwrap().body, second);

    std::fs::remove_dir_all(app.root().join("web")).unwrap();
    run(&app, &["restart", "web"], 0);
    assert_eq!(app.get("/release").unwrap().body, second, "the source is not needed");

    run(&app, &["rollback", "web"], 0);
    assert_eq!((release(&app), app.get("/release").unwrap().body), (first.clone(), first.clone()));
    run(&app, &["rollback", "web", &second[..5]], 0);
    assert_eq!(release(&app), second);
    assert!(run(&app, &["rollback", "web", "nonesuch"], 1).contains("isles releases web"));

    let table = run(&app, &["releases", "web"], 0);
    assert!(table.contains(&first) && table.contains("in charge"), "{table}");
    let json: Value = serde_json::from_str(&run(&app, &["releases", "web", "--json"], 0)).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 2);
    assert_eq!(run(&app, &["promote", "web"], 1).matches("no rollout").count(), 1);
}

#[test]
fn a_failed_build_and_a_failed_before_start_touch_nothing() {
    let more = "build = [\"sh\", \"-c\", \"grep -q broken script && { echo no semicolon; exit 1; }; true\"]\n\
                before_start = [\"sh\", \"-c\", \"! grep -q migration script\"]";
    let app = app(ROLLING, more);
    app.up();
    let (first, pids) = (release(&app), app.pids("web"));
    for (text, expected) in [("broken", "no semicolon"), ("migration", "before_start")] {
        script(&app, text);
        let said = run(&app, &["deploy", "web"], 1);
        assert!(said.contains(expected), "{said}");
        assert_eq!((release(&app), app.pids("web")), (first.clone(), pids.clone()));
        assert_eq!(app.status()["state"], "ready", "what runs is not worse for it");
    }
}

/// How many deploys there are under load; `bench/deploys.sh` asks for more.
fn deploys() -> u32 {
    std::env::var("ISLES_DEPLOYS").ok().and_then(|n| n.parse().ok()).unwrap_or(3)
}

/// Every way to send requests, each with its own idea of what a failure is.
struct Customers(Vec<(&'static str, Load)>);

impl Customers {
    fn start(app: &App) -> Self {
        let gateway = app.gateway();
        Self(vec![
            ("HTTP/1.1", Load::start(gateway, "/slow?ms=2", CONNECTIONS)),
            ("HTTP/2", Load::start_h2(gateway, "/slow?ms=2", CONNECTIONS / 4)),
            ("gRPC streams", Load::start_grpc(gateway, 2)),
            ("WebSocket", Load::start_websocket(gateway, 2)),
        ])
    }

    #[track_caller]
    fn stop(self, strategy: &str) {
        for (means, load) in self.0 {
            let report = load.stop();
            println!(
                "{strategy}, {means}: {} went well, {} failed, slowest {:?}",
                report.good,
                report.failures.len(),
                report.slowest
            );
            assert!(report.failures.is_empty() && report.good > 0, "{strategy}, {means}: {report:#?}");
        }
    }
}

fn deploys_rollbacks_and_scaling_lose_no_request(strategy: &str) {
    let app = app(strategy, "scale = 2");
    app.up();
    let customers = Customers::start(&app);
    let load = &customers.0[0].1;
    for version in 0..deploys() {
        load.wait_for_more(SOME);
        script(&app, &format!("another version {version}"));
        run(&app, &["deploy", "web"], 0);
    }
    load.wait_for_more(SOME);
    run(&app, &["rollback", "web"], 0);
    for replicas in ["1", "4", "1"] {
        run(&app, &["scale", "web", replicas], 0);
        let enough = replicas.parse::<usize>().unwrap();
        wait_until("scaled", || app.pids("web"), |pids| pids.len() == enough);
        load.wait_for_more(SOME);
    }
    let mut expected = [app.pids("web"), vec![pid(&app, "proxy_pid")]].concat();
    expected.sort_unstable();
    let processes = || {
        let mut all = app.processes();
        all.sort_unstable();
        all
    };
    wait_until("the old replicas have ended", processes, |left| *left == expected);
    customers.stop(strategy);
}

#[test]
fn rolling_deploys_rollbacks_and_scaling_under_load_lose_no_request() {
    deploys_rollbacks_and_scaling_lose_no_request(ROLLING);
}

#[test]
fn canary_deploys_rollbacks_and_scaling_under_load_lose_no_request() {
    deploys_rollbacks_and_scaling_lose_no_request(CANARY);
}

/// Bad releases, and what is said of them.
const BAD: [(&str, &str); 7] = [
    ("exit-at-start", "crashed: exit code 3"),
    ("never-healthy", "was not ready within 3s"),
    ("exit-after 1500", "crashed: exit code 3"),
    // Far from its limit while it is tried out.
    ("leak 256", "of memory, and may use 48 MB"),
    ("fail 20", "of the requests of all callers fail at the new release"),
    ("fail 100", "its replicas are ejected"),
    // At which percentile that is seen first, chance decides.
    ("delay 30", "of all callers is"),
];

#[test]
fn a_bad_release_is_rolled_back_by_itself_and_says_why() {
    let app = app(
        r#"{ strategy = "canary", steps = [10, 50], hold = "2s", ready = "3s" }"#,
        "scale = 2\nlimits = { memory = \"48MB\" }",
    );
    app.up();
    let (first, pids) = (release(&app), app.pids("web"));
    for (bad, reason) in BAD {
        let load = Load::start(app.gateway(), "/slow?ms=2", CONNECTIONS);
        load.wait_for_more(SOME);
        script(&app, bad);
        let said = run(&app, &["deploy", "web"], 4);
        assert!(said.contains("was rolled back") && said.contains(reason), "{bad}: {said}");
        load.wait_for_more(SOME);
        let report = load.stop();
        let harmed = report.failures.len();
        println!("{bad}: {harmed} of {} requests failed", report.good + harmed as u64);
        if bad.starts_with("fail") {
            assert!(harmed < 400, "{harmed}");
        } else {
            assert_eq!(harmed, 0, "{bad}: {:#?}", report.failures);
        }
        assert_eq!(
            (release(&app), app.pids("web")),
            (first.clone(), pids.clone()),
            "{bad}: the old ones run on"
        );
    }
    let kept: Value = serde_json::from_str(&run(&app, &["releases", "web", "--json"], 0)).unwrap();
    let back = kept.as_array().unwrap().iter().filter(|r| r["rollout"] == "rolled_back");
    assert!(back.clone().count() >= 4 && back.clone().all(|r| r["reason"].is_string()), "{kept:#}");
}

#[test]
fn errors_for_one_caller_only_are_seen() {
    let app = app(
        r#"{ strategy = "canary", steps = [50], hold = "2s", ready = "3s" }"#,
        r#"
[services.front]
dir = "."
command = "{scripted}"
calls = ["web"]
[[gateway.routes]]
path = "/front"
service = "front"
strip = true
"#
        .replace("{scripted}", testkit::scripted_service().to_str().unwrap())
        .as_str(),
    );
    app.up();
    let first = release(&app);
    let edge = app.get("/front/env").unwrap().json()["WEB_URL"].as_str().unwrap().to_owned();
    // `front` says in its answer what it got, so that its callers do not fail with it.
    let through = format!("/front/call?url={edge}/");
    let direct = Load::start(app.gateway(), "/", CONNECTIONS);
    let caller = Load::start(app.gateway(), &through, 2);
    script(&app, "fail-for front");
    let said = run(&app, &["deploy", "web"], 4);
    assert!(said.contains("front"), "{said}");
    assert_eq!(release(&app), first);
    assert!(direct.stop().failures.is_empty() && caller.stop().failures.is_empty());
}

#[test]
fn a_good_release_beside_a_failing_callee_is_not_rolled_back() {
    let callee = r#"
calls = ["api"]
[services.api]
dir = "api"
command = "{scripted}"
health = "/health"
"#;
    let deploy = r#"{ strategy = "canary", steps = [50], hold = "2s", ready = "3s" }"#;
    let app = app(deploy, &callee.replace("{scripted}", testkit::scripted_service().to_str().unwrap()));
    std::fs::create_dir(app.root().join("api")).unwrap();
    std::fs::write(app.root().join("api/script"), "fail 30").unwrap();
    app.up();
    let edge = app.get("/env").unwrap().json()["API_URL"].as_str().unwrap().to_owned();
    let load = Load::start(app.gateway(), &format!("/pass?url={edge}/"), CONNECTIONS);
    load.wait_for_more(SOME);
    script(&app, "version 2");
    let said = run(&app, &["deploy", "web"], 0);
    let report = load.stop();
    assert!(report.failures.len() as u64 > report.good / 4, "its callee fails: {}", report.failures.len());
    assert!(said.contains("more failures came from its callees"), "{said}");
    assert_eq!(ended(&app)["outcome"], "done");
}

#[test]
fn a_canary_by_hand_gets_its_share_and_waits() {
    let app = app(ROLLING, "scale = 2");
    app.up();
    let first = release(&app);
    script(&app, "version 2");
    assert!(run(&app, &["deploy", "web", "--canary"], 0).contains("gets 1 % of the requests"));
    let second = app.service("web")["rollout"]["to"].as_str().unwrap().to_owned();
    let mut counts = BTreeMap::<String, u64>::new();
    for _ in 0..1_000 {
        *counts.entry(app.get("/release").unwrap().body).or_default() += 1;
    }
    // Each of the data plane's threads is exact by itself.
    assert!(counts[&second].abs_diff(10) <= 8, "{counts:?}");
    assert_eq!(counts[&first] + counts[&second], 1_000);
    let busy = run(&app, &["deploy", "web"], 1);
    assert!(busy.contains("under way"), "{busy}");
    assert_eq!(app.status()["state"], "ready");

    run(&app, &["rollback", "web"], 0);
    assert_eq!((release(&app), ended(&app)["outcome"].as_str()), (first, Some("rolled_back")));
    run(&app, &["deploy", "web", "--canary"], 0);
    run(&app, &["promote", "web"], 0);
    assert_eq!(release(&app), second);
}

#[test]
fn users_are_held_to_one_release_where_asked() {
    let sticky =
        r#"{ strategy = "canary", steps = [30], hold = "1h", ready = "3s", sticky = { header = "x-user" } }"#;
    let app = app(sticky, "scale = 2");
    app.up();
    let first = release(&app);
    script(&app, "version 2");
    run(&app, &["deploy", "web", "--canary"], 0);
    let of = |user: usize| {
        let user = format!("user-{user}");
        testkit::request(app.gateway(), "GET", "/release", &[("x-user", &user)], "").unwrap().body
    };
    let all = || (0..200).map(of).collect::<Vec<_>>();
    let got = all();
    let new = got.iter().filter(|release| **release != first).count();
    assert!((40..80).contains(&new), "{new} of 200 at 30 %");
    assert_eq!(all(), got);
    // Another data plane tells them apart in the same way.
    app.kill(pid(&app, "proxy_pid"));
    app.wait_ready();
    testkit::wait_for("the gateway is open again", || app.get("/").ok());
    assert_eq!(all(), got);
    let unknown: BTreeSet<String> = (0..40).map(|_| app.get("/release").unwrap().body).collect();
    assert_eq!(unknown.len(), 2, "who does not say is drawn by chance");
    run(&app, &["rollback", "web"], 0);
    assert_eq!(all(), vec![first; 200]);
}

fn deploy_in_background(app: &App) -> Child {
    app.command(&["deploy", "web"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn a_control_plane_that_is_killed_in_any_state_goes_on_and_loses_no_request() {
    let more = "scale = 2\nbuild = \"sleep 0.3\"\nbefore_start = \"sleep 0.3\"";
    let app = app(CANARY, more);
    app.up();
    let load = Load::start(app.gateway(), "/slow?ms=2", CONNECTIONS);
    for (n, stage) in ["build", "before_start", "start", "warm", "canary", "shift"].iter().enumerate() {
        let before = release(&app);
        script(&app, &format!("version {n} after-a-kill"));
        let mut deploy = deploy_in_background(&app);
        let web = wait_until(
            "the stage",
            || app.service("web"),
            |web| {
                web["rollout"]["cause"] == "deploy"
                    && (web["rollout"]["stage"] == *stage || web["rollout"]["stage"] == "ended")
            },
        );
        let caught = web["rollout"]["stage"] == *stage;
        app.kill(pid(&app, "pid"));
        deploy.wait().unwrap();
        load.wait_for_more(SOME);
        app.up();
        let rollout = ended(&app);
        println!("{stage}: caught {caught}, then {}", rollout["outcome"]);
        assert!(matches!(rollout["outcome"].as_str(), Some("done" | "unchanged")), "{stage}: {rollout:#}");
        assert_ne!(release(&app), before, "{stage}");
        app.wait_ready();
        load.wait_for_more(SOME);
    }
    let report = load.stop();
    assert!(report.failures.is_empty(), "{report:#?}");
}

#[test]
fn what_was_rolled_back_stays_back_when_the_control_plane_is_started_again() {
    let app = app(ROLLING, "");
    app.up();
    let first = release(&app);
    script(&app, "exit-at-start");
    run(&app, &["deploy", "web"], 4);
    app.kill(pid(&app, "pid"));
    app.up();
    assert!(ended(&app)["notes"].to_string().contains("only a deploy tries it again"), "{:#}", ended(&app));
    assert_eq!(release(&app), first);
    // Also after an orderly end.
    run(&app, &["down"], 0);
    app.up();
    assert_eq!((release(&app), app.get("/release").unwrap().body), (first.clone(), first));
}

#[test]
fn the_last_releases_are_kept() {
    let app = app(r#"{ hold = "100ms" }"#, "");
    app.up();
    for version in 0..13 {
        script(&app, &format!("version {version} of many"));
        run(&app, &["deploy", "web"], 0);
    }
    let kept: Value = serde_json::from_str(&run(&app, &["releases", "web", "--json"], 0)).unwrap();
    let count = kept.as_array().unwrap().len();
    assert!((10..=12).contains(&count), "{count} are kept");
}

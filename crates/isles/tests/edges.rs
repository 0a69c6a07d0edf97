//! Edges between services, as services use them: fixed addresses, systems outside, verified callers, changes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::net::{SocketAddr, TcpListener};

use serde_json::Value;
use testkit::{App, get, wait_until};

fn pid(app: &App, key: &str) -> u32 {
    u32::try_from(app.status()[key].as_u64().unwrap()).unwrap()
}

/// An address that is free now, on a loopback network of this test's own.
fn free() -> SocketAddr {
    let ip = [127, fastrand::u8(1..255), fastrand::u8(1..255), fastrand::u8(2..255)];
    TcpListener::bind((std::net::Ipv4Addr::from(ip), 0)).unwrap().local_addr().unwrap()
}

/// What `web` gets when it asks for a URL; none while the gateway does not answer.
fn asked_by_web(app: &App, how: &str, url: &str) -> Option<Value> {
    app.get(&format!("/{how}url={url}")).ok().filter(|answer| answer.status == 200).map(|a| a.json())
}

/// `web` calls `api`; `more` is added to `web`.
fn web_and_api(calls: &str, more: &str) -> String {
    format!(
        "[[gateway.routes]]\npath = \"/\"\nservice = \"web\"\n\
         [services.web]\ndir = \".\"\ncommand = \"{{scripted}}\"\ncalls = [{calls}]\n{more}\n\
         [services.api]\ndir = \".\"\ncommand = \"{{scripted}}\"\n"
    )
}

fn url_of_api(app: &App) -> String {
    app.get("/env").unwrap().json()["API_URL"].as_str().unwrap().to_owned()
}

#[test]
fn a_callee_is_reached_at_the_address_that_the_callers_code_has() {
    let (http, tcp) = (free(), free());
    let calls =
        format!("{{ service = \"api\", listen = \"{http}\" }}, {{ service = \"db\", listen = \"{tcp}\" }}");
    let db = "[services.db]\ndir = \".\"\ncommand = \"{scripted}\"\nprotocol = \"tcp\"\n";
    let app = App::new(&(web_and_api(&calls, "") + db));
    app.up();
    let env = app.get("/env").unwrap().json();
    assert_eq!(
        (&env["API_URL"], &env["DB_URL"]),
        (&format!("http://{http}").into(), &format!("tcp://{tcp}").into())
    );
    let answers = |address: SocketAddr, service: &str| {
        let answer = asked_by_web(&app, "call?", &format!("http://{address}/pid"))?;
        (answer["body"].as_str()? == app.pids(service)[0].to_string()).then_some(())
    };
    for round in 0..2 {
        for (address, service) in [(http, "api"), (tcp, "db")] {
            wait_until("the callee answers", || answers(address, service), Option::is_some);
        }
        if round == 0 {
            let proxy = pid(&app, "proxy_pid");
            app.kill(proxy);
            wait_until(
                "another data plane",
                || app.status()["proxy_pid"].as_u64(),
                |now| now.is_some_and(|now| now != u64::from(proxy)),
            );
        }
    }
}

#[test]
fn a_fixed_address_that_somebody_has_is_a_clear_error() {
    let taken = TcpListener::bind(free()).unwrap();
    let address = taken.local_addr().unwrap();
    let app = App::new(&web_and_api(&format!("{{ service = \"api\", listen = \"{address}\" }}"), ""));
    let ended = app.isles(&["up", "--detach"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let said = format!("{}{}", ended.stderr, app.control_log());
    assert!(said.contains(&format!("cannot listen on {address}: address in use")), "{said}");
    assert!(app.processes().is_empty(), "nothing was left behind");
    drop(taken);
    app.up();
    assert_eq!(asked_by_web(&app, "call?", &format!("http://{address}/pid")).unwrap()["status"], 200);
}

#[test]
fn only_the_caller_and_what_it_starts_may_use_an_edge() {
    let before_start = "before_start = [\"{scripted}\", \"call\", \"${calls.api.url}/pid\"]";
    let app = App::new(&web_and_api("\"api\"", before_start));
    app.up();
    let url = url_of_api(&app);
    let edge: SocketAddr = url.strip_prefix("http://").unwrap().parse().unwrap();
    let all_is_well = || {
        for how in ["call?", "child?how=same&", "child?how=bare&", "child?how=apart&"] {
            let answer = asked_by_web(&app, how, &format!("{url}/pid")).unwrap();
            assert_eq!(answer["status"], 200, "{how}: {answer}");
        }
        // This test is no service.
        let refused = get(edge, "/pid").unwrap();
        assert_eq!((refused.status, &refused.json()["code"]), (403, &"caller_unverified".into()));
    };
    all_is_well();
    app.kill(pid(&app, "pid"));
    all_is_well();
    app.up();
    all_is_well();
    assert_eq!(app.isles(&["restart", "web"]).code, Some(0));
    all_is_well();
}

#[test]
fn verification_can_be_switched_off() {
    let services = web_and_api("\"api\"", "");
    let manifest = format!(
        "name = \"test\"\nverify_callers = false\n[gateway]\nlisten = \"127.0.0.1:8080\"\n{services}"
    );
    let scripted = testkit::scripted_service();
    let app = App::of_manifest(&manifest.replace("{scripted}", scripted.to_str().unwrap()), &[]);
    app.up();
    let edge = url_of_api(&app).strip_prefix("http://").unwrap().parse().unwrap();
    assert_eq!(get(edge, "/pid").unwrap().status, 200);
}

#[test]
fn an_edge_that_is_no_longer_declared_stays_until_its_callers_are_replaced() {
    let app = App::new(&web_and_api("\"api\"", ""));
    app.up();
    let url = format!("{}/pid", url_of_api(&app));
    let old = app.pids("web");
    let crash = app.root().join(".isles/data/web/crash");
    std::fs::write(&crash, "").unwrap();
    let manifest = app.root().join("isles.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replace("calls = [\"api\"]", "calls = []")).unwrap();
    app.kill(pid(&app, "pid"));
    app.isles(&["up", "--detach"]);
    wait_until(
        "the new release has crashed, and the old one stays",
        || app.service("web")["rollout"]["outcome"].clone(),
        |outcome| outcome == "rolled_back",
    );
    assert_eq!(app.pids("web"), old);
    assert_eq!(asked_by_web(&app, "call?", &url).unwrap()["status"], 200);

    std::fs::remove_file(&crash).unwrap();
    assert_eq!(app.isles(&["deploy", "web"]).code, Some(0));
    wait_until("web is replaced", || app.pids("web"), |now| now.len() == 1 && *now != old);
    wait_until(
        "the edge is closed",
        || asked_by_web(&app, "call?", &url),
        |answer| answer.as_ref().is_some_and(|answer| answer["error"].is_string()),
    );
}

#[test]
fn what_a_service_started_apart_outlives_the_control_plane_with_it() {
    let app = App::new(
        "[[gateway.routes]]\npath = \"/\"\nservice = \"web\"\n[services.web]\ndir = \".\"\n\
         command = [\"sh\", \"-c\", \"setsid sleep 1000 & exec {scripted}\"]\n",
    );
    app.up();
    let sleeps = || {
        let name = |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        app.processes().into_iter().filter(|pid| name(pid) == "sleep\n").collect::<Vec<_>>()
    };
    let before = wait_until("the helper runs", sleeps, |found| found.len() == 1);
    app.kill(pid(&app, "pid"));
    app.up();
    assert_eq!(sleeps(), before);
    assert_eq!(app.isles(&["down"]).code, Some(0));
    assert!(sleeps().is_empty(), "it ends with the app");
}

#[test]
fn a_system_outside_is_called_through_the_data_plane_and_shown() {
    let outside = App::new(
        "[[gateway.routes]]\npath = \"/\"\nservice = \"api\"\n[services.api]\ndir = \".\"\ncommand = \"{scripted}\"\n",
    );
    outside.up();
    let there = outside.gateway();
    let app = App::new(&format!(
        "[[gateway.routes]]\npath = \"/\"\nservice = \"web\"\n[services.web]\ndir = \".\"\ncommand = \"{{scripted}}\"\n\
         calls = [\"partner\", \"lost\"]\n\
         [external.partner]\nurl = \"http://localhost:{}/headers?\"\nlimits.timeout = \"3s\"\n\
         [external.lost]\nurl = \"https://no-such-name.invalid\"\n",
        there.port()
    ));
    app.up();
    let env = app.get("/env").unwrap().json();
    let url = env["PARTNER_URL"].as_str().unwrap();
    assert!(url.starts_with("http://127.0.0.1:"), "{url}");
    assert!(!url.contains(&there.port().to_string()));
    let answer = asked_by_web(&app, "call?", url).unwrap();
    assert_eq!((&answer["status"], &answer["body"]), (&200.into(), &"/headers/".into()), "{answer}");
    let status = wait_until(
        "both are known",
        || app.status(),
        |status| {
            status["externals"][0]["state"] == "unresolved" && status["externals"][1]["state"] == "ready"
        },
    );
    assert_eq!(status["state"], "ready", "what is outside is not this app's trouble");
    let shown = app.isles(&["ps"]).stdout;
    assert!(shown.contains("no-such-name.invalid") && shown.contains("unresolved"), "{shown}");
    let lost = asked_by_web(&app, "call?", env["LOST_URL"].as_str().unwrap()).unwrap();
    assert_eq!(lost["status"], 503);
    assert!(lost["body"].as_str().unwrap().contains("\"unresolved\""), "{lost}");
}

//! Calls over time, and all counts for a scraper of Prometheus: of real requests, kept beyond the end of the app.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::net::SocketAddr;

use serde_json::Value;
use testkit::{App, request, wait_until};

const REQUESTS: u64 = 40;

fn app() -> App {
    App::new(
        r#"
[[gateway.routes]]
path = "/"
service = "web"
[services.web]
command = "{scripted}"
health = { path = "/health", interval = "100ms" }
"#,
    )
}

/// Asks the dashboard's address with its token.
fn ask(app: &App, path: &str) -> String {
    let link = app.isles(&["console"]).stdout;
    let (base, token) = link.trim().split_once("/?token=").unwrap();
    let address: SocketAddr = base.strip_prefix("http://").unwrap().parse().unwrap();
    let token = format!("Bearer {token}");
    let answer = request(address, "GET", path, &[("authorization", &token)], "").unwrap();
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer.body
}

fn sum(report: &Value, of: &str) -> u64 {
    report["all"].as_array().unwrap().iter().map(|point| point[of].as_u64().unwrap()).sum()
}

#[test]
fn calls_over_time_are_kept_when_the_app_ends_and_counts_are_there_for_a_scraper() {
    let app = app();
    app.up();
    // What was counted before the control plane's first look is of no known second.
    let count = |text: &str| {
        let line = "isles_requests_total{caller=\"gateway\",callee=\"web\"} ";
        text.lines().find_map(|l| l.strip_prefix(line)).map_or(0, |n| n.parse::<u64>().unwrap())
    };
    wait_until(
        "the data plane was looked at",
        || ask(&app, "/metrics"),
        |text| text.contains("isles_requests_total{"),
    );
    for _ in 0..REQUESTS {
        app.get("/slow?ms=20").unwrap();
    }
    let metrics =
        || serde_json::from_str::<Value>(&ask(&app, "/v1/metrics?service=web&seconds=600")).unwrap();
    let report = wait_until("all are there", metrics, |report| sum(report, "requests") == REQUESTS);
    assert_eq!((sum(&report, "failed"), report["step"].as_u64()), (0, Some(6_000)));
    let points = report["all"].as_array().unwrap();
    assert!(points.iter().all(|point| point["p50_ms"].as_f64().unwrap() > 15.0), "{report}");
    assert_eq!(report["edges"][0]["callee"], "web");

    // Ten seconds are shown, in which there was something a moment ago.
    let top = app.isles(&["top"]);
    let row = top.stdout.lines().find(|line| line.starts_with("the gateway")).map(str::to_owned);
    assert!(row.is_some_and(|row| row.contains("web") && row.ends_with("closed")), "{top:?}");

    let text = ask(&app, "/metrics");
    assert_eq!(count(&text), REQUESTS);
    assert!(
        text.ends_with("# EOF\n") && text.contains("isles_in_flight{caller=\"gateway\",callee=\"web\"} 0")
    );
    let buckets: Vec<u64> = text
        .lines()
        .filter(|line| {
            line.starts_with("isles_request_duration_seconds_bucket{caller=\"gateway\",callee=\"web\"")
        })
        .map(|line| line.split("} ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap())
        .collect();
    assert!(buckets.is_sorted() && buckets.last() == Some(&REQUESTS), "{buckets:?}");
    let exemplar =
        text.lines().find(|line| line.contains("# {trace_id=\"")).unwrap_or_else(|| panic!("{text}"));
    let trace = exemplar.split("trace_id=\"").nth(1).unwrap().split('"').next().unwrap();
    assert!(app.isles(&["trace", trace]).stdout.contains("/slow"), "{exemplar}");

    let events = || serde_json::from_str::<Value>(&ask(&app, "/v1/events?service=web")).unwrap();
    let told = |events: &Value, kind: &str, text: &str| {
        let mut all = events["events"].as_array().unwrap().iter();
        all.any(|event| event["kind"] == kind && event["text"].as_str().unwrap().starts_with(text))
    };
    let before = events();
    assert!(told(&before, "replica", "start web-1: ") && told(&before, "deploy", "web: done"), "{before}");

    assert_eq!(app.isles(&["down"]).code, Some(0));
    app.up();
    let after = events();
    assert!(
        before["events"]
            .as_array()
            .unwrap()
            .iter()
            .all(|event| after["events"].as_array().unwrap().contains(event))
    );
    let report = wait_until("they are there again", metrics, |report| sum(report, "requests") >= REQUESTS);
    assert_eq!(sum(&report, "requests"), REQUESTS, "each once");
    let page = ask(&app, "/services/web?window=5m");
    assert!(page.contains("<polyline") && page.contains("Requests a second: at most"), "{page}");
}

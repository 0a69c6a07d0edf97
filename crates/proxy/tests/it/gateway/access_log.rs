//! The access log says what was asked and answered, and nothing that is a secret.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::common::*;
use model::{GatewaySettings, Protocol};
use serde_json::Value;

async fn lines(path: &Path, at_least: usize) -> Vec<Value> {
    until("the lines are written", async || {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (lines.len() >= at_least).then_some(lines)
    })
    .await
}

#[tokio::test]
async fn a_line_for_each_request() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let (address, nobody) = (free(), free());
    let settings = GatewaySettings { access_log: Some(path.clone()), ..Default::default() };
    let routes = vec![route("/api", "s"), route("/gone", "gone")];
    let table = Table::new().gateway_with(address, routes, settings);
    let table = table.upstream("s", Protocol::Http, &[named("hello").await]).upstream(
        "gone",
        Protocol::Http,
        &[nobody],
    );
    let mut plane = Plane::with(&table.0).await;

    let asked = with(request("GET", "/api/x?token=hunter2", ""), "user-agent", "test/1");
    let answered = fetch(address, asked).await;
    text(answered).await;
    get(address, "/none").await;
    get(address, "/gone").await;
    let all = lines(&path, 3).await;
    let raw = std::fs::read_to_string(&path).unwrap();
    assert!(!raw.contains("hunter2"), "{raw}");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

    let find = |path: &str| all.iter().find(|line| line["url.path"] == path).unwrap();
    let first = find("/api/x");
    for (name, expected) in [
        ("http.request.method", "GET"),
        ("url.scheme", "http"),
        ("url.query", "REDACTED"),
        ("server.address", "app.example"),
        ("network.protocol.version", "1.1"),
        ("user_agent.original", "test/1"),
        ("http.route", "/api"),
        ("isles.service", "s"),
        ("isles.replica", "s-1"),
    ] {
        assert_eq!(first[name], expected, "{name}");
    }
    assert!(first["client.address"].as_str().unwrap().starts_with("127."));
    assert_eq!(
        (&first["http.response.status_code"], &first["http.response.body.size"]),
        (&200.into(), &5.into())
    );
    assert_eq!(first["isles.attempts"], 1);
    assert!(first["duration_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(first["trace_id"].as_str().unwrap().len(), 32);
    assert!(first["request_id"].as_str().unwrap().parse::<uuid::Uuid>().is_ok());
    assert!(first["time"].as_str().unwrap().ends_with('Z') && first.get("error.type").is_none());

    let none = find("/none");
    assert_eq!((&none["http.response.status_code"], &none["error.type"]), (&404.into(), &"no_route".into()));
    let gone = find("/gone");
    assert_eq!((&gone["http.response.status_code"], &gone["isles.attempts"]), (&502.into(), &3.into()));
    assert_eq!(gone["isles.replica"], "gone-1");

    // What still waits when the process ends is written.
    get(address, "/api/last").await;
    plane.client.shutdown().await.unwrap();
    let thread = plane.thread.take().unwrap();
    tokio::task::spawn_blocking(move || thread.join().unwrap().unwrap()).await.unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.lines().last().unwrap().contains("/api/last"), "{text}");
}

#[tokio::test]
async fn no_line_is_lost_between_threads() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let address = free();
    let settings = GatewaySettings { access_log: Some(path.clone()), ..Default::default() };
    let table = Table::new().gateway_with(address, vec![route("/", "s")], settings);
    let _plane = Plane::with(&table.upstream("s", Protocol::Http, &[named("a").await]).0).await;
    hammer(address, 8, 100, "GET").await;
    let all = lines(&path, 800).await;
    assert_eq!(all.len(), 800);
}

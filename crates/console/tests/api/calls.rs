//! Every operation, and what happens when it cannot be done.

use console::api::{
    AppState, Begun, DeployRequest, EventQuery, MetricsQuery, PlanRequest, RollbackRequest, SpanQuery,
};
use console::client::{Client, ClientError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::platform::start;

fn refused(error: ClientError) -> (u16, String, String) {
    match error {
        ClientError::Refused(p) => (p.status, p.code, p.detail),
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[tokio::test]
async fn status_and_services_are_read() {
    let app = start(16);
    let status = app.client.status().await.unwrap();
    assert_eq!(&status, app.platform.status.borrow().as_ref());
    let service = app.client.service("orders").await.unwrap();
    assert_eq!(Some(&service), status.service("orders"));
}

#[tokio::test]
async fn scale_and_restart_are_accepted_or_refused_with_a_reason() {
    let app = start(16);
    assert_eq!(app.client.scale("orders", 3).await.unwrap().message, "orders goes to 3");
    assert_eq!(app.client.service("orders").await.unwrap().desired, 3);
    assert_eq!(app.client.restart("payments").await.unwrap().message, "payments restarts");

    let (status, code, detail) = refused(app.client.scale("orders", 5).await.unwrap_err());
    assert_eq!((status, code.as_str(), detail.as_str()), (422, "out_of_range", "at most 4 replicas"));
    let (status, code, detail) = refused(app.client.restart("order").await.unwrap_err());
    assert_eq!((status, code.as_str()), (404, "unknown_service"));
    assert_eq!(detail, "there is no service `order`; did you mean `orders`?");
    let (status, ..) = refused(app.client.service("a/../b?c").await.unwrap_err());
    assert_eq!(status, 404);
}

#[tokio::test]
async fn deploys_begin_or_are_refused_with_a_reason() {
    let app = start(16);
    let order = |service: &str, canary, force| DeployRequest {
        services: vec![service.to_owned()],
        manifest: Some("/shop/isles.toml".to_owned()),
        canary,
        force,
    };
    for (service, canary, force, number) in
        [("orders", false, false, 1), ("orders", true, false, 2), ("payments", false, true, 1)]
    {
        let deployed = app.client.deploy(&order(service, canary, force)).await.unwrap();
        assert_eq!(deployed.rollouts, [(service.to_owned(), number)].into());
        assert_eq!(deployed.changes[0].name.as_deref(), Some("/shop/isles.toml"));
    }
    let (status, code, _) = refused(app.client.deploy(&order("payments", false, false)).await.unwrap_err());
    assert_eq!((status, code.as_str()), (409, "under_way"));
    let plan = PlanRequest { manifest: Some("/broken".to_owned()) };
    let (status, code, _) = refused(app.client.plan(&plan).await.unwrap_err());
    assert_eq!((status, code.as_str()), (422, "bad_manifest"));
    assert_eq!(app.client.plan(&PlanRequest::default()).await.unwrap().changes, []);
    let back = |release: Option<&str>| RollbackRequest { release: release.map(str::to_owned) };
    assert_eq!(app.client.rollback("orders", back(None)).await.unwrap(), Begun { rollout: 3 });
    let (status, code, _) = refused(app.client.rollback("orders", back(Some("none"))).await.unwrap_err());
    assert_eq!((status, code.as_str()), (422, "nothing_to_do"));
    assert_eq!(app.client.promote("orders").await.unwrap(), Begun { rollout: 4 });
    assert_eq!(app.client.releases("orders").await.unwrap()[0].id, "orders-release");
    let usage = app.client.usage("orders", 400).await.unwrap();
    assert_eq!((usage.days, usage.operations[0].operation.as_deref()), (30, Some("GET /orders")));
    assert_eq!(usage.routes[0].route, "/api/orders");
    let query = MetricsQuery { service: Some("orders".to_owned()), seconds: 600, points: 2_000 };
    let metrics = app.client.metrics(&query).await.unwrap();
    assert_eq!((metrics.until, metrics.step, metrics.edges[0].callee.as_str()), (600_000, 600, "orders"));
    let query = EventQuery { service: Some("web".to_owned()), seconds: 60, n: 5 };
    let event = &app.client.events(&query).await.unwrap().events[0];
    assert_eq!((event.kind.as_str(), event.service.as_deref()), ("deploy", Some("web")));
    let drift = app.client.drift("orders").await.unwrap();
    let finding = &drift.operations[0].findings[0];
    assert_eq!((finding.at().as_str(), finding.whose("orders")), ("answer 200 /<name>", "orders"));
    assert_eq!(refused(app.client.drift("order").await.unwrap_err()).0, 404);
    let (status, ..) = refused(app.client.releases("order").await.unwrap_err());
    assert_eq!(status, 404);
}

#[tokio::test]
async fn nothing_running_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sock");
    assert!(matches!(Client::new(&path).status().await, Err(ClientError::NothingRunning)), "absent");
    drop(console::socket::bind(&path).unwrap());
    assert!(matches!(Client::new(&path).status().await, Err(ClientError::NothingRunning)), "refused");
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "not a socket").unwrap();
    assert!(matches!(Client::new(&path).status().await, Err(ClientError::NothingRunning)), "a file");
}

#[tokio::test]
async fn a_watch_gets_the_state_now_each_change_and_the_end() {
    let app = start(16);
    let mut watch = app.client.watch().await.unwrap();
    assert_eq!(watch.next().await.unwrap().unwrap().state, AppState::Starting);
    app.platform.change(|s| s.state = AppState::Ready);
    assert_eq!(watch.next().await.unwrap().unwrap().state, AppState::Ready);
    app.client.down().await.unwrap();
    assert_eq!(watch.next().await.unwrap().unwrap().state, AppState::Stopping);
    app.shutdown.cancel();
    assert_eq!(watch.next().await.unwrap(), None);
    app.server.await.unwrap().unwrap();
    assert!(matches!(app.client.status().await, Err(ClientError::NothingRunning)));
}

/// What a client that is not ours gets: bytes in, status and body out.
async fn raw(client: &Client, request: &str) -> (String, String) {
    let mut stream = console::socket::connect(client.socket()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

#[tokio::test]
async fn bad_requests_get_problem_documents() {
    let app = start(16);
    let large = "x".repeat(20_000);
    for (request, status, code) in [
        ("GET /nowhere HTTP/1.1\r\n".to_owned(), 404, "not_found"),
        ("DELETE /v1/status HTTP/1.1\r\n".to_owned(), 405, "method_not_allowed"),
        ("GET /v1/logs?n=many HTTP/1.1\r\n".to_owned(), 400, "bad_query"),
        ("GET /v1/logs?service=ordes HTTP/1.1\r\n".to_owned(), 404, "unknown_service"),
        (post("{\"replicas\":-1}"), 422, "bad_body"),
        (post("{\"replicas\":"), 400, "bad_body"),
        (post(&large), 413, "bad_body"),
    ] {
        let (headers, body) = request.split_once("\r\n\r\n").unwrap_or((request.trim_end(), ""));
        let request = format!("{headers}\r\nhost: isles\r\nconnection: close\r\n\r\n{body}");
        let (head, body) = raw(&app.client, &request).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{request:.60}: {head}");
        assert!(head.contains("application/problem+json"), "{head}");
        let problem: console::api::Problem = serde_json::from_str(&body).unwrap();
        assert_eq!((problem.status, problem.code.as_str()), (status, code), "{request:.60}");
    }
}

fn post(body: &str) -> String {
    format!(
        "POST /v1/services/orders/scale HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn traffic_is_of_a_window_and_spans_are_chosen() {
    let app = start(16);
    for (asked, given) in [(10, 10), (0, 1), (100_000, 300)] {
        assert_eq!(app.client.traffic(asked).await.unwrap().seconds, given);
    }
    let span = |trace: u8, kept: &str| console::api::Span {
        trace: format!("{trace:032x}"),
        id: "00000000000000aa".to_owned(),
        start: 1,
        duration_ms: 2.5,
        kept: kept.to_owned(),
        callee: "orders".to_owned(),
        attributes: [("http.response.status_code".to_owned(), model::span::Value::Int(500))].into(),
        ..console::api::Span::default()
    };
    let (good, bad) = (span(1, "sampled"), span(2, "failed"));
    *app.platform.spans.lock().unwrap() = vec![good.clone(), bad.clone()];
    let spans = |errors, n| {
        let client = app.client.clone();
        async move { client.spans(&SpanQuery { errors, n, ..SpanQuery::default() }).await.unwrap().spans }
    };
    assert_eq!(spans(false, 10).await, [good.clone(), bad.clone()]);
    assert_eq!((spans(true, 10).await, spans(false, 1).await), (vec![bad], vec![good]));
}

#[tokio::test]
async fn a_trace_that_is_none_is_refused() {
    let app = start(16);
    let mut stream = tokio::net::UnixStream::connect(app.client.socket()).await.unwrap();
    let request = b"GET /v1/spans?trace=xyz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("bad_trace"), "{answer}");
}

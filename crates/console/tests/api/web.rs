//! The dashboard over a real socket: who is let in, what pages show, and what can be done on them.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use console::api::{Span, SpanEvent};
use console::web::guard::Guard;
use http_body_util::BodyExt as _;
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::platform::{InMemory, in_memory};

struct Served {
    address: std::net::SocketAddr,
    token: String,
    platform: Arc<InMemory>,
    folder: TempDir,
    _stop: tokio_util::sync::DropGuard,
}

#[derive(Debug)]
struct Answer {
    status: u16,
    headers: http::HeaderMap,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

async fn serve() -> Served {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let file = folder.path().join("console.token");
    let guard = Guard::of_file(&file, address.port()).unwrap();
    let token = std::fs::read_to_string(&file).unwrap();
    let (platform, stop) = (Arc::new(in_memory(16)), CancellationToken::new());
    let more = axum::Router::new();
    tokio::spawn(console::web::serve(listener, platform.clone(), more, guard, stop.clone()));
    Served { address, token, platform, folder, _stop: stop.drop_guard() }
}

impl Served {
    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = http::Request::builder().method(method).uri(path);
        if headers.iter().all(|(name, _)| *name != "host") {
            request = request.header("host", self.address.to_string());
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.to_owned()).unwrap();
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let response = sender.send_request(request).await.unwrap();
        let (parts, mut body) = response.into_parts();
        let mut text = Vec::new();
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame.unwrap().into_data() {
                text.extend_from_slice(&data);
            }
            // A stream goes on for ever; what is wanted of it is its first event.
            if text.starts_with(b"data:") && text.ends_with(b"\n\n") {
                break;
            }
        }
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: String::from_utf8(text).unwrap(),
        }
    }

    fn cookie(&self) -> String {
        format!("a=b; isles_{}={}", self.address.port(), self.token)
    }

    async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[("cookie", &self.cookie())], "").await
    }

    async fn post(&self, path: &str, form: &str) -> Answer {
        let (cookie, origin) = (self.cookie(), format!("http://{}", self.address));
        let headers = [
            ("cookie", &*cookie),
            ("origin", &origin),
            ("content-type", "application/x-www-form-urlencoded"),
        ];
        self.send("POST", path, &headers, form).await
    }
}

#[tokio::test]
async fn nobody_is_let_in_without_the_token_and_nothing_is_said_about_the_app() {
    let served = serve().await;
    let wrong = "0".repeat(served.token.len());
    let other_port = format!("isles_1={}", served.token);
    let attempts: [Vec<(&str, &str)>; 4] = [
        vec![],
        vec![("authorization", "Bearer ")],
        vec![("authorization", &wrong)],
        vec![("cookie", &other_port)],
    ];
    for headers in &attempts {
        for path in
            ["/", "/services/orders", "/logs", "/assets/style.css", "/v1/status", "/v1/logs", "/nothing"]
        {
            let refused = served.send("GET", path, headers, "").await;
            assert_eq!(refused.status, 401, "{path} {headers:?}");
            assert!(!refused.body.contains("shop") && !refused.body.contains("orders"), "{}", refused.body);
        }
        assert_eq!(served.send("POST", "/v1/down", headers, "").await.status, 401);
    }
    assert_eq!(served.send("GET", &format!("/?token={wrong}"), &[], "").await.status, 401);
    let bearer = format!("Bearer {}", served.token);
    assert_eq!(served.send("GET", "/v1/status", &[("authorization", &bearer)], "").await.status, 200);
    let mode = std::fs::metadata(served.folder.path().join("console.token")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn the_first_visit_leaves_the_token_with_the_browser_and_not_in_the_address() {
    let served = serve().await;
    let first = served.send("GET", &format!("/traces?errors=on&token={}", served.token), &[], "").await;
    assert_eq!((first.status, first.header("location")), (303, "/traces?errors=on"));
    let cookie = first.header("set-cookie");
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let pair = cookie.split(';').next().unwrap();
    assert_eq!(served.send("GET", "/", &[("cookie", pair)], "").await.status, 200);
    // Two slashes would lead to another host.
    let odd = served.send("GET", &format!("//evil.example/?token={}", served.token), &[], "").await;
    assert_eq!(odd.header("location"), "/evil.example/");
}

#[tokio::test]
async fn pages_of_others_can_do_nothing() {
    let served = serve().await;
    let cookie = served.cookie();
    let port = served.address.port();
    let other = format!("http://127.0.0.1:{}", port.wrapping_add(1));
    let named = format!("http://evil.example:{port}");
    let attempts: [&[(&str, &str)]; 6] = [
        &[("host", "evil.example")],
        &[("host", "localhost.evil.example:1")],
        &[("origin", &other)],
        &[("origin", &named)],
        &[("origin", "null")],
        &[("sec-fetch-site", "same-site"), ("sec-fetch-mode", "no-cors")],
    ];
    for headers in attempts {
        let mut headers = headers.to_vec();
        headers.push(("cookie", &cookie));
        for (method, path) in
            [("GET", "/v1/status"), ("POST", "/services/orders/restart"), ("POST", "/v1/down")]
        {
            assert_eq!(
                served.send(method, path, &headers, "").await.status,
                403,
                "{method} {path} {headers:?}"
            );
        }
    }
    // Somebody who follows a link from elsewhere only opens a page.
    let link = [("cookie", &*cookie), ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
    assert_eq!(served.send("GET", "/", &link, "").await.status, 200);
    assert_eq!(served.send("POST", "/services/orders/restart", &link, "").await.status, 403);
    for host in ["localhost:1", "[::1]:9400", "127.0.0.1"] {
        let headers = [("host", host), ("cookie", &*cookie)];
        assert_eq!(served.send("GET", "/", &headers, "").await.status, 200, "{host}");
    }
}

#[tokio::test]
async fn every_page_shows_the_app_and_nothing_of_it_becomes_html() {
    let served = serve().await;
    served.platform.write(1_000, "orders", "<script>alert(1)</script>");
    served.platform.change(|status| {
        status.services[0].detail = Some("<img src=x>".to_owned());
    });
    let name = served.platform.status.borrow().services[0].name.clone();
    for path in
        ["/", &format!("/services/{name}"), "/traces", "/timeline?window=1d", "/logs", "/logs?q=ALERT"]
    {
        let page = served.get(path).await;
        assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"), "{path}");
        assert!(page.header("content-security-policy").contains("default-src 'none'"));
        assert_eq!(page.header("cache-control"), "no-store");
        assert!(!page.body.contains("<script>alert") && !page.body.contains("<img"), "{path}: {}", page.body);
        assert!(page.body.len() < 150_000);
    }
    assert!(served.get("/logs?q=ALERT").await.body.contains("&lt;script&gt;alert(1)"));
    assert!(!served.get("/logs?q=nobody").await.body.contains("&lt;script&gt;alert(1)"));
    assert!(served.get("/").await.body.contains(&format!("/services/{name}")));
    let missing = served.get("/services/ordres").await;
    assert!(missing.status == 404 && missing.body.contains("did you mean"), "{missing:?}");
    assert_eq!(served.get("/sagas").await.status, 404, "this app has none");
    assert_eq!(served.get("/traces/xyz").await.status, 400);
}

#[tokio::test]
async fn a_service_shows_who_calls_its_operations_and_where_it_is_not_as_its_contract_says() {
    let served = serve().await;
    let name = served.platform.status.borrow().services[0].name.clone();
    let page = served.get(&format!("/services/{name}")).await.body;
    for part in [
        "<polyline",
        "Failed: at most 10.0 %",
        "<td>nobody</td>",
        &format!("/api/{name}"),
        "5 requests were looked at",
        "2 were not as the contract says",
        "answer 200 /&lt;name&gt;",
        "&lt;integer&gt;",
        "GET /&lt;debug&gt;",
        "answered web with 200",
        &format!("/services/{name}/measured?name=queue.length\">queue.length"),
        "queue=&lt;mail&gt;",
        "4.500 message",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
}

#[tokio::test]
async fn what_a_service_measures_is_drawn_over_time() {
    let served = serve().await;
    let name = served.platform.status.borrow().services[0].name.clone();
    let page = served.get(&format!("/services/{name}/measured?name=queue.length%3Cb%3E&window=1d")).await;
    for part in [
        "<h1>queue.length&lt;b&gt;</h1>",
        "orders-1, of=queue.length&lt;b&gt;: at most 6 item",
        "<polyline",
        &format!("/services/{name}/measured?name=queue.length%3Cb%3E&amp;window=30d"),
    ] {
        assert!(page.body.contains(part), "{part} in {}", page.body);
    }
    assert_eq!(served.get("/services/nobody/measured?name=x").await.status, 404);
    let answer = served.get(&format!("/v1/services/{name}/measured?name=x&seconds=100&points=10")).await;
    let report: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!((&report["step"], &report["series"][0]["points"][1]["value"]), (&10_000.into(), &6.0.into()));
    assert_eq!(served.get(&format!("/v1/services/{name}/measured")).await.status, 400, "which?");
}

#[tokio::test]
async fn a_trace_shows_what_services_tell_of_their_own_work() {
    let served = serve().await;
    let trace = format!("{:032x}", 7);
    let span = |id: &str, at: u64| Span {
        trace: trace.clone(),
        id: id.to_owned(),
        start: at,
        start_us: at * 1000,
        duration_ms: 5.0,
        kept: "sampled".to_owned(),
        callee: "orders".to_owned(),
        ..Span::default()
    };
    let own = Span {
        parent: Some("a".to_owned()),
        name: Some("charge <card>".to_owned()),
        message: Some("no money".to_owned()),
        events: vec![SpanEvent { at_ms: 1.5, name: "exception".to_owned(), attributes: BTreeMap::new() }],
        ..span("b", 2)
    };
    *served.platform.spans.lock().unwrap() = vec![own, span("a", 1)];
    let page = served.get(&format!("/traces/{trace}")).await.body;
    for part in ["gateway → <b>orders</b>", "charge &lt;card&gt;", "no money", "exception", "2 spans"] {
        assert!(page.contains(part), "{part} in {page}");
    }
    assert_eq!(page.matches("gateway → ").count(), 1, "nobody calls a piece of work");
}

#[tokio::test]
async fn the_manifest_is_beside_what_is_so() {
    let served = serve().await;
    let page = served.get("/manifest").await.body;
    for part in [
        "/app/isles.toml",
        "1 to 4",
        "./orders --from &lt;here&gt;",
        "there is no such edge",
        "TOKEN=${secret.TOKEN}",
        "127.0.0.1:8080",
        "ready of",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
}

#[tokio::test]
async fn the_timeline_shows_what_happened_below_what_was_called() {
    let page = serve().await.get("/timeline").await.body;
    for part in
        ["<polyline", "class=\"mark\"", "orders: done: &lt;it&gt; is better", "href=\"/services/orders\""]
    {
        assert!(page.contains(part), "{part} in {page}");
    }
}

#[tokio::test]
async fn an_open_page_is_told_of_changes() {
    let served = serve().await;
    let cookie = served.cookie();
    let headers = [("cookie", &*cookie), ("accept", "text/event-stream")];
    let first = served.send("GET", "/", &headers, "").await;
    assert_eq!((first.status, first.header("content-type")), (200, "text/event-stream"));
    let event = first.body.strip_prefix("data: ").unwrap();
    assert!(event.contains("<svg") && !event.contains("<html"), "the part that changes: {event}");
    // What has several lines, as a stack trace in a log, keeps them, whatever their ends are.
    served.platform.write(1_000, "orders", "one\ntwo\rthree");
    let lines = served.send("GET", "/logs", &headers, "").await;
    assert!(lines.body.contains("one\ndata: two three"), "{lines:?}");
}

#[tokio::test]
async fn what_is_done_on_a_page_is_done_or_said_why_not() {
    let served = serve().await;
    let name = served.platform.status.borrow().services[0].name.clone();
    let scaled = served.post(&format!("/services/{name}/scale"), "replicas=3").await;
    assert_eq!((scaled.status, scaled.header("location")), (303, &*format!("/services/{name}")));
    assert_eq!(served.platform.status.borrow().services[0].desired, 3);
    let refused = served.post(&format!("/services/{name}/scale"), "replicas=9").await;
    assert!(refused.status == 422 && refused.body.contains("at most 4 replicas"), "{refused:?}");
    for (action, form) in
        [("restart", ""), ("deploy", "canary=on"), ("rollback", "release="), ("promote", "")]
    {
        let done = served.post(&format!("/services/{name}/{action}"), form).await;
        assert_eq!(done.status, 303, "{action}: {done:?}");
        assert_eq!(served.post(&format!("/services/nobody/{action}"), form).await.status, 404, "{action}");
    }
    let none = served.post(&format!("/services/{name}/rollback"), "release=none").await;
    assert!(none.status == 422 && none.body.contains("there is no release"), "{none:?}");
}

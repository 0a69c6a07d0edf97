//! What services tell of themselves by OTLP: kept beyond the control plane, in the name of who really sent it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{Request, Response};
use opentelemetry::KeyValue;
use opentelemetry::trace::{Span as _, SpanKind, Status, Tracer as _, TracerProvider as _};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::trace::SdkTracerProvider;
use serde_json::{Value, json};
use testkit::{App, Receiver, request, wait_until};

const SERVICES: &str = r#"
[services.web]
dir = "."
command = "{scripted}"
env = { DB_PASSWORD = "correct-horse" }
[services.api]
dir = "."
command = "{scripted}"
[[gateway.routes]]
path = "/"
service = "web"
"#;

fn app(verify: bool) -> App {
    app_with(verify, "")
}

/// With more in the manifest.
fn app_with(verify: bool, more: &str) -> App {
    let head =
        format!("name = \"test\"\nverify_callers = {verify}\n{more}[gateway]\nlisten = \"127.0.0.1:8080\"\n");
    let scripted = testkit::scripted_service();
    let app = App::of_manifest(&(head + &SERVICES.replace("{scripted}", scripted.to_str().unwrap())), &[]);
    app.up();
    app
}

/// Where `web` is told to send its telemetry.
fn endpoint(app: &App) -> SocketAddr {
    let env = wait_until("web answers", || app.get("/env").ok(), Option::is_some).unwrap().json();
    assert_eq!(env["OTEL_EXPORTER_OTLP_PROTOCOL"], "http/protobuf");
    env["OTEL_EXPORTER_OTLP_ENDPOINT"].as_str().unwrap().strip_prefix("http://").unwrap().parse().unwrap()
}

/// Sends a span of a trace, as if by `service`; gives the status.
fn send(to: SocketAddr, trace: &str, service: &str, name: &str) -> std::io::Result<u16> {
    let resource = json!({"attributes": [{"key": "service.name", "value": {"stringValue": service}}]});
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let span = json!({"traceId": trace, "spanId": format!("{:016x}", fastrand::u64(1..)), "name": name, "kind": 1,
        "startTimeUnixNano": now.to_string(), "endTimeUnixNano": (now + 5_000_000).to_string(),
        "attributes": [{"key": "db.password", "value": {"stringValue": "hunter2"}},
            {"key": "db.statement", "value": {"stringValue": "login with correct-horse"}}]});
    let body =
        json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]}).to_string();
    Ok(request(to, "POST", "/v1/traces", &[("content-type", "application/json")], &body)?.status)
}

fn spans(app: &App, trace: &str) -> Vec<Value> {
    let shown = app.isles(&["trace", trace, "--json"]).stdout;
    serde_json::from_str::<Value>(&shown).unwrap_or_default().as_array().cloned().unwrap_or_default()
}

fn pid(app: &App) -> u32 {
    u32::try_from(app.status()["pid"].as_u64().unwrap()).unwrap()
}

const TRACE: &str = "5b8efff798038103d269b633813fc60c";

#[test]
fn spans_outlive_a_killed_control_plane_and_come_in_again_at_the_same_address() {
    let app = app(false);
    let to = endpoint(&app);
    let names = |app: &App| {
        let mut names: Vec<_> = spans(app, TRACE).iter().map(|s| s["name"].to_string()).collect();
        names.sort();
        names
    };
    // Its own word of who it is counts for nothing: this is the edge of web.
    assert_eq!(send(to, TRACE, "api", "first").unwrap(), 200);
    let found = spans(&app, TRACE);
    assert_eq!((found.len(), &found[0]["callee"], &found[0]["duration_ms"]), (1, &"web".into(), &5.0.into()));
    assert!(!found[0].to_string().contains("hunter2"), "{found:?}");
    assert_eq!(found[0]["attributes"]["db.statement"], "login with •••");
    // SQLite writes there first.
    let file = app.root().join(".isles/traces.db-wal");
    let written = || std::fs::read(&file).unwrap_or_default().windows(7).any(|bytes| bytes == b"\"first\"");
    wait_until("it is written down", written, |written| *written);

    let web = app.pids("web");
    app.kill(pid(&app));
    assert_eq!(send(to, TRACE, "web", "lost").unwrap(), 502, "for which SDKs send it again");
    app.up();
    assert_eq!(names(&app), ["\"first\""]);
    wait_until(
        "it comes in again",
        || send(to, TRACE, "web", "second").unwrap_or(0),
        |status| *status == 200,
    );
    assert!(names(&app).contains(&"\"second\"".to_owned()));
    assert_eq!((endpoint(&app), app.pids("web")), (to, web), "the service noticed nothing");

    let traffic = app.isles(&["ps", "--json"]).stdout;
    assert!(!traffic.contains("isles-telemetry"), "what tells of requests is no traffic: {traffic}");
    let shown = app.isles(&["trace", &TRACE[..10]]).stdout;
    assert!(shown.contains("first") && shown.contains("5.0ms"), "{shown}");
}

#[test]
fn nobody_sends_in_the_name_of_another() {
    let app = app(true);
    let to = endpoint(&app);
    let sent = send(to, TRACE, "web", "forged");
    assert!(sent.is_err() || sent.is_ok_and(|status| status != 200), "this process is no replica of web");
    assert!(spans(&app, TRACE).is_empty());
}

/// How the SDK sends: the connection is all that is ours.
#[derive(Debug)]
struct Client;

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let asked = reqwest::Client::new().post(head.uri.to_string()).headers(head.headers).body(body);
        // The SDK's own thread, on which nothing of tokio runs.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (status, body) = runtime.block_on(async {
            let answer = asked.send().await?;
            Ok::<_, reqwest::Error>((answer.status(), answer.bytes().await?))
        })?;
        Ok(Response::builder().status(status).body(body)?)
    }
}

#[test]
fn the_sdk_for_rust_is_taken_as_it_comes() {
    let app = app(false);
    let to = endpoint(&app);
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Client)
        .with_endpoint(format!("http://{to}/v1/traces"))
        .build()
        .unwrap();
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).build();
    let tracer = provider.tracer("test");
    let mut span = tracer.span_builder("reserve").with_kind(SpanKind::Consumer).start(&tracer);
    span.set_attribute(KeyValue::new("items", 3));
    span.add_event("queue was empty", vec![KeyValue::new("queue", "stock")]);
    span.set_status(Status::error("sold out"));
    let trace = span.span_context().trace_id().to_string();
    span.end();
    provider.shutdown().unwrap();
    let found = spans(&app, &trace);
    let [span] = &found[..] else { panic!("{found:?}") };
    assert_eq!(
        (&span["name"], &span["kind"], &span["kept"]),
        (&"reserve".into(), &"consumer".into(), &"failed".into())
    );
    assert_eq!((&span["message"], &span["attributes"]["items"]), (&"sold out".into(), &3.into()));
    assert_eq!(span["events"][0]["attributes"]["queue"], "stock");
}

fn traces(back_end: &Receiver) -> Vec<testkit::Received> {
    back_end.received().into_iter().filter(|sent| sent.path == "/base/v1/traces").collect()
}

#[test]
fn lines_and_numbers_are_sent_on_too_until_a_back_end_refuses_them() {
    let back_end = Receiver::start(&[503]);
    let app = app_with(false, &format!("[telemetry]\nexport = \"http://{}\"\n", back_end.address()));
    let told = |path: &str, text: &str| {
        let has = |body: &[u8]| body.windows(text.len()).any(|bytes| bytes == text.as_bytes());
        back_end.received().iter().filter(|sent| sent.path == path && has(&sent.body)).count()
    };
    wait_until("web answers", || app.get("/print?text=said-by-web").ok(), Option::is_some).unwrap();
    let lines = || told("/v1/logs", "said-by-web");
    wait_until("a line is sent again after it was refused", lines, |count| *count >= 1);
    assert!(told("/v1/logs", "stdout") >= 1 && told("/v1/logs", "web-1") >= 1);
    let json = json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": [
        {"name": "queue.length", "gauge": {"dataPoints": [{"asDouble": 4.0}]}}]}]}]});
    let body = json.to_string();
    let sent = request(endpoint(&app), "POST", "/v1/metrics", &[("content-type", "application/json")], &body);
    assert_eq!(sent.unwrap().status, 200);
    wait_until("what a service measures", || told("/v1/metrics", "queue.length"), |count| *count >= 1);
    assert!(told("/v1/metrics", "isles.request.duration") >= 1 && told("/v1/metrics", "gateway") >= 1);

    let none = Receiver::start(&[404; 1000]);
    let app = app_with(false, &format!("[telemetry]\nexport = \"http://{}\"\n", none.address()));
    wait_until(
        "it is refused",
        || none.received().iter().any(|sent| sent.path == "/v1/logs"),
        |refused| *refused,
    );
    wait_until("and said", || app.control_log(), |log| log.contains("takes no logs (404 Not Found)"));
}

#[test]
fn what_is_kept_is_sent_on_once_from_where_it_was_left_off() {
    let back_end = Receiver::start(&[503]);
    let export = format!(
        "[telemetry]\nexport = \"http://{}/base/\"\nheaders = {{ X-Key = \"${{env.EXPORT_KEY:-k3y}}\" }}\n",
        back_end.address()
    );
    let app = app_with(false, &export);
    // How often the back end was sent a text.
    let times = |text: &str| {
        let has = |body: &[u8]| body.windows(text.len()).any(|bytes| bytes == text.as_bytes());
        traces(&back_end).iter().filter(|sent| has(&sent.body)).count()
    };
    // What came before anything is sent on is not: only from the first look on.
    let number = std::cell::Cell::new(1000);
    let asked = || {
        number.set(number.get() + 1);
        app.get(&format!("/before-{}", number.get())).unwrap();
        traces(&back_end).len()
    };
    wait_until("two exports", asked, |count| *count > 1);
    app.get("/first").unwrap();
    send(endpoint(&app), TRACE, "web", "own work").unwrap();
    wait_until("a passage is sent on", || times("/first"), |count| *count == 1);
    wait_until("and what a service sent", || times("own work"), |count| *count == 1);
    let sent = traces(&back_end);
    assert!(sent.iter().all(|sent| sent.head.contains("x-key: k3y")), "{sent:?}");
    let refused = String::from_utf8_lossy(&sent[0].body).into_owned();
    let at = refused.find("/before-").unwrap();
    assert_eq!(times(&refused[at..at + "/before-1000".len()]), 2, "what was refused came again");
    let log = app.control_log();
    assert!(log.contains("503") && !log.contains("k3y"), "{log}");

    app.kill(pid(&app));
    app.up();
    app.get("/second").unwrap();
    wait_until("it goes on", || times("/second"), |count| *count == 1);
    assert_eq!((times("/first"), times("own work")), (1, 1), "and sends nothing twice");
}

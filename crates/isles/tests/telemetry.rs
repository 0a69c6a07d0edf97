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
use testkit::{App, request, wait_until};

const SERVICES: &str = r#"
[services.web]
dir = "."
command = "{scripted}"
[services.api]
dir = "."
command = "{scripted}"
[[gateway.routes]]
path = "/"
service = "web"
"#;

fn app(verify: bool) -> App {
    let head =
        format!("name = \"test\"\nverify_callers = {verify}\n[gateway]\nlisten = \"127.0.0.1:8080\"\n");
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
        "attributes": [{"key": "db.password", "value": {"stringValue": "hunter2"}}]});
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

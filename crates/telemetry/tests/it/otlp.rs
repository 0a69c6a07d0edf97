//! OTLP as it comes over HTTP and gRPC.

use std::io::Write as _;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::response::Response;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use model::{OwnSpan, ServiceName};
use telemetry::otlp::{CALLER, Intake, OwnLog, OwnPoint, router};
use tower::ServiceExt as _;

/// Has room for one thing.
#[derive(Default)]
struct Small(Mutex<Vec<String>>);

impl Small {
    fn take(&self, things: impl Iterator<Item = String>) -> usize {
        let mut taken = self.0.lock().unwrap();
        let mut refused = 0;
        for thing in things {
            if taken.is_empty() {
                taken.push(thing);
            } else {
                refused += 1;
            }
        }
        refused
    }
}

impl Intake for Small {
    fn now(&self) -> u64 {
        7
    }
    fn spans(&self, spans: Vec<OwnSpan>) -> usize {
        self.take(spans.into_iter().map(|span| format!("{} {}", span.service, span.name)))
    }
    fn logs(&self, service: &ServiceName, lines: Vec<OwnLog>) -> usize {
        self.take(lines.into_iter().map(|line| format!("{service} {}", line.text)))
    }
    fn points(&self, service: &ServiceName, points: Vec<OwnPoint>) -> usize {
        self.take(points.into_iter().map(|point| format!("{service} {}={}", point.name, point.value)))
    }
}

const TRACES: &str = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[
  {"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"one"},
  {"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b175","name":"two"}]}]}]}"#;
const LOGS: &str = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"hello"}}]}]}]}"#;
const METRICS: &str = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"q","gauge":{"dataPoints":[{"asInt":"4"}]}}]}]}]}"#;

/// An export of traces with one span named `x`, by hand, so that nothing else says how it is written.
fn protobuf() -> Vec<u8> {
    let field = |number: u8, bytes: &[u8]| [&[number << 3 | 2, bytes.len() as u8], bytes].concat();
    let span = [field(1, &[7; 16]), field(2, &[8; 8]), field(5, b"x")].concat();
    field(1, &field(2, &field(2, &span)))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn framed(packed: u8, message: &[u8]) -> Vec<u8> {
    [&[packed][..], &(message.len() as u32).to_be_bytes(), message].concat()
}

async fn send(path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> (Response, Vec<String>) {
    let intake = Arc::new(Small::default());
    let mut request = Request::post(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = router(intake.clone()).oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
    let taken = intake.0.lock().unwrap().clone();
    (response, taken)
}

async fn text(response: Response) -> String {
    String::from_utf8_lossy(&response.into_body().collect().await.unwrap().to_bytes()).into_owned()
}

const JSON: (&str, &str) = ("content-type", "application/json");
const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const GRPC: (&str, &str) = ("content-type", "application/grpc");
const ORDERS: (&str, &str) = (CALLER, "orders");
const OVER_GRPC: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

#[tokio::test]
async fn every_signal_comes_in_by_http() {
    for (path, body, taken, refused) in [
        ("/v1/traces", TRACES, "orders one", true),
        ("/v1/logs", LOGS, "orders hello", false),
        ("/v1/metrics", METRICS, "orders q=4", false),
    ] {
        for (encoding, body) in [("identity", body.into()), ("gzip", gzip(body.as_bytes()))] {
            let media = ("content-type", "application/json; charset=utf-8");
            let (response, found) = send(path, &[media, ORDERS, ("content-encoding", encoding)], body).await;
            assert_eq!((response.status(), &found[..]), (StatusCode::OK, &[taken.to_owned()][..]), "{path}");
            assert_eq!(response.headers()["content-type"], "application/json");
            let answer: serde_json::Value = serde_json::from_str(&text(response).await).unwrap();
            let count = &answer["partialSuccess"]["rejectedSpans"];
            assert_eq!(count.as_i64() == Some(1) || count == "1", refused, "{path}: {answer}");
        }
    }
    let (response, taken) = send("/v1/traces", &[PROTOBUF, ORDERS], protobuf()).await;
    assert_eq!((response.status(), taken), (StatusCode::OK, vec!["orders x".to_owned()]));
    assert!(text(response).await.is_empty(), "all of it was taken");
}

#[tokio::test]
async fn every_signal_comes_in_by_grpc() {
    for (encoding, body) in [
        ("identity", framed(0, &protobuf())),
        ("gzip", framed(1, &gzip(&protobuf()))),
        ("gzip", framed(0, &protobuf())),
    ] {
        let (response, taken) = send(OVER_GRPC, &[GRPC, ORDERS, ("grpc-encoding", encoding)], body).await;
        assert_eq!(taken, ["orders x"], "{encoding}");
        assert_eq!(response.headers()["content-type"], "application/grpc");
        let body = response.into_body().collect().await.unwrap();
        assert_eq!(body.trailers().unwrap()["grpc-status"], "0");
        assert_eq!(body.to_bytes().as_ref(), framed(0, b""));
    }
    for service in ["logs.v1.LogsService", "metrics.v1.MetricsService"] {
        let path = format!("/opentelemetry.proto.collector.{service}/Export");
        let (response, taken) = send(&path, &[GRPC, ORDERS], framed(0, b"")).await;
        assert!(taken.is_empty());
        let body = response.into_body().collect().await.unwrap();
        assert_eq!(body.trailers().unwrap()["grpc-status"], "0", "{service}: an empty export");
    }
}

#[tokio::test]
async fn what_is_not_taken_says_why() {
    let bomb = gzip(&vec![b' '; 40 << 20]);
    for (headers, body, status, why) in [
        (vec![JSON], TRACES.into(), 403, "OTEL_EXPORTER_OTLP_ENDPOINT"),
        (vec![JSON, ORDERS], b"{".to_vec(), 400, "no export of traces"),
        (vec![PROTOBUF, ORDERS], b"\xff\xff".to_vec(), 400, "no export of traces"),
        (vec![("content-type", "text/plain"), ORDERS], vec![], 415, "application/x-protobuf"),
        (vec![JSON, ORDERS, ("content-encoding", "br")], vec![], 415, "gzip"),
        (vec![JSON, ORDERS, ("content-encoding", "gzip")], b"no gzip".to_vec(), 400, "no gzip"),
        (vec![JSON, ORDERS, ("content-encoding", "gzip")], bomb, 413, "longer than"),
        (vec![JSON, ORDERS], vec![b' '; 9 << 20], 413, "limit"),
    ] {
        let (response, taken) = send("/v1/traces", &headers, body).await;
        assert_eq!((response.status().as_u16(), taken.len()), (status, 0), "{headers:?}");
        let text = text(response).await;
        assert!(text.contains(why), "{text}");
    }
    for (headers, body, code) in [
        (vec![GRPC], framed(0, &protobuf()), "7"),
        (vec![GRPC, ORDERS], framed(0, b"\xff\xff"), "3"),
        (vec![GRPC, ORDERS], b"\0\0\0\0\x09short".to_vec(), "3"),
        (vec![GRPC, ORDERS], vec![], "3"),
        (vec![GRPC, ORDERS, ("grpc-encoding", "zstd")], framed(1, b""), "12"),
    ] {
        let (response, _) = send(OVER_GRPC, &headers, body).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["grpc-status"], code);
        assert!(!response.headers()["grpc-message"].is_empty());
    }
}

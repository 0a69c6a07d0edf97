use model::span::Value;
use proptest::prelude::*;
use prost::Message as _;
use serde_json::json;

use super::logs as logs_of;
use super::*;

fn orders() -> ServiceName {
    "orders".parse().unwrap()
}

/// As the OTLP specification's own example has it, with more in it.
fn traces() -> Vec<u8> {
    let resource = json!({"attributes": [{"key": "service.instance.id", "value": {"stringValue": "orders-2"}},
        {"key": "service.name", "value": {"stringValue": "somebody-else"}}]});
    json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {"name": "lib"}, "spans": [
        {"traceId": "5B8EFFF798038103D269B633813FC60C", "spanId": "EEE19B7EC3C1B174", "parentSpanId": "EEE19B7EC3C1B173",
         "name": "place order", "startTimeUnixNano": "1544712660000000000", "endTimeUnixNano": "1544712661000000000", "kind": 2,
         "attributes": [{"key": "order.items", "value": {"intValue": "3"}}],
         "events": [{"timeUnixNano": "1544712660500000000", "name": "exception",
                     "attributes": [{"key": "exception.message", "value": {"stringValue": "sold out"}}]}],
         "status": {"code": 2, "message": "no stock"}},
        {"traceId": "", "spanId": "EEE19B7EC3C1B174", "name": "no trace"},
        {"traceId": "5B8EFFF798038103D269B633813FC60C", "spanId": "0000000000000000", "name": "no span"}]}]}]})
    .to_string()
    .into_bytes()
}

#[test]
fn a_span_is_whose_edge_it_came_by() {
    let (spans, refused) = spans(&orders(), Wire::Json, &traces()).unwrap();
    let [span] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!(refused, 2);
    assert_eq!((span.service.as_str(), span.replica.as_deref()), ("orders", Some("orders-2")));
    assert_eq!(span.trace.to_string(), "5b8efff798038103d269b633813fc60c");
    assert_eq!(span.parent.unwrap().to_string(), "eee19b7ec3c1b173");
    assert_eq!((span.name.as_str(), span.kind.as_str()), ("place order", "server"));
    assert_eq!((span.start, span.duration), (1_544_712_660_000_000_000, 1_000_000_000));
    assert_eq!((span.failed, span.message.as_deref()), (true, Some("no stock")));
    assert_eq!(span.attributes["order.items"], Value::Int(3));
    assert_eq!(span.events[0].attributes["exception.message"], Value::Text("sold out".to_owned()));
}

#[test]
fn protobuf_and_json_say_the_same() {
    let request: ExportTraceServiceRequest = serde_json::from_slice(&traces()).unwrap();
    let binary = request.encode_to_vec();
    let service = orders();
    assert_eq!(
        spans(&service, Wire::Protobuf, &binary).unwrap(),
        spans(&service, Wire::Json, &traces()).unwrap()
    );
}

#[test]
fn a_log_becomes_one_line_that_names_its_trace() {
    let logs = |record: serde_json::Value| {
        let export = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]});
        logs_of(Wire::Json, export.to_string().as_bytes(), 7).unwrap().remove(0)
    };
    let whole = logs(
        json!({"timeUnixNano": "1544712660300000000", "severityNumber": 17, "body": {"stringValue": "it broke\nbadly"},
        "attributes": [{"key": "order", "value": {"stringValue": "o-1"}}, {"key": "api_token", "value": {"stringValue": "s3cret"}}],
        "traceId": "5B8EFFF798038103D269B633813FC60C", "spanId": "EEE19B7EC3C1B174"}),
    );
    assert_eq!(whole.at, 1_544_712_660_300);
    assert_eq!(
        whole.text,
        "ERROR it broke↵badly api_token=••• order=o-1 trace_id=5b8efff798038103d269b633813fc60c span_id=eee19b7ec3c1b174"
    );
    let bare = logs(json!({"severityText": "notice", "body": {"stringValue": "hello"}}));
    assert_eq!((bare.at, bare.text.as_str()), (7, "notice hello"));
}

#[test]
fn numbers_of_every_kind_are_taken() {
    let value =
        |n: f64| json!([{"asDouble": n, "attributes": [{"key": "q", "value": {"stringValue": "a"}}]}]);
    let metrics = json!([
        {"name": "queue.length", "unit": "{item}", "gauge": {"dataPoints": value(4.0)}},
        {"name": "orders", "sum": {"dataPoints": [{"asInt": "12"}], "isMonotonic": true, "aggregationTemporality": 2}},
        {"name": "delta", "sum": {"dataPoints": value(1.0), "isMonotonic": true, "aggregationTemporality": 1}},
        {"name": "took", "unit": "s", "histogram": {"aggregationTemporality": 2,
            "dataPoints": [{"count": "3", "sum": 1.5, "bucketCounts": ["1", "2"], "explicitBounds": [1.0]}]}},
        {"name": "", "gauge": {"dataPoints": value(1.0)}},
    ]);
    let export = json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": metrics}]}]}).to_string();
    let taken = points(Wire::Json, export.as_bytes()).unwrap();
    let shown: Vec<_> = taken.iter().map(|p| (p.name.as_str(), p.kind, p.value)).collect();
    assert_eq!(
        shown,
        [
            ("queue.length", PointKind::Gauge, 4.0),
            ("orders", PointKind::Counter, 12.0),
            ("took_count", PointKind::Distribution, 3.0),
            ("took_sum", PointKind::Distribution, 1.5)
        ]
    );
    assert_eq!(taken[0].attributes["q"], Value::Text("a".to_owned()));
}

proptest! {
    #[test]
    fn no_bytes_are_too_bad(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0..600_usize) {
        let half = traces();
        for wire in [Wire::Protobuf, Wire::Json] {
            for bytes in [&bytes[..], &half[..cut.min(half.len())]] {
                let _ = spans(&orders(), wire, bytes);
                let _ = logs(wire, bytes, 0);
                let _ = points(wire, bytes);
            }
        }
    }
}

//! Spans of the data plane and of services.

use std::collections::BTreeMap;

use model::span::Value;
use model::{KeptSpan, OwnSpan, Span};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as Wire, Status};
use prost::Message as _;

use super::{Owner, pair, resource, scope};

/// Span kinds of OTLP.
const INTERNAL: i32 = 1;
const SERVER: i32 = 2;
/// Status codes of OTLP.
const ERROR: i32 = 2;

/// The spans of an app as protobuf. A passage through the data plane belongs to the service that was called, as the span of a
/// sidecar does.
pub fn export_spans(app: &str, spans: &[KeptSpan]) -> Vec<u8> {
    let mut resources = BTreeMap::<Owner, Vec<Wire>>::new();
    for span in spans {
        let (service, _) = span.services();
        let base = Wire {
            trace_id: span.trace().0.to_be_bytes().to_vec(),
            span_id: span.id().0.to_be_bytes().to_vec(),
            parent_span_id: span.parent().map(|id| id.0.to_be_bytes().to_vec()).unwrap_or_default(),
            start_time_unix_nano: span.start(),
            end_time_unix_nano: span.start().saturating_add(span.duration()),
            ..Wire::default()
        };
        let (replica, wire) = match span {
            KeptSpan::Hop(span) => (span.replica.as_ref().map(ToString::to_string), hop(span, base)),
            KeptSpan::Own(span) => (span.replica.clone(), own(span, base)),
        };
        resources.entry((service.to_string(), replica)).or_default().push(wire);
    }
    let resources = resources.into_iter().map(|(owner, spans)| ResourceSpans {
        resource: resource(app, owner),
        scope_spans: vec![ScopeSpans { scope: scope(), spans, ..ScopeSpans::default() }],
        ..ResourceSpans::default()
    });
    ExportTraceServiceRequest { resource_spans: resources.collect() }.encode_to_vec()
}

fn hop(span: &Span, base: Wire) -> Wire {
    let attempts = span.failed_attempts.iter().map(|attempt| Event {
        time_unix_nano: span.start.saturating_add(attempt.at),
        name: "attempt failed".to_owned(),
        attributes: vec![
            pair("isles.replica", &Value::Text(attempt.replica.to_string())),
            pair("isles.release", &Value::Text(attempt.release.to_string())),
            pair("error.type", &Value::Text(attempt.outcome.clone())),
        ],
        ..Event::default()
    });
    Wire {
        name: span.name().to_owned(),
        kind: SERVER,
        attributes: span.attributes().iter().map(|(key, value)| pair(key, value)).collect(),
        events: attempts.collect(),
        status: span
            .failed()
            .then(|| Status { code: ERROR, message: span.error.clone().unwrap_or_default() }),
        ..base
    }
}

fn own(span: &OwnSpan, base: Wire) -> Wire {
    let events = span.events.iter().map(|event| Event {
        time_unix_nano: event.at,
        name: event.name.clone(),
        attributes: event.attributes.iter().map(|(key, value)| pair(key, value)).collect(),
        ..Event::default()
    });
    Wire {
        name: span.name.clone(),
        kind: match span.kind.as_str() {
            "server" => SERVER,
            "client" => 3,
            "producer" => 4,
            "consumer" => 5,
            _ => INTERNAL,
        },
        attributes: span.attributes.iter().map(|(key, value)| pair(key, value)).collect(),
        events: events.collect(),
        status: span
            .failed
            .then(|| Status { code: ERROR, message: span.message.clone().unwrap_or_default() }),
        ..base
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::{Wire as Written, spans};

    #[test]
    fn what_is_sent_on_is_what_came() {
        let json = serde_json::json!({"resourceSpans": [{"scopeSpans": [{"spans": [
            {"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174", "parentSpanId": "eee19b7ec3c1b173",
             "name": "a", "kind": 3, "startTimeUnixNano": "5", "endTimeUnixNano": "9", "status": {"code": 2, "message": "no"},
             "attributes": [{"key": "n", "value": {"intValue": "3"}}, {"key": "t", "value": {"stringValue": "x"}}, {"key": "b", "value": {"boolValue": true}}],
             "events": [{"timeUnixNano": "7", "name": "e", "attributes": [{"key": "k", "value": {"stringValue": "v"}}]}]},
            {"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b175", "name": "b"}]}]}]});
        let service = "orders".parse().unwrap();
        let (first, _) = spans(&service, Written::Json, json.to_string().as_bytes()).unwrap();
        let kept: Vec<KeptSpan> = first.iter().map(|span| KeptSpan::Own(Box::new(span.clone()))).collect();
        let sent = export_spans("shop", &kept);
        assert_eq!(spans(&service, Written::Protobuf, &sent).unwrap(), (first, 0));
        let read = ExportTraceServiceRequest::decode(&*sent).unwrap();
        let resource = read.resource_spans[0].resource.clone().unwrap();
        let names: Vec<_> = resource.attributes.iter().map(|a| a.key.as_str()).collect();
        assert_eq!(names, ["service.name", "service.namespace"]);
    }
}

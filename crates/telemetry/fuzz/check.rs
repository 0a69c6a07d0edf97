//! What holds for any bytes that are sent as OTLP.

use std::collections::BTreeMap;

use model::span::Value;
use telemetry::otlp::{Wire, logs, points, spans};

/// Reads them as every signal in both ways of writing: none panics, and what is taken is bounded.
pub fn check(bytes: &[u8]) {
    let service = "orders".parse().unwrap();
    for wire in [Wire::Protobuf, Wire::Json] {
        let (taken, _) = spans(&service, wire, bytes).unwrap_or_default();
        for span in taken {
            assert!(!span.name.is_empty() && span.name.len() < 300 && span.events.len() <= 128);
            bounded(&span.attributes);
            span.events.iter().for_each(|event| bounded(&event.attributes));
        }
        for line in logs(wire, bytes, 7).unwrap_or_default() {
            assert!(line.text.len() < 17 * 1024 && !line.text.contains('\n'), "{}", line.text.len());
        }
        points(wire, bytes).unwrap_or_default().iter().for_each(|point| bounded(&point.attributes));
    }
}

fn bounded(attributes: &BTreeMap<String, Value>) {
    let length = |value: &Value| if let Value::Text(text) = value { text.len() } else { 0 };
    let all: usize = attributes.iter().map(|(key, value)| key.len().min(256) + length(value)).sum();
    assert!(attributes.len() <= 128 && all <= 17 * 1024, "{} attributes, {all} bytes", attributes.len());
    for (key, value) in attributes {
        assert!(!key.to_lowercase().contains("password") || value.to_string() == "•••", "{key}");
    }
}

//! Lines of output as log records.

use std::collections::BTreeMap;

use model::span::{SpanId, TraceId, Value};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use prost::Message as _;

use super::{Owner, pair, resource, scope};

/// Severities, and the first number of each
/// (<https://opentelemetry.io/docs/specs/otel/logs/data-model/#field-severitynumber>).
const SEVERITIES: [(&str, i32); 8] = [
    ("trace", 1),
    ("debug", 5),
    ("info", 9),
    ("warn", 13),
    ("warning", 13),
    ("error", 17),
    ("fatal", 21),
    ("critical", 21),
];

/// A line of output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentLog {
    /// When it was captured, in Unix milliseconds.
    pub at: u64,
    /// The service.
    pub service: String,
    /// Which replica of it.
    pub replica: String,
    /// Where it came from: `stdout`, `stderr`, `otlp`, or `isles` for what Isles says of the replica.
    pub stream: &'static str,
    /// In lower case; empty where it has none.
    pub level: String,
    /// What it says.
    pub message: String,
    /// The other fields; `span_id` is what it says.
    pub fields: Vec<(String, String)>,
    /// The trace that it names.
    pub trace: Option<TraceId>,
}

/// The number of a severity, by its name in lower case.
pub fn severity(level: &str) -> Option<i32> {
    SEVERITIES.iter().find(|(name, _)| *name == level).map(|(_, number)| *number)
}

/// The lines of an app as protobuf.
pub fn export_logs(app: &str, lines: &[SentLog]) -> Vec<u8> {
    let mut owners = BTreeMap::<Owner, Vec<LogRecord>>::new();
    for line in lines {
        owners.entry((line.service.clone(), Some(line.replica.clone()))).or_default().push(record(line));
    }
    let owners = owners.into_iter().map(|(owner, log_records)| ResourceLogs {
        resource: resource(app, owner),
        scope_logs: vec![ScopeLogs { scope: scope(), log_records, ..ScopeLogs::default() }],
        ..ResourceLogs::default()
    });
    ExportLogsServiceRequest { resource_logs: owners.collect() }.encode_to_vec()
}

fn record(line: &SentLog) -> LogRecord {
    let span = line.fields.iter().find(|(key, _)| ["span_id", "spanId"].contains(&key.as_str()));
    let span = span.and_then(|(_, id)| id.parse::<SpanId>().ok());
    let own = line.fields.iter().map(|(key, value)| pair(key, &Value::Text(value.clone())));
    let stream = pair("log.iostream", &Value::Text(line.stream.to_owned()));
    let at = line.at.saturating_mul(1_000_000);
    LogRecord {
        time_unix_nano: at,
        observed_time_unix_nano: at,
        severity_number: severity(&line.level).unwrap_or_default(),
        severity_text: line.level.to_uppercase(),
        body: Some(AnyValue { value: Some(Any::StringValue(line.message.clone())) }),
        attributes: own.chain([stream]).collect(),
        trace_id: line.trace.map(|id| id.0.to_be_bytes().to_vec()).unwrap_or_default(),
        span_id: span.map(|id| id.0.to_be_bytes().to_vec()).unwrap_or_default(),
        ..LogRecord::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::{Wire, logs};

    #[test]
    fn a_line_keeps_its_severity_its_fields_and_its_trace() {
        let line = SentLog {
            at: 1_700_000_000_123,
            service: "orders".to_owned(),
            replica: "orders-1".to_owned(),
            stream: "stderr",
            level: "warn".to_owned(),
            message: "late".to_owned(),
            fields: [
                ("n", "3"),
                ("trace_id", "5b8efff798038103d269b633813fc60c"),
                ("span_id", "eee19b7ec3c1b174"),
            ]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .to_vec(),
            trace: "5b8efff798038103d269b633813fc60c".parse().ok(),
        };
        let sent = export_logs("shop", &[line.clone(), SentLog { level: "odd".to_owned(), ..line }]);
        let read = logs(Wire::Protobuf, &sent, 0).unwrap();
        assert_eq!(
            (read.len(), read[0].at, read[0].replica.as_deref()),
            (2, 1_700_000_000_123, Some("orders-1"))
        );
        let text = &read[0].text;
        assert!(text.starts_with("WARN late"), "{text}");
        for part in [
            "n=3",
            "log.iostream=stderr",
            "trace_id=5b8efff798038103d269b633813fc60c",
            "span_id=eee19b7ec3c1b174",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}

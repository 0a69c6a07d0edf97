//! From the bytes of an export to what is kept of it.

use model::span::{SpanId, TraceId};
use model::{OwnEvent, OwnSpan, PointKind, ServiceName};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{AggregationTemporality, Metric, NumberDataPoint};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde::de::DeserializeOwned;

use super::values::{attributes, cut, text_of, value};
use super::{OwnLog, OwnPoint};

/// The longest name, and the longest line, in bytes.
const MOST_NAME: usize = 256;
const MOST_LINE: usize = 16 * 1024;
/// Events of one span; those beyond are left out (the default of OpenTelemetry's SDKs).
const MOST_EVENTS: usize = 128;

/// How a message is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// Protobuf.
    Protobuf,
    /// JSON, as OTLP has it: ids in hexadecimal.
    Json,
}

/// This is no such message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no {what} of OTLP: {cause}")]
pub struct Malformed {
    what: &'static str,
    cause: String,
}

fn read<M: Message + Default + DeserializeOwned>(
    what: &'static str,
    wire: Wire,
    bytes: &[u8],
) -> Result<M, Malformed> {
    let read = match wire {
        Wire::Protobuf => M::decode(bytes).map_err(|e| e.to_string()),
        Wire::Json => serde_json::from_slice(bytes).map_err(|e| e.to_string()),
    };
    read.map_err(|cause| Malformed { what, cause: cut(&cause, MOST_NAME) })
}

/// The spans of an export, and how many in it are none: without an id, or without a name.
///
/// # Errors
/// It is no export of traces.
pub fn spans(service: &ServiceName, wire: Wire, bytes: &[u8]) -> Result<(Vec<OwnSpan>, usize), Malformed> {
    let request: ExportTraceServiceRequest = read("export of traces", wire, bytes)?;
    let (mut taken, mut refused) = (Vec::new(), 0);
    for resource in request.resource_spans {
        let replica = replica(resource.resource.as_ref());
        for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            match own_span(service, replica.as_deref(), span) {
                Some(span) => taken.push(span),
                None => refused += 1,
            }
        }
    }
    Ok((taken, refused))
}

fn own_span(service: &ServiceName, replica: Option<&str>, span: Span) -> Option<OwnSpan> {
    let status = span.status.unwrap_or_default();
    let events = span.events.into_iter().take(MOST_EVENTS).map(|event| OwnEvent {
        at: event.time_unix_nano,
        name: cut(&event.name, MOST_NAME),
        attributes: attributes(event.attributes),
    });
    Some(OwnSpan {
        trace: trace_id(&span.trace_id)?,
        id: span_id(&span.span_id)?,
        parent: span_id(&span.parent_span_id),
        service: service.clone(),
        replica: replica.map(str::to_owned),
        name: cut(Some(span.name.as_str()).filter(|name| !name.is_empty())?, MOST_NAME),
        kind: match span.kind {
            2 => "server",
            3 => "client",
            4 => "producer",
            5 => "consumer",
            _ => "internal",
        }
        .to_owned(),
        start: span.start_time_unix_nano,
        duration: span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano),
        // STATUS_CODE_ERROR
        failed: status.code == 2,
        message: Some(status.message).filter(|m| !m.is_empty()).map(|m| cut(&m, MOST_NAME * 4)),
        attributes: attributes(span.attributes),
        events: events.collect(),
    })
}

/// The lines of an export; `now` (Unix milliseconds) is the time of those that have none.
///
/// # Errors
/// It is no export of logs.
pub fn logs(wire: Wire, bytes: &[u8], now: u64) -> Result<Vec<OwnLog>, Malformed> {
    let request: ExportLogsServiceRequest = read("export of logs", wire, bytes)?;
    let mut taken = Vec::new();
    for resource in request.resource_logs {
        let replica = replica(resource.resource.as_ref());
        for record in resource.scope_logs.into_iter().flat_map(|scope| scope.log_records) {
            let at = [record.time_unix_nano, record.observed_time_unix_nano].into_iter().find(|t| *t > 0);
            let at = at.map_or(now, |nanos| nanos / 1_000_000);
            taken.push(OwnLog { at, replica: replica.clone(), text: line(record) });
        }
    }
    Ok(taken)
}

fn line(record: LogRecord) -> String {
    let severity = if record.severity_text.is_empty() {
        severity(record.severity_number).to_owned()
    } else {
        cut(&record.severity_text, MOST_NAME)
    };
    let body = record.body.and_then(|body| body.value).map(value);
    let words = [Some(severity).filter(|s| !s.is_empty()), body.map(|body| body.to_string())];
    let pairs = attributes(record.attributes).into_iter().map(|(key, value)| format!("{key}={value}"));
    let trace = trace_id(&record.trace_id).map(|id| format!("trace_id={id}"));
    let span = span_id(&record.span_id).map(|id| format!("span_id={id}"));
    let all: Vec<String> = words.into_iter().flatten().chain(pairs).chain(trace).chain(span).collect();
    cut(&all.join(" ").replace(['\n', '\r'], "↵"), MOST_LINE)
}

/// The short names of OpenTelemetry's data model for logs.
fn severity(number: i32) -> &'static str {
    match number {
        1..=4 => "TRACE",
        5..=8 => "DEBUG",
        9..=12 => "INFO",
        13..=16 => "WARN",
        17..=20 => "ERROR",
        21..=24 => "FATAL",
        _ => "",
    }
}

/// The numbers of an export: gauges, sums, and of distributions their count and their sum.
///
/// # Errors
/// It is no export of metrics.
pub fn points(wire: Wire, bytes: &[u8]) -> Result<Vec<OwnPoint>, Malformed> {
    let request: ExportMetricsServiceRequest = read("export of metrics", wire, bytes)?;
    let mut taken = Vec::new();
    for resource in request.resource_metrics {
        let replica = replica(resource.resource.as_ref());
        for metric in resource.scope_metrics.into_iter().flat_map(|scope| scope.metrics) {
            numbers(metric, replica.as_deref(), &mut taken);
        }
    }
    Ok(taken)
}

fn numbers(metric: Metric, replica: Option<&str>, taken: &mut Vec<OwnPoint>) {
    let (name, unit) = (cut(&metric.name, MOST_NAME), cut(&metric.unit, MOST_NAME));
    if name.is_empty() {
        return;
    }
    let mut push = |suffix: &str, kind: PointKind, attributes, value: f64| {
        let (replica, name) = (replica.map(str::to_owned), format!("{name}{suffix}"));
        // How many there were is in no unit.
        let unit = if suffix == "_count" { String::new() } else { unit.clone() };
        taken.push(OwnPoint { replica, name, unit, attributes, kind, value });
    };
    let number = |point: &NumberDataPoint| match point.value {
        Some(Number::AsDouble(number)) => number,
        Some(Number::AsInt(number)) => number as f64,
        None => 0.0,
    };
    // What only says how much it was since the last export is no total, and adding up is not done here.
    let total = |temporality: i32| temporality == AggregationTemporality::Cumulative as i32;
    match metric.data {
        Some(Data::Gauge(gauge)) => {
            gauge.data_points.into_iter().for_each(|p| {
                let value = number(&p);
                push("", PointKind::Gauge, attributes(p.attributes), value);
            });
        }
        Some(Data::Sum(sum)) if total(sum.aggregation_temporality) => {
            let kind = if sum.is_monotonic { PointKind::Counter } else { PointKind::Gauge };
            sum.data_points.into_iter().for_each(|p| {
                let value = number(&p);
                push("", kind, attributes(p.attributes), value);
            });
        }
        Some(Data::Histogram(all)) if total(all.aggregation_temporality) => {
            all.data_points.into_iter().for_each(|p| {
                let attributes = attributes(p.attributes);
                push("_count", PointKind::Distribution, attributes.clone(), p.count as f64);
                push("_sum", PointKind::Distribution, attributes, p.sum.unwrap_or_default());
            });
        }
        Some(Data::ExponentialHistogram(all)) if total(all.aggregation_temporality) => {
            all.data_points.into_iter().for_each(|p| {
                let attributes = attributes(p.attributes);
                push("_count", PointKind::Distribution, attributes.clone(), p.count as f64);
                push("_sum", PointKind::Distribution, attributes, p.sum.unwrap_or_default());
            });
        }
        _ => {}
    }
}

fn replica(resource: Option<&Resource>) -> Option<String> {
    let name = text_of(&resource?.attributes, "service.instance.id")?;
    Some(cut(name, MOST_NAME))
}

fn trace_id(bytes: &[u8]) -> Option<TraceId> {
    let id = u128::from_be_bytes(bytes.try_into().ok()?);
    (id != 0).then_some(TraceId(id))
}

fn span_id(bytes: &[u8]) -> Option<SpanId> {
    let id = u64::from_be_bytes(bytes.try_into().ok()?);
    (id != 0).then_some(SpanId(id))
}

#[cfg(test)]
mod tests;

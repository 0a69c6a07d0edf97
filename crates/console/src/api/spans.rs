//! Spans of requests.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Spans that are kept.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct Spans {
    /// The newest first.
    pub spans: Vec<Span>,
    /// How many were lost since the beginning, since too many came.
    pub dropped: u64,
    /// How many of services' own were not kept, since enough of their kind were.
    #[serde(default)]
    pub left_out: u64,
}

/// One request's passage through the data plane, or a piece of a service's own work.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Span {
    /// The trace: 32 hexadecimal digits.
    pub trace: String,
    /// This span: 16 hexadecimal digits.
    pub id: String,
    /// The span of the caller, or the one that this is part of.
    #[serde(default)]
    pub parent: Option<String>,
    /// When it began, in Unix milliseconds.
    pub start: u64,
    /// The same in Unix microseconds.
    #[serde(default)]
    pub start_us: u64,
    /// Milliseconds until the last byte of the answer was passed on.
    pub duration_ms: f64,
    /// Milliseconds until the head of the answer was there.
    #[serde(default)]
    pub head_ms: Option<f64>,
    /// Why it was kept: `sampled`, `slow` or `failed`.
    pub kept: String,
    /// Who calls; absent for the gateway, and for a service's own work.
    #[serde(default)]
    pub caller: Option<String>,
    /// Whom; whose work it is.
    pub callee: String,
    /// What the service calls it. Absent for a passage through the data plane.
    #[serde(default)]
    pub name: Option<String>,
    /// `internal`, `server`, `client`, `producer` or `consumer`, where the service says so.
    #[serde(default)]
    pub kind: Option<String>,
    /// Why it failed, in the service's words.
    #[serde(default)]
    pub message: Option<String>,
    /// What happened meanwhile, in the service's words.
    #[serde(default)]
    pub events: Vec<SpanEvent>,
    /// In the names of OpenTelemetry's conventions.
    #[schema(value_type = Object)]
    pub attributes: BTreeMap<String, model::span::Value>,
    /// Attempts that failed.
    pub failed_attempts: Vec<FailedAttempt>,
}

/// Something that happened during a span.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SpanEvent {
    /// Milliseconds after the beginning of the span.
    pub at_ms: f64,
    /// What, such as `exception`.
    pub name: String,
    /// More about it.
    #[schema(value_type = Object)]
    pub attributes: BTreeMap<String, model::span::Value>,
}

/// An attempt that failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FailedAttempt {
    /// Milliseconds after the beginning of the span.
    pub at_ms: f64,
    /// Which replica was asked.
    pub replica: String,
    /// Of which release.
    pub release: String,
    /// A code of the data plane, or the status of the answer.
    pub outcome: String,
}

/// Which spans are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SpanQuery {
    /// Of this trace.
    pub trace: Option<model::TraceId>,
    /// With this caller or callee.
    pub service: Option<String>,
    /// Only those that failed.
    pub errors: bool,
    /// Only those that took longer, in milliseconds.
    pub slower_than_ms: u64,
    /// With all these words, or beginnings of words, in names, texts, or attributes (`key=value`).
    pub text: String,
    /// At most so many.
    pub n: usize,
}

impl From<&model::KeptSpan> for Span {
    fn from(span: &model::KeptSpan) -> Self {
        match span {
            model::KeptSpan::Hop(span) => (&**span).into(),
            model::KeptSpan::Own(span) => (&**span).into(),
        }
    }
}

impl From<&model::Span> for Span {
    fn from(span: &model::Span) -> Self {
        let attributes = span.attributes().into_iter().map(|(key, value)| (key.to_owned(), value));
        let failed_attempts = span.failed_attempts.iter().map(|attempt| FailedAttempt {
            at_ms: millis(attempt.at),
            replica: attempt.replica.to_string(),
            release: attempt.release.to_string(),
            outcome: attempt.outcome.clone(),
        });
        Self {
            trace: span.trace.to_string(),
            id: span.id.to_string(),
            parent: span.parent.map(|parent| parent.to_string()),
            start: span.start / 1_000_000,
            start_us: span.start / 1_000,
            duration_ms: millis(span.duration),
            head_ms: span.head.map(millis),
            kept: match span.kept {
                model::Kept::Sampled => "sampled",
                model::Kept::Slow => "slow",
                model::Kept::Failed => "failed",
            }
            .to_owned(),
            caller: span.caller.as_ref().map(ToString::to_string),
            callee: span.callee.to_string(),
            name: None,
            kind: None,
            message: None,
            events: Vec::new(),
            attributes: attributes.collect(),
            failed_attempts: failed_attempts.collect(),
        }
    }
}

impl From<&model::OwnSpan> for Span {
    fn from(span: &model::OwnSpan) -> Self {
        let events = span.events.iter().map(|event| SpanEvent {
            at_ms: millis(event.at.saturating_sub(span.start)),
            name: event.name.clone(),
            attributes: event.attributes.clone(),
        });
        let mut attributes = span.attributes.clone();
        if let Some(replica) = &span.replica {
            attributes.insert("service.instance.id".to_owned(), model::span::Value::Text(replica.clone()));
        }
        Self {
            trace: span.trace.to_string(),
            id: span.id.to_string(),
            parent: span.parent.map(|parent| parent.to_string()),
            start: span.start / 1_000_000,
            start_us: span.start / 1_000,
            duration_ms: millis(span.duration),
            head_ms: None,
            kept: if span.failed { "failed" } else { "sampled" }.to_owned(),
            caller: None,
            callee: span.service.to_string(),
            name: Some(span.name.clone()),
            kind: Some(span.kind.clone()),
            message: span.message.clone(),
            events: events.collect(),
            attributes,
            failed_attempts: Vec::new(),
        }
    }
}

fn millis(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}

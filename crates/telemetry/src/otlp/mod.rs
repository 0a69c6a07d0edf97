//! OTLP 1.x (<https://opentelemetry.io/docs/specs/otlp/>): what services tell of themselves, cut to size, and what is sent on.
//!
//! Nothing in a message is trusted but for what it says of the service that sent it: whose it is says the edge that it came by.

mod api;
mod decode;
mod encode;
mod values;

pub use api::{CALLER, Intake, router};
pub use decode::{Malformed, Wire, logs, points, spans};
pub use encode::{SentLog, export_logs, export_metrics, export_spans, severity};

/// A line that a service logged by OTLP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnLog {
    /// When, in Unix milliseconds.
    pub at: u64,
    /// What it calls the process, `service.instance.id`.
    pub replica: Option<String>,
    /// Severity, text, attributes as `key=value`, and `trace_id` and `span_id` where it belongs to a span: one line.
    pub text: String,
}

/// What a service measured: one number.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnPoint {
    /// What it calls the process, `service.instance.id`.
    pub replica: Option<String>,
    /// What it calls what it measures.
    pub name: String,
    /// The unit, in the words of UCUM; empty where there is none.
    pub unit: String,
    /// What tells it apart from others of the name.
    pub attributes: std::collections::BTreeMap<String, model::span::Value>,
    /// What kind of number.
    pub kind: model::PointKind,
    /// How much it is now.
    pub value: f64,
}

//! Spans that services make themselves, and what they have in common with those of the data plane.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::names::ServiceName;
use crate::span::{Span, SpanId, TraceId, Value};

/// A span that a service made of its own work and sent by OTLP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnSpan {
    /// The trace.
    pub trace: TraceId,
    /// This span.
    pub id: SpanId,
    /// The span that it is part of.
    pub parent: Option<SpanId>,
    /// Who sent it: the service at whose edge it came in, whatever it calls itself.
    pub service: ServiceName,
    /// What it calls the process, `service.instance.id`: the replica, unless the service says something else.
    pub replica: Option<String>,
    /// What it calls the work.
    pub name: String,
    /// `internal`, `server`, `client`, `producer` or `consumer`.
    pub kind: String,
    /// Unix nanoseconds.
    pub start: u64,
    /// Nanoseconds.
    pub duration: u64,
    /// The service says that it failed.
    pub failed: bool,
    /// Why, if it says so.
    pub message: Option<String>,
    /// Attributes, with what looks like a secret masked.
    pub attributes: BTreeMap<String, Value>,
    /// What happened meanwhile.
    pub events: Vec<OwnEvent>,
}

/// Something that happened during a span, such as an exception.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnEvent {
    /// Unix nanoseconds.
    pub at: u64,
    /// What.
    pub name: String,
    /// More about it.
    pub attributes: BTreeMap<String, Value>,
}

/// A span that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeptSpan {
    /// A request's passage through the data plane.
    Hop(Box<Span>),
    /// Of a service's own.
    Own(Box<OwnSpan>),
}

impl KeptSpan {
    /// The trace.
    pub fn trace(&self) -> TraceId {
        match self {
            Self::Hop(span) => span.trace,
            Self::Own(span) => span.trace,
        }
    }

    /// The span.
    pub fn id(&self) -> SpanId {
        match self {
            Self::Hop(span) => span.id,
            Self::Own(span) => span.id,
        }
    }

    /// The span that it is part of.
    pub fn parent(&self) -> Option<SpanId> {
        match self {
            Self::Hop(span) => span.parent,
            Self::Own(span) => span.parent,
        }
    }

    /// When it began: Unix nanoseconds.
    pub fn start(&self) -> u64 {
        match self {
            Self::Hop(span) => span.start,
            Self::Own(span) => span.start,
        }
    }

    /// Nanoseconds.
    pub fn duration(&self) -> u64 {
        match self {
            Self::Hop(span) => span.duration,
            Self::Own(span) => span.duration,
        }
    }

    /// Whether it failed.
    pub fn failed(&self) -> bool {
        match self {
            Self::Hop(span) => span.failed(),
            Self::Own(span) => span.failed,
        }
    }

    /// The service that worked, and the one that called it, where that is known.
    pub fn services(&self) -> (&ServiceName, Option<&ServiceName>) {
        match self {
            Self::Hop(span) => (&span.callee, span.caller.as_ref()),
            Self::Own(span) => (&span.service, None),
        }
    }

    /// All that a search may look for: names, and attributes as `key=value`.
    pub fn words(&self) -> String {
        let mut words = String::new();
        let mut add = |text: &str| {
            words.push_str(text);
            words.push('\n');
        };
        match self {
            Self::Hop(span) => {
                add(&format!("{} {}", span.method, span.path));
                span.attributes().iter().for_each(|(key, value)| add(&format!("{key}={value}")));
            }
            Self::Own(span) => {
                add(&span.name);
                add(span.message.as_deref().unwrap_or_default());
                let of_events = span.events.iter().flat_map(|event| &event.attributes);
                span.attributes
                    .iter()
                    .chain(of_events)
                    .for_each(|(key, value)| add(&format!("{key}={value}")));
                span.events.iter().for_each(|event| add(&event.name));
            }
        }
        words
    }
}

//! What happened when: the calls of every edge over time, and the spans of requests.
//!
//! [`Metrics`] takes what the data plane counted, second by second, and keeps it in steps that get longer with age
//! ([`TIERS`]), in a file of bounded size that outlives the control plane. Latencies are kept as distributions, so that a
//! percentile of an hour is one of all its calls, and not a mean of percentiles. Beside them it keeps what happened at one moment
//! ([`Event`]), for as long.
//!
//! [`Points`] has the latest of what services measure themselves, and [`History`] what it was before, in a third file.
//!
//! [`Traces`] keeps spans, those of the data plane and those that services send by OTLP ([`otlp`]), in a file of its own, with all
//! their words to search in.
//!
//! [`alerts`] say what somebody has to be told of.
//!
//! Nothing here has a clock of its own: whoever calls says what time it is.

pub mod alerts;
mod events;
mod file;
mod metrics;
pub mod otlp;
mod points;
mod search;
mod series;
mod store;
mod traces;

pub use events::{Event, Wanted};
pub use metrics::{Edge, Limits, Line, Metrics, Point, Span};
pub use points::Points;
pub use search::SpanQuery;
pub use series::{History, Series};
pub use store::StoreError;
pub use traces::{Counts, TraceLimits, Traces};

/// How long something is kept in which steps, both in seconds; the finest first.
pub const TIERS: [Tier; 3] =
    [Tier { step: 1, keep: 3_600 }, Tier { step: 10, keep: 86_400 }, Tier { step: 300, keep: 30 * 86_400 }];

/// Counts in steps of one length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tier {
    /// Seconds of one step.
    pub step: u64,
    /// For how many seconds they are kept.
    pub keep: u64,
}

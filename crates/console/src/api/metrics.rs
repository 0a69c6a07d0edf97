//! Calls over time, as they travel over the admin API.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Which calls, and how finely.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsQuery {
    /// Only calls of this service.
    pub service: Option<String>,
    /// So many seconds back.
    pub seconds: u64,
    /// At most about so many points.
    pub points: u64,
}

/// Calls over time. Steps in which there were none are left out.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct MetricsReport {
    /// The begin.
    pub from: u64,
    /// The end.
    pub until: u64,
    /// Milliseconds from one point to the next.
    pub step: u64,
    /// All edges together.
    pub all: Vec<MetricPoint>,
    /// Each edge.
    pub edges: Vec<EdgeMetrics>,
}

/// The calls of one caller to one callee.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EdgeMetrics {
    /// The service; absent for the gateway.
    #[serde(default)]
    pub caller: Option<String>,
    /// Whom.
    pub callee: String,
    /// In order.
    pub points: Vec<MetricPoint>,
}

/// The calls of one step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MetricPoint {
    /// Its begin.
    pub at: u64,
    /// Calls.
    pub requests: u64,
    /// Those that failed.
    pub failed: u64,
    /// The median time to the head of an answer, in milliseconds.
    #[serde(default)]
    pub p50_ms: Option<f64>,
    /// The 99th percentile of the same.
    #[serde(default)]
    pub p99_ms: Option<f64>,
}

//! What happens between services, as it travels over the admin API.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The traffic of the last seconds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct Traffic {
    /// How many seconds the rates, shares and latencies are about.
    pub seconds: u64,
    /// Every caller and callee that may talk to each other.
    pub edges: Vec<EdgeTraffic>,
    /// Every replica that got a request.
    pub replicas: Vec<ReplicaTraffic>,
    /// Every service that may be called.
    pub services: Vec<ServiceTraffic>,
}

/// Calls within the window.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct Calls {
    /// How many ended.
    pub count: u64,
    /// How many ended in a second, on average.
    pub rate: f64,
    /// How many failed.
    pub failed: u64,
    /// The part that failed, 0 to 1; absent where there were none.
    #[serde(default)]
    pub error_share: Option<f64>,
    /// Of the failed, those that the callee only passed on.
    pub passed_on: u64,
    /// How many the caller left before an answer began.
    pub cancelled: u64,
    /// The median time to the head of an answer, in milliseconds.
    #[serde(default)]
    pub p50_ms: Option<f64>,
    /// The 90th percentile of the same.
    #[serde(default)]
    pub p90_ms: Option<f64>,
    /// The 99th percentile of the same.
    #[serde(default)]
    pub p99_ms: Option<f64>,
}

/// One caller and one callee.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EdgeTraffic {
    /// Who calls; absent for the gateway.
    #[serde(default)]
    pub caller: Option<String>,
    /// Whom.
    pub callee: String,
    /// Where the requests arrive.
    pub listener: String,
    /// Requests.
    pub requests: Calls,
    /// Requests under way.
    pub in_flight: u64,
    /// The circuit breaker: `closed`, `open` or `half_open`.
    pub circuit: String,
    /// What was counted since the data plane began.
    pub total: EdgeTotals,
    /// Attempts by the release that got them.
    pub releases: Vec<ReleaseTraffic>,
}

/// What was counted since the data plane began.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct EdgeTotals {
    /// Requests that ended.
    pub requests: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Attempts that were made again.
    pub retries: u64,
    /// Attempts that were not made again for want of a budget.
    pub retries_refused: u64,
    /// Requests refused by the limit that is learned from latency.
    pub shed: u64,
    /// Requests refused because this caller had its share of the service.
    pub over_share: u64,
    /// How often the circuit opened.
    pub openings: u64,
    /// Requests that the data plane answered itself, by code.
    pub codes: BTreeMap<String, u64>,
}

/// One release of a callee, as one caller sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReleaseTraffic {
    /// Which.
    pub release: String,
    /// Attempts.
    pub attempts: Calls,
}

/// One replica.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReplicaTraffic {
    /// `<service>-<number>`.
    pub id: String,
    /// The release that it runs.
    pub release: String,
    /// Where it listens.
    pub address: String,
    /// Attempts.
    pub attempts: Calls,
    /// Attempts under way.
    pub in_flight: u64,
    /// Whether it gets no requests for a while, because it failed.
    pub ejected: bool,
    /// How often that was so.
    pub ejections: u64,
}

/// One service, all callers together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ServiceTraffic {
    /// Which.
    pub service: String,
    /// Requests of all callers.
    pub requests: Calls,
    /// Requests under way.
    pub in_flight: u64,
    /// Of these, those whose answer has not begun.
    pub waiting: u64,
    /// How many may be under way.
    pub limit: u32,
    /// How many may wait, where latency says that this must be less.
    #[serde(default)]
    pub learned_limit: Option<u32>,
}

impl Calls {
    /// Of a tally of so many seconds.
    pub fn of(tally: &model::Tally, seconds: u64) -> Self {
        let count = tally.outcomes.all();
        let millis = |q: f64| tally.latency.quantile(q).map(|time| round(time.as_secs_f64() * 1e3));
        Self {
            count,
            rate: round(count as f64 / seconds.max(1) as f64),
            failed: tally.outcomes.failed,
            error_share: tally.outcomes.error_share(),
            passed_on: tally.outcomes.passed_on,
            cancelled: tally.outcomes.cancelled,
            p50_ms: millis(0.5),
            p90_ms: millis(0.9),
            p99_ms: millis(0.99),
        }
    }
}

/// Three digits are more than a bucket of a histogram knows.
fn round(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

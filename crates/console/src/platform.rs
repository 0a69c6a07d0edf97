//! What the API needs of the platform behind it.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use model::Measured;
use tokio::sync::{broadcast, watch};

use crate::api::{
    Accepted, AppStatus, Begun, Declared, DeployRequest, Deployed, DriftReport, EventQuery, Events, LogEntry,
    LogQuery, MeasuredQuery, MeasuredReport, MetricsQuery, MetricsReport, PlanReport, PlanRequest,
    ReleaseInfo, RollbackRequest, SpanQuery, Spans, Traffic, UsageReport,
};

/// A running app, as the API sees it.
///
/// Service names given to these methods are names that [`Platform::status`] lists: the server has checked them.
pub trait Platform: Send + Sync + 'static {
    /// The app's state, and every change of it. The sender lives as long as the app.
    fn status(&self) -> watch::Receiver<Arc<AppStatus>>;

    /// Sets how many replicas `service` is to have. Returns when that is recorded.
    fn scale(&self, service: &str, replicas: u32) -> BoxFuture<'_, Result<Accepted, Refusal>>;

    /// Replaces the replicas of `service` one after the other. Returns when that is recorded.
    fn restart(&self, service: &str) -> BoxFuture<'_, Result<Accepted, Refusal>>;

    /// What is declared and in force.
    fn declared(&self) -> Declared;

    /// What would be different with the manifest as it is now.
    fn plan(&self, request: PlanRequest) -> BoxFuture<'_, Result<PlanReport, Refusal>>;

    /// Puts the manifest in force, builds services, and begins to bring what comes of it into charge. Returns when that is
    /// recorded. The services of the request may be new.
    fn deploy(&self, request: DeployRequest) -> BoxFuture<'_, Result<Deployed, Refusal>>;

    /// Begins to go back to an older release, or ends the rollout under way. Returns when that is recorded.
    fn rollback(&self, service: &str, request: RollbackRequest) -> BoxFuture<'_, Result<Begun, Refusal>>;

    /// Takes the canary under way into charge. Returns when that is recorded.
    fn promote(&self, service: &str) -> BoxFuture<'_, Result<Begun, Refusal>>;

    /// The releases of `service` that are kept, the latest first.
    fn releases(&self, service: &str) -> BoxFuture<'_, Result<Vec<ReleaseInfo>, Refusal>>;

    /// What was called of `service` within the last days.
    fn usage(&self, service: &str, days: u64) -> BoxFuture<'_, Result<UsageReport, Refusal>>;

    /// The latest of what `service` measures itself, by name.
    fn measured(&self, service: &str) -> Vec<Measured>;

    /// What a service measures itself, over time.
    fn series(&self, query: &MeasuredQuery) -> BoxFuture<'_, Result<MeasuredReport, Refusal>>;

    /// How real requests and answers of `service` compare with its contract.
    fn drift(&self, service: &str) -> DriftReport;

    /// The latest `query.n` lines of the services asked for, oldest first.
    ///
    /// A line that was sent to [`Platform::live_logs`] may be in here as well, equal in every field.
    fn recent_logs(&self, query: &LogQuery) -> BoxFuture<'_, Result<Vec<LogEntry>, Refusal>>;

    /// Every line from now on, of all services.
    fn live_logs(&self) -> broadcast::Receiver<Arc<LogEntry>>;

    /// What happened between services in the last seconds.
    fn traffic(&self, seconds: u64) -> Traffic;

    /// What happened, newest first.
    fn events(&self, query: &EventQuery) -> BoxFuture<'_, Result<Events, Refusal>>;

    /// Calls over time.
    fn metrics(&self, query: &MetricsQuery) -> BoxFuture<'_, Result<MetricsReport, Refusal>>;

    /// All that was counted since the data plane began, in the text format of OpenMetrics 1.0.
    fn open_metrics(&self) -> BoxFuture<'_, Result<String, Refusal>>;

    /// The latest spans that are wanted, the newest first.
    fn spans(&self, query: &SpanQuery) -> BoxFuture<'_, Result<Spans, Refusal>>;

    /// Begins an orderly end: the state becomes `stopping`, and the socket closes when everything is gone.
    fn down(&self);
}

/// Why the platform does not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Refusal {
    /// A stable name of the reason, for programs: `unknown_service`, `out_of_range`, …
    pub code: &'static str,
    /// What is wrong and what to do, for a person.
    pub detail: String,
    /// The HTTP status.
    pub status: u16,
}

impl Refusal {
    /// There is no such service; names the likely one.
    pub fn unknown_service<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        let known: Vec<&str> = known.into_iter().collect();
        let detail = match closest(name, &known) {
            Some(likely) => format!("there is no service `{name}`; did you mean `{likely}`?"),
            None if known.is_empty() => format!("there is no service `{name}`: the app has none"),
            None => format!("there is no service `{name}`; there are: {}", known.join(", ")),
        };
        Self { code: "unknown_service", detail, status: 404 }
    }

    /// A value is outside what is allowed.
    pub fn out_of_range(detail: impl Into<String>) -> Self {
        Self { code: "out_of_range", detail: detail.into(), status: 422 }
    }

    /// Something else has to end first.
    pub fn under_way(detail: impl Into<String>) -> Self {
        Self { code: "under_way", detail: detail.into(), status: 409 }
    }

    /// The manifest has faults.
    pub fn bad_manifest(detail: impl Into<String>) -> Self {
        Self { code: "bad_manifest", detail: detail.into(), status: 422 }
    }

    /// It cannot be done while the app runs.
    pub fn impossible(detail: impl Into<String>) -> Self {
        Self { code: "impossible", detail: detail.into(), status: 409 }
    }

    /// There is nothing that it could be done to.
    pub fn nothing_to_do(detail: impl Into<String>) -> Self {
        Self { code: "nothing_to_do", detail: detail.into(), status: 422 }
    }

    /// The app is ending and takes no more orders.
    pub fn stopping() -> Self {
        Self { code: "stopping", detail: "the app is stopping".to_owned(), status: 409 }
    }

    /// The platform failed at something that should have worked.
    pub fn internal(detail: impl Into<String>) -> Self {
        Self { code: "internal", detail: detail.into(), status: 500 }
    }
}

/// The name in `known` that `name` was probably meant to be: at most a third of it is different.
fn closest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let (distance, likely) = known.iter().map(|k| (strsim::levenshtein(name, k), *k)).min()?;
    (distance <= likely.len().div_ceil(3)).then_some(likely)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_service_names_the_likely_one() {
        let known = ["orders", "payments", "inventory"];
        for (given, expected) in [
            ("order", "there is no service `order`; did you mean `orders`?"),
            ("paymets", "there is no service `paymets`; did you mean `payments`?"),
            ("x", "there is no service `x`; there are: orders, payments, inventory"),
        ] {
            assert_eq!(Refusal::unknown_service(given, known).detail, expected);
        }
        assert_eq!(Refusal::unknown_service("x", []).detail, "there is no service `x`: the app has none");
    }
}

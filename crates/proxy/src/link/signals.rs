//! What the data plane tells of the requests it saw. Counts are since it began, and only grow; take differences.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use model::{Circuit, Histogram, ReleaseId, ReplicaId, ServiceName, Span, Tally};
use serde::{Deserialize, Serialize};

/// Everything that was counted of the services of the table in force.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Signals {
    /// Every pair of a listener and a service behind it.
    pub edges: Vec<EdgeSignals>,
    /// Every replica that got a request.
    pub replicas: Vec<ReplicaSignals>,
    /// Every service.
    pub services: Vec<ServiceSignals>,
}

/// The calls of one listener to one service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EdgeSignals {
    /// Where the requests arrive.
    pub listener: SocketAddr,
    /// Who calls; none at a gateway.
    pub caller: Option<ServiceName>,
    /// Whom.
    pub callee: ServiceName,
    /// Requests, however often each was sent. Latency is from the request's arrival to the head of the answer. For TCP,
    /// connections.
    pub requests: Tally,
    /// The times from arrival to the last byte of the answer, of requests that went well.
    pub whole: Histogram,
    /// Attempts by the release that got them. Latency is that of the attempt.
    pub releases: Vec<(ReleaseId, Tally)>,
    /// Requests that the data plane answered itself, by code.
    pub codes: BTreeMap<String, u64>,
    /// Requests under way, until the last byte of their answer.
    pub in_flight: u64,
    /// Attempts that were made again.
    pub retries: u64,
    /// Attempts that were not made again for want of a budget.
    pub retries_refused: u64,
    /// Requests refused by the learned limit.
    pub shed: u64,
    /// Requests refused because this caller had its share of the service.
    pub over_share: u64,
    /// The circuit breaker.
    pub circuit: Circuit,
    /// How often it opened.
    pub openings: u64,
    /// Requests by operation of the service's contract, those that were called. Starts anew when the contract changes.
    #[serde(default)]
    pub operations: Vec<OperationCounts>,
}

/// The requests for one operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationCounts {
    /// How people name it; none for requests that no operation fits.
    pub name: Option<String>,
    /// Those that nobody waited for; those with a status of 1xx or 2xx, 3xx, 4xx, 5xx.
    pub ends: [u64; 5],
}

/// One replica, all callers together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplicaSignals {
    /// Which.
    pub replica: ReplicaId,
    /// Of which release.
    pub release: ReleaseId,
    /// Where it listens.
    pub address: SocketAddr,
    /// Attempts.
    pub attempts: Tally,
    /// Attempts under way.
    pub in_flight: u64,
    /// Whether it is out for failing.
    pub ejected: bool,
    /// How often it was put out.
    pub ejections: u64,
}

/// One service, all callers together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceSignals {
    /// Which.
    pub service: ServiceName,
    /// Requests under way, until the last byte of their answer.
    pub in_flight: u64,
    /// Of these, those whose answer has not begun.
    pub waiting: u64,
    /// How many may be under way.
    pub limit: u32,
    /// How many may wait, if that is less: learned from latency.
    pub learned_limit: Option<u32>,
}

/// Spans that were kept since the last time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spans {
    /// In no particular order.
    pub spans: Vec<Span>,
    /// How many were lost since the last time, since too many came.
    pub dropped: u64,
}

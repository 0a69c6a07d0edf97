//! What the data plane tells of the requests it saw. Counts are since it began, and only grow; take differences.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use model::{Circuit, Histogram, ReleaseId, ReplicaId, ServiceName, Span, Tally};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Everything that was counted of the services of the table in force.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Signals {
    /// Every pair of a listener and a service behind it.
    pub edges: Vec<EdgeSignals>,
    /// Every replica that got a request.
    pub replicas: Vec<ReplicaSignals>,
    /// Every service.
    pub services: Vec<ServiceSignals>,
    /// Every service whose contract is known.
    #[serde(default)]
    pub drift: Vec<Drift>,
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
    /// At a gateway the routes to the service, by name, and the requests that took each.
    #[serde(default)]
    pub routes: Vec<(String, u64)>,
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

/// How real requests and answers of a service compare with its contract. Shows no value that anybody sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// Which service.
    pub service: ServiceName,
    /// Whose contract: the release in charge.
    pub release: ReleaseId,
    /// Looks that were not taken, since too many waited.
    pub missed: u64,
    /// Why nothing was looked at.
    pub unreadable: Option<String>,
    /// What of the contract cannot be checked, in sentences; the first ones.
    pub unchecked: Vec<String>,
    /// The operations that were looked at.
    pub operations: Vec<OperationDrift>,
    /// What the service answers, and its contract does not have.
    pub undocumented: Vec<Undocumented>,
}

/// A request that is not in a contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undocumented {
    /// Method and path, with `{}` for segments that name one thing among many.
    pub request: String,
    /// Who asked; none for the gateway.
    pub caller: Option<ServiceName>,
    /// The status of the last answer.
    pub status: u16,
    /// How often it was noted: not each time.
    pub seen: u64,
    /// When that was last, in Unix milliseconds.
    pub last: u64,
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OperationDrift {
    /// How people name it.
    pub operation: String,
    /// Requests that were looked at: about one in a second.
    pub looked_at: u64,
    /// Of these, those with something that is not as the contract says.
    pub faulty: u64,
    /// Findings that were not kept.
    pub more: u64,
    /// What was found, each kind once.
    pub findings: Vec<DriftFinding>,
}

/// Something that is not as the contract says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DriftFinding {
    /// Whose it is.
    pub side: DriftSide,
    /// Who sent the request; none for the gateway, and for answers.
    pub caller: Option<ServiceName>,
    /// Of what: `query parameter "limit"`, `request body`, `answer 200`.
    pub place: String,
    /// Where in it: a JSON Pointer, with `*` for the number of an item; none for the whole.
    pub pointer: Option<String>,
    /// What.
    pub detail: String,
    /// How often it was seen.
    pub count: u64,
    /// When it was seen first, in Unix milliseconds.
    pub first: u64,
    /// When it was seen last.
    pub last: u64,
    /// The body that it was first seen in: types and lengths in place of values.
    pub example: Option<Value>,
}

/// Who says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DriftSide {
    /// A caller.
    Request,
    /// The service.
    Answer,
}

/// Spans that were kept since the last time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spans {
    /// In no particular order.
    pub spans: Vec<Span>,
    /// How many were lost since the last time, since too many came.
    pub dropped: u64,
}

//! What the data plane is told: one complete, versioned snapshot.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::desired::{ExternalUrl, Protocol, RateLimit, Sticky};
use crate::names::{ReleaseId, ReplicaId, ServiceName};
use crate::observed::ProcessId;
use crate::shapes::ShapesFile;

/// A whole routing table. The data plane replaces the one it has by one with a higher version, atomically.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RouteTable {
    /// The app's name, for telemetry.
    pub app: ServiceName,
    /// Grows with every change, also across restarts of the control plane.
    pub version: u64,
    /// Everything the data plane listens on.
    pub listeners: Vec<Listener>,
    /// Where requests can go.
    pub upstreams: BTreeMap<ServiceName, Upstream>,
    /// Whether an edge refuses connections of processes that are not the caller's.
    #[serde(default)]
    pub verify_callers: bool,
    /// The process of every replica, whatever it is doing.
    #[serde(default)]
    pub processes: BTreeMap<ServiceName, Vec<ProcessId>>,
}

/// One address the data plane listens on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Listener {
    /// Where.
    pub address: SocketAddr,
    /// What arrives there.
    pub kind: ListenerKind,
}

/// What arrives at a listener.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ListenerKind {
    /// Requests from outside.
    Gateway {
        /// Its routes, in any order.
        routes: Vec<Route>,
        /// All else about it. A table of an older control plane has none of it.
        #[serde(default)]
        settings: GatewaySettings,
    },
    /// Plain HTTP that is answered with a redirect to HTTPS at a gateway.
    Redirect {
        /// Where that gateway listens.
        gateway: SocketAddr,
    },
    /// Requests of one service to another; the address is known to `caller` alone.
    Edge {
        /// Who calls.
        caller: ServiceName,
        /// Whom.
        callee: ServiceName,
    },
}

/// What holds for every connection and request at a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GatewaySettings {
    /// Where its certificate comes from; absent means plain HTTP.
    pub tls: Option<TlsSource>,
    /// `Strict-Transport-Security: max-age` on answers over TLS.
    pub hsts: Option<Duration>,
    /// The longest body of a request, in bytes.
    pub max_body: u64,
    /// Connections at one time; more are closed at once.
    pub max_connections: u32,
    /// The file in which each request is written down.
    pub access_log: Option<PathBuf>,
}

impl Default for GatewaySettings {
    fn default() -> Self {
        Self { tls: None, hsts: None, max_body: u64::MAX, max_connections: u32::MAX, access_log: None }
    }
}

/// Where a gateway's certificate comes from. Keys are never part of a table.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TlsSource {
    /// Two PEM files, read again when they change.
    Files {
        /// The chain.
        cert: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// An authority that speaks ACME (RFC 8555).
    Acme {
        /// Host names.
        domains: Vec<String>,
        /// Whom the authority may write to.
        email: String,
        /// The URL of its directory.
        directory: String,
        /// A PEM file with the certificates that sign the authority's own; absent means those of the system.
        ca: Option<PathBuf>,
        /// The folder in which account and certificate are kept.
        store: PathBuf,
    },
}

/// A route of the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// A path prefix on a segment boundary.
    pub path: String,
    /// Only for this host (lower case, no port).
    pub host: Option<String>,
    /// Only for these methods; empty means all.
    pub methods: Vec<String>,
    /// The upstream.
    pub service: ServiceName,
    /// Takes `path` off.
    pub strip: bool,
    /// The whole request, in place of the upstream's limit.
    pub timeout: Option<Duration>,
    /// Requests of one client.
    #[serde(default)]
    pub rate_limit: Option<RateLimit>,
    /// The longest body of a request in bytes, in place of the gateway's.
    #[serde(default)]
    pub max_body: Option<u64>,
    /// Requests that are not as the service's contract says are refused.
    #[serde(default)]
    pub enforce_contract: bool,
}

impl Route {
    /// How people name it: `GET,POST shop.example/api/orders`, without what it does not ask for.
    pub fn name(&self) -> String {
        let methods = if self.methods.is_empty() { String::new() } else { self.methods.join(",") + " " };
        format!("{methods}{}{}", self.host.as_deref().unwrap_or_default(), self.path)
    }
}

/// A service as the data plane sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Upstream {
    /// What it speaks.
    pub protocol: Protocol,
    /// Replicas that may get requests; only ready ones are here.
    pub endpoints: Vec<Endpoint>,
    /// Time limits.
    pub timeouts: Timeouts,
    /// Further attempts after the first.
    pub retries: u32,
    /// Requests at one time, of all callers together; more are refused at once. A table of an older control plane has
    /// no limit.
    #[serde(default = "no_limit")]
    pub in_flight: u32,
    /// How the requests are divided among releases while more than one may get some; empty where each replica counts the
    /// same. A release that is not listed gets requests only when no listed one has a replica that can take them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<Share>,
    /// Whose requests are all to go to the same release while they are divided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticky: Option<Sticky>,
    /// The operations of its contract, for which requests are counted one by one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<Operation>,
    /// What requests and answers of these have to be like, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shapes: Option<ShapesFile>,
    /// Set for a system outside: the data plane looks for its addresses itself, and `endpoints` is empty.
    #[serde(default)]
    pub outside: Option<Outside>,
    /// Requests wait for a replica, as long as they may, where there is none: one is started for them.
    #[serde(default)]
    pub hold: bool,
    /// Requests wait there on purpose, so how long they take is no sign of how much it has to do.
    #[serde(default)]
    pub patient: bool,
    /// What is sent there is of Isles' own business: neither counted as traffic nor recorded as spans.
    #[serde(default)]
    pub quiet: bool,
}

/// What a consumer can ask for, by its contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// The method of HTTP.
    pub method: String,
    /// The path, from the root of the service, with `{parameters}`.
    pub path: String,
    /// How people name it: `GET /v1/stock/{sku}`, or `package.Service/Method`.
    pub name: String,
}

/// What the data plane has to know of a system outside.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Outside {
    /// Where it is.
    pub url: ExternalUrl,
    /// The certificates, a PEM file, that its own must be signed by; `None` trusts what the system trusts.
    pub ca: Option<PathBuf>,
    /// Whether it is sent the trace.
    pub trace: bool,
}

/// A release's part of the requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Which release.
    pub release: ReleaseId,
    /// Its weight: its part is this divided by the sum of all weights of the upstream. 0 is none.
    pub weight: u32,
}

fn no_limit() -> u32 {
    u32::MAX
}

/// Time limits of an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    /// To establish a connection.
    pub connect: Duration,
    /// From the request's first byte to the response's head.
    pub request: Duration,
}

/// A replica that may get requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Which.
    pub replica: ReplicaId,
    /// Of which release.
    pub release: ReleaseId,
    /// Where.
    pub address: SocketAddr,
}

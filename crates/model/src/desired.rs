//! What the user declared, after every path is absolute and every name is checked.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::names::ServiceName;
use crate::template::Template;

/// A whole system: the content of one `isles.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DesiredState {
    /// The app's name.
    pub name: ServiceName,
    /// The folder that the manifest is in, absolute; `.isles/` is below it.
    pub root: PathBuf,
    /// The way in from outside; absent when the manifest has no `[gateway]`.
    pub gateway: Option<Gateway>,
    /// Every service by name.
    pub services: BTreeMap<ServiceName, ServiceSpec>,
    /// Systems outside that services call.
    pub externals: BTreeMap<ServiceName, External>,
    /// Whether an edge refuses connections of processes that are not the caller's.
    pub verify_callers: bool,
    /// Admin API and dashboard.
    pub console: Console,
    /// Saga definition files, absolute glob patterns.
    pub saga_files: Vec<PathBuf>,
    /// Where sagas are kept: the URL of a PostgreSQL database; absent for SQLite.
    #[serde(default)]
    pub saga_store: Option<Template>,
    /// Who receives which topic.
    pub subscriptions: Vec<EventSubscription>,
    /// When somebody is told that something is wrong, and where.
    #[serde(default)]
    pub alerts: Alerts,
    /// Where telemetry is sent on to.
    #[serde(default)]
    pub telemetry: Telemetry,
}

impl DesiredState {
    /// Every (caller, callee) pair that is declared, in order.
    pub fn edges(&self) -> impl Iterator<Item = Edge<'_>> {
        self.services.values().flat_map(|caller| caller.calls.iter().map(move |call| Edge { caller, call }))
    }
}

/// A declared right to call, borrowed from the state that declares it.
#[derive(Debug, Clone, Copy)]
pub struct Edge<'a> {
    /// Who calls.
    pub caller: &'a ServiceSpec,
    /// Whom, and how it is addressed.
    pub call: &'a Call,
}

/// `[gateway]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gateway {
    /// Where it listens.
    pub listen: SocketAddr,
    /// TLS at the gateway.
    pub tls: Option<GatewayTls>,
    /// Where plain HTTP is answered with a redirect to HTTPS.
    pub redirect: Option<SocketAddr>,
    /// How long browsers are to use HTTPS only (RFC 6797); absent means that they are not told.
    pub hsts: Option<Duration>,
    /// The longest body of a request, in bytes.
    pub max_body: u64,
    /// Connections at one time; more are closed at once.
    pub max_connections: u32,
    /// Whether each request is written down, and where.
    pub access_log: Option<AccessLog>,
    /// Routes in the order of the manifest.
    pub routes: Vec<GatewayRoute>,
}

/// `gateway.access_log`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessLog {
    /// Beside the other logs, in `.isles/logs/`.
    Standard,
    /// In this file, absolute.
    File(PathBuf),
}

/// `gateway.tls`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GatewayTls {
    /// Certificate chain and key, PEM files.
    Files {
        /// The chain.
        cert: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// Certificates by ACME (RFC 8555).
    Acme {
        /// Host names.
        domains: Vec<String>,
        /// Contact.
        email: String,
        /// The URL of the authority's directory; absent means Let's Encrypt.
        directory: Option<String>,
        /// A PEM file with the certificates that sign the authority's own; absent means those of the system.
        ca: Option<PathBuf>,
    },
}

/// One `[[gateway.routes]]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GatewayRoute {
    /// A path prefix; the longest that ends on a segment boundary wins.
    pub path: String,
    /// Only for this host (no port, lower case).
    pub host: Option<String>,
    /// Only for these methods, upper case; empty means all.
    pub methods: Vec<String>,
    /// Who answers.
    pub service: ServiceName,
    /// Takes `path` off before the request is passed on.
    pub strip: bool,
    /// The whole request, in place of the service's own limit.
    pub timeout: Option<Duration>,
    /// Per client address.
    pub rate_limit: Option<RateLimit>,
    /// The longest body of a request in bytes, in place of the gateway's.
    pub max_body: Option<u64>,
    /// Refuses requests that violate the service's contract.
    pub enforce_contract: bool,
}

/// `"100/s"`, `"5/m"`, `"10/h"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimit {
    /// Requests …
    pub requests: u32,
    /// … in this time.
    pub per: Duration,
}

/// What a service speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// HTTP/1.1 and h2c, with gRPC, WebSocket and server-sent events.
    Http,
    /// gRPC only: always HTTP/2.
    Grpc,
    /// Bytes.
    Tcp,
}

impl Protocol {
    /// The scheme of a URL to a service of this protocol.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Http | Self::Grpc => "http",
            Self::Tcp => "tcp",
        }
    }
}

/// A program and its arguments, each of them a template.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Command(pub Vec<Template>);

/// A step before a release can run: program and arguments, nothing to fill in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Build(pub Vec<String>);

/// One `[services.NAME]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceSpec {
    /// Its name.
    pub name: ServiceName,
    /// Its folder, absolute.
    pub dir: PathBuf,
    /// How to build it, if it needs building.
    pub build: Option<Build>,
    /// How to run it.
    pub command: Command,
    /// What a release keeps, absolute paths; `None` is the default of the product description.
    pub artifact: Option<Vec<PathBuf>>,
    /// What it speaks.
    pub protocol: Protocol,
    /// Its contract file, absolute.
    pub contract: Option<PathBuf>,
    /// How its health is asked.
    pub health: Health,
    /// Whom it may call.
    pub calls: Vec<Call>,
    /// How many replicas.
    pub scale: Scale,
    /// How a new release replaces the old.
    pub deploy: Deploy,
    /// Bounds on requests to it, and on what its processes use.
    pub limits: Limits,
    /// Runs once per release before its first replica.
    pub before_start: Option<Command>,
    /// What `up --watch` watches, absolute paths.
    pub watch: Vec<PathBuf>,
    /// How it is asked to end.
    pub stop: StopPolicy,
    /// Variables of its own.
    pub env: BTreeMap<String, Template>,
}

/// One entry of `calls`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// A service or an external.
    pub callee: ServiceName,
    /// A fixed address for this edge, where the caller's code demands it.
    pub listen: Option<SocketAddr>,
}

/// `health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// What is asked.
    pub check: HealthCheck,
    /// Time between two probes of a ready replica.
    pub interval: Duration,
    /// How long one probe may take.
    pub timeout: Duration,
    /// How many probes in a row must fail before a ready replica is not ready any more.
    pub failures: u32,
}

/// What a probe does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthCheck {
    /// `GET path`; 200 to 399 is healthy.
    Http {
        /// Starts with `/`.
        path: String,
    },
    /// A connection is accepted.
    Tcp,
    /// `grpc.health.v1.Health/Check` answers SERVING.
    Grpc,
    /// Ready as soon as the process runs.
    None,
}

/// `scale`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scale {
    /// At least; 0 allows scale to zero.
    pub min: u32,
    /// At most.
    pub max: u32,
    /// Requests in flight that one replica should have; `None` means replicas are set by hand.
    pub concurrency: Option<u32>,
    /// How fast replicas follow the requests.
    #[serde(default)]
    pub pace: Pace,
}

impl Scale {
    /// Replicas that are set by hand, and are so many at first.
    pub fn fixed(replicas: u32) -> Self {
        Self { min: replicas, max: replicas, concurrency: None, pace: Pace::default() }
    }

    /// Replicas at first. A service that may have none begins with one: whoever starts an app wants to know that all of it
    /// starts.
    pub fn initial(&self) -> u32 {
        if self.concurrency.is_some() { self.min.max(1) } else { self.min }
    }

    /// Whether it may be without a replica until somebody asks for it.
    pub fn to_zero(&self) -> bool {
        self.min == 0 && self.concurrency.is_some()
    }
}

/// How fast replicas follow the requests. The defaults are Knative's
/// (<https://knative.dev/docs/serving/autoscaling/>).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// The time over which requests in flight are averaged; in a panic a tenth of it.
    pub window: Duration,
    /// How long fewer replicas must have been enough before any goes.
    pub down_delay: Duration,
    /// At most so many times the ready replicas after one decision.
    pub up_rate: u32,
    /// At least the ready replicas divided by this after one decision.
    pub down_rate: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self { window: Duration::from_secs(60), down_delay: Duration::ZERO, up_rate: 1000, down_rate: 2 }
    }
}

/// `deploy`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Deploy {
    /// In which way.
    pub strategy: DeployStrategy,
    /// How long a new release is watched at least: each step of a canary, or the first new replica of a rolling deploy.
    pub hold: Duration,
    /// Percent of a new release's requests that must succeed.
    pub success: f64,
    /// How long a new replica may take to become ready.
    pub ready: Duration,
    /// For how long after its last call an operation is one that somebody uses.
    #[serde(default = "week")]
    pub used_within: Duration,
    /// What tells users apart, each of whom gets one release; `None` draws each request by itself.
    #[serde(default)]
    pub sticky: Option<Sticky>,
}

fn week() -> Duration {
    Duration::from_secs(7 * 24 * 60 * 60)
}

/// Where a request says whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sticky {
    /// In this header field.
    Header(String),
    /// In this cookie.
    Cookie(String),
}

/// In which way a new release replaces the old.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "strategy", rename_all = "snake_case")]
pub enum DeployStrategy {
    /// One replica after the other.
    Rolling,
    /// By growing shares of the requests.
    Canary {
        /// Percent of the requests, ascending.
        steps: Vec<f64>,
    },
}

/// `limits`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// A whole request.
    pub timeout: Duration,
    /// Further attempts after the first.
    pub retries: u32,
    /// Requests at one time.
    pub in_flight: u32,
    /// Bytes of memory of one replica.
    pub memory: Option<u64>,
    /// Thousandths of a processor that one replica may use.
    pub cpu: Option<u32>,
}

/// `stop`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopPolicy {
    /// The first signal.
    pub signal: StopSignal,
    /// How long the process may take before it is killed.
    pub grace: Duration,
}

/// Signals that ask a process to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum StopSignal {
    /// SIGTERM
    Term,
    /// SIGINT
    Int,
    /// SIGQUIT
    Quit,
    /// SIGHUP
    Hup,
    /// SIGUSR1
    Usr1,
    /// SIGUSR2
    Usr2,
    /// SIGKILL: no grace at all.
    Kill,
}

/// `[external.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct External {
    /// Its name.
    pub name: ServiceName,
    /// Where it is.
    pub url: ExternalUrl,
    /// The certificates, a PEM file, that its own must be signed by; `None` trusts what the system trusts.
    pub ca: Option<PathBuf>,
    /// Whether it is sent `traceparent`, `tracestate` and `x-request-id`.
    pub trace: bool,
    /// Bounds on requests to it.
    pub limits: ExternalLimits,
}

/// The parts of the URL of an external system.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ExternalUrl {
    /// `https`, and not `http`.
    pub tls: bool,
    /// A host name in lower case, or an IP address; one of version 6 without brackets.
    pub host: String,
    /// The port, the scheme's own where none is written.
    pub port: u16,
    /// The path that everything asked of it begins with; starts with `/` and does not end with it, or is empty.
    pub base: String,
}

impl ExternalUrl {
    /// Host and port as `Host` has them: the port only where it is not the scheme's own.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == self.default_port() { host } else { format!("{host}:{}", self.port) }
    }

    fn default_port(&self) -> u16 {
        if self.tls { 443 } else { 80 }
    }
}

impl std::fmt::Display for ExternalUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.base)
    }
}

/// `external.NAME.limits`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExternalLimits {
    /// A whole request.
    pub timeout: Duration,
    /// Further attempts after the first.
    pub retries: u32,
    /// Requests at one time, of all callers together.
    pub in_flight: u32,
}

/// `[console]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Console {
    /// Where it listens.
    pub listen: SocketAddr,
}

/// `[telemetry]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Telemetry {
    /// Another back end that takes OTLP over HTTP: its URL, without `/v1/traces`.
    pub export: Option<Template>,
    /// Header fields for it.
    pub headers: BTreeMap<String, Template>,
}

/// `[alerts]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alerts {
    /// Where they are sent: a URL.
    pub webhook: Option<Template>,
    /// Percent of the calls of each service that are to go well.
    pub availability: f64,
}

impl Default for Alerts {
    fn default() -> Self {
        Self { webhook: None, availability: 99.9 }
    }
}

/// One `[[events.subscribe]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventSubscription {
    /// The topic.
    pub topic: String,
    /// Who receives.
    pub service: ServiceName,
    /// Where: a `POST` to this path.
    pub path: String,
}

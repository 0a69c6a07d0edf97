//! What travels over the admin API.
//!
//! All times are Unix milliseconds. Readers accept fields and values they do not know, so an older command line
//! can speak to a newer platform: a state it has never heard of becomes `Unknown`.

mod declared;
mod deploys;
mod drift;
mod events;
mod logs;
mod measured;
mod metrics;
mod spans;
mod traffic;
mod usage;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use declared::{Declared, DeclaredService};
pub use deploys::{
    Begun, ChangeInfo, DeployRequest, Deployed, PlanReport, PlanRequest, ReleaseInfo, RollbackRequest,
    RolloutNote, RolloutStatus,
};
pub use drift::{DriftFinding, DriftReport, OperationDrift, Undocumented};
pub use events::{AppEvent, EventQuery, Events};
pub use logs::{LogEntry, LogItem, LogQuery, LogStream};
pub use measured::{MeasuredPoint, MeasuredQuery, MeasuredReport, MeasuredSeries};
pub use metrics::{EdgeMetrics, MetricPoint, MetricsQuery, MetricsReport};
pub use spans::{FailedAttempt, Span, SpanEvent, SpanQuery, Spans};
pub use traffic::{Calls, EdgeTotals, EdgeTraffic, ReleaseTraffic, ReplicaTraffic, ServiceTraffic, Traffic};
pub use usage::{CallerUsage, OperationUsage, RouteUsage, UsageReport};

/// Something that somebody has to be told of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AlertInfo {
    /// `error_budget`, `crash_loop` or `stuck_saga`.
    pub rule: String,
    /// What it is about: a service, or a saga's id.
    pub subject: String,
    /// The service, if it is about one.
    #[serde(default)]
    pub service: Option<String>,
    /// `page`: now, or `ticket`: within days.
    pub severity: String,
    /// What is wrong, in a sentence.
    pub text: String,
    /// Since when, in Unix milliseconds.
    pub since: u64,
}

/// A running app, whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AppStatus {
    /// The app's name.
    pub app: String,
    /// The folder that its manifest is in.
    pub root: String,
    /// The control plane's process.
    pub pid: u32,
    /// The data plane's process, while there is one.
    #[serde(default)]
    pub proxy_pid: Option<u32>,
    /// Data planes that a newer one has replaced and that still end what they have.
    #[serde(default)]
    pub retired_proxies: Vec<RetiredProxy>,
    /// Why the data plane, though of another build of Isles than the control plane, could not be replaced.
    #[serde(default)]
    pub proxy_outdated: Option<String>,
    /// The URL of the gateway, when the manifest has one.
    #[serde(default)]
    pub gateway: Option<String>,
    /// What has to be looked after at the gateway, such as a certificate that cannot be used.
    #[serde(default)]
    pub gateway_problem: Option<String>,
    /// The URL of the dashboard, without its token, while there is one.
    #[serde(default)]
    pub console: Option<String>,
    /// Why the dashboard is not where the manifest says.
    #[serde(default)]
    pub console_problem: Option<String>,
    /// Which limit of a service cannot be kept on this machine, and why.
    #[serde(default)]
    pub limits_problem: Option<String>,
    /// What somebody has to be told of, the most urgent first.
    #[serde(default)]
    pub alerts: Vec<AlertInfo>,
    /// How it is.
    pub state: AppState,
    /// When `state` became what it is.
    pub since: u64,
    /// When the control plane was started.
    #[serde(default)]
    pub started_at: u64,
    /// The version of Isles that runs it.
    pub version: String,
    /// Every service of the manifest, by name.
    pub services: Vec<ServiceStatus>,
    /// Every system outside that the manifest names.
    #[serde(default)]
    pub externals: Vec<ExternalStatus>,
    /// The version of the routing table that the data plane serves now.
    #[serde(default)]
    pub route_version: u64,
}

/// A system outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExternalStatus {
    /// Its name.
    pub name: String,
    /// Where the manifest says that it is.
    pub url: String,
    /// How it is.
    pub state: ExternalState,
    /// Why it is so, for a person.
    #[serde(default)]
    pub detail: Option<String>,
    /// The addresses that it was found at.
    #[serde(default)]
    pub addresses: Vec<String>,
}

/// How a system outside is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExternalState {
    /// It is being looked for.
    Resolving,
    /// It can be called.
    Ready,
    /// It fails, and some callers do not ask it for a while.
    CircuitOpen,
    /// It was not found, or its settings are unusable.
    Unresolved,
    /// Something this reader does not know.
    #[serde(other)]
    Unknown,
}

/// A data plane that a newer one has replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RetiredProxy {
    /// Its process.
    pub pid: u32,
    /// Requests, WebSockets and TCP connections that it still has.
    pub in_flight: u64,
}

/// How an app is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AppState {
    /// Some service has not been ready yet, and none has failed.
    Starting,
    /// Every service is ready.
    Ready,
    /// Some service is not as it should be; the others run on.
    Degraded,
    /// It was asked to end.
    Stopping,
    /// Something this reader does not know.
    #[serde(other)]
    Unknown,
}

impl AppState {
    /// For a person.
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Degraded => "degraded",
            Self::Stopping => "stopping",
            Self::Unknown => "unknown",
        }
    }
}

/// One service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServiceStatus {
    /// Its name.
    pub name: String,
    /// What it speaks: `http`, `grpc` or `tcp`.
    pub protocol: String,
    /// The release that it is to run, once it is known.
    #[serde(default)]
    pub release: Option<String>,
    /// How it is.
    pub state: ServiceState,
    /// When `state` became what it is.
    #[serde(default)]
    pub since: u64,
    /// Why it is so, for a person.
    #[serde(default)]
    pub detail: Option<String>,
    /// The last lines of the step that failed (build, `before_start`); empty when none did.
    #[serde(default)]
    pub last_lines: Vec<String>,
    /// How many replicas it is to have.
    pub desired: u32,
    /// How many are ready.
    pub ready: u32,
    /// Milliseconds that it took, the last time that it had no replica, from the first request that waited to the first
    /// replica that was ready.
    #[serde(default)]
    pub cold_start: Option<u64>,
    /// Whom it may call.
    #[serde(default)]
    pub calls: Vec<String>,
    /// Every replica slot, by number.
    pub replicas: Vec<ReplicaStatus>,
    /// Its latest rollout, under way or ended.
    #[serde(default)]
    pub rollout: Option<RolloutStatus>,
}

/// How a service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ServiceState {
    /// Its turn has not come.
    Waiting,
    /// Its build runs.
    Building,
    /// Its `before_start` step runs, or its release is being put together.
    Preparing,
    /// Its replicas start, and too few of them have been healthy yet.
    Starting,
    /// As many replicas as wanted are ready.
    Ready,
    /// Some replicas are missing or unhealthy.
    Degraded,
    /// Its replicas end again and again.
    CrashLoop,
    /// Its build or its `before_start` step failed; an older release may still run.
    BuildFailed,
    /// It has no replica, on purpose.
    Stopped,
    /// Something this reader does not know.
    #[serde(other)]
    Unknown,
}

impl ServiceState {
    /// For a person.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Building => "building",
            Self::Preparing => "preparing",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Degraded => "degraded",
            Self::CrashLoop => "crash loop",
            Self::BuildFailed => "build failed",
            Self::Stopped => "stopped",
            Self::Unknown => "unknown",
        }
    }
}

/// One replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReplicaStatus {
    /// `<service>-<number>`.
    pub id: String,
    /// `starting`, `ready`, `unready`, `draining`, `stopping`, `exited`, or `back_off` and `crash_loop` while it
    /// waits to be started again.
    pub phase: String,
    /// The release that it runs.
    pub release: String,
    /// Where it listens.
    pub address: String,
    /// Its process, while it has one.
    #[serde(default)]
    pub pid: Option<u32>,
    /// When its present process was started.
    pub started_at: u64,
    /// How many of its processes have ended unasked.
    pub restarts: u32,
    /// Bytes of memory that it and its children hold, when that can be read.
    #[serde(default)]
    pub memory: Option<u64>,
    /// How its last process ended, if one ended unasked.
    #[serde(default)]
    pub last_exit: Option<ExitStatus>,
    /// When it will be started again, while it waits for that.
    #[serde(default)]
    pub next_start_at: Option<u64>,
    /// What the last failed health probe said, while it is failing.
    #[serde(default)]
    pub probe_error: Option<String>,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct ExitStatus {
    /// The exit code, when it exited.
    #[serde(default)]
    pub code: Option<i32>,
    /// The signal's number, when one ended it.
    #[serde(default)]
    pub signal: Option<i32>,
    /// Why it never ran, or another explanation for a person.
    #[serde(default)]
    pub message: Option<String>,
    /// When.
    pub at: u64,
    /// How long it had run, in milliseconds.
    #[serde(default)]
    pub ran: u64,
    /// The last lines that it wrote.
    #[serde(default)]
    pub last_lines: Vec<String>,
}

/// What a `scale` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScaleRequest {
    /// How many replicas the service is to have.
    pub replicas: u32,
}

/// It was accepted and goes on by itself; the status shows how far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Accepted {
    /// What will happen, for a person.
    pub message: String,
}

/// Why a request was not done (RFC 9457, `application/problem+json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Always `about:blank`: `code` says which problem it is.
    #[serde(rename = "type", default = "about_blank")]
    pub kind: String,
    /// The meaning of `status`.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// A stable name of the problem, for programs: `unknown_service`, `out_of_range`, …
    pub code: String,
    /// What happened and what to do, for a person.
    pub detail: String,
}

fn about_blank() -> String {
    "about:blank".to_owned()
}

impl AppStatus {
    /// Everything that has to be looked after and belongs to no service, each a sentence.
    pub fn problems(&self) -> impl Iterator<Item = &str> {
        // A service's own state tells that it crashes.
        let alerts = self.alerts.iter().filter(|alert| alert.rule != "crash_loop");
        [&self.gateway_problem, &self.console_problem, &self.proxy_outdated, &self.limits_problem]
            .into_iter()
            .filter_map(|problem| problem.as_deref())
            .chain(alerts.map(|alert| alert.text.as_str()))
    }

    /// The service of this name.
    pub fn service(&self, name: &str) -> Option<&ServiceStatus> {
        self.services.iter().find(|s| s.name == name)
    }
}

impl ServiceState {
    /// Whether only a person can bring the service on from here.
    pub fn is_failure(self) -> bool {
        matches!(self, Self::CrashLoop | Self::BuildFailed)
    }

    /// Whether the service is as it should be.
    pub fn is_settled(self) -> bool {
        matches!(self, Self::Ready | Self::Stopped)
    }
}

impl From<&model::ExitReason> for ExitStatus {
    fn from(exit: &model::ExitReason) -> Self {
        Self {
            code: exit.code,
            signal: exit.signal,
            message: exit.message.clone(),
            at: exit.at,
            ran: u64::try_from(exit.ran.as_millis()).unwrap_or(u64::MAX),
            last_lines: exit.last_lines.clone(),
        }
    }
}

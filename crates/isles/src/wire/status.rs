//! The control plane's status in the words of the admin API.

use super::{console, deploys};
use ::console::api::{
    AlertInfo, AppState, AppStatus, ExitStatus, ExternalState, ExternalStatus, ReplicaStatus, RetiredProxy,
    ServiceState, ServiceStatus,
};
use control::alerts::Alert;
use control::{DataPlane, Health, Mode, Outside, Preparation, Status};
use model::{
    DesiredState, ExitReason, External, Gateway, GatewayTls, Phase, Protocol, ReplicaId, ReplicaState,
    ServiceSpec,
};

/// What does not change while the app runs.
#[derive(Debug, Clone)]
pub struct About {
    /// Where the dashboard is.
    pub console: console::About,
    /// When the control plane was started: Unix milliseconds.
    pub started_at: u64,
    /// Bytes of memory of a process.
    pub memory: fn(&model::ProcessId) -> Option<u64>,
    /// Why `limits.cpu` cannot be kept on this machine.
    pub cpu_trouble: Option<String>,
}

/// The whole status at `now` (Unix milliseconds); `before` is what was said last, from which "since" is taken.
pub fn app(
    status: &Status,
    before: Option<&AppStatus>,
    about: &About,
    alerts: &[Alert],
    now: u64,
) -> AppStatus {
    let state = app_state(status);
    let desired = &status.desired;
    let services = status.services.iter().filter_map(|(name, service)| {
        let before = before.and_then(|b| b.services.iter().find(|s| s.name == name.as_str()));
        Some(self::service(desired.services.get(name)?, service, before, about, now))
    });
    AppStatus {
        app: desired.name.to_string(),
        root: desired.root.display().to_string(),
        pid: std::process::id(),
        proxy_pid: status.data_plane.process.map(|p| p.pid),
        retired_proxies: retired(&status.data_plane),
        proxy_outdated: status.data_plane.not_replaced.clone(),
        gateway: desired.gateway.as_ref().map(gateway_url),
        gateway_problem: desired
            .gateway
            .as_ref()
            .and_then(|g| status.data_plane.problems.get(&g.listen).cloned()),
        console: about.console.url.clone(),
        console_problem: about.console.problem.clone(),
        limits_problem: limits_problem(desired, about),
        alerts: alerts.iter().map(alert).collect(),
        state,
        since: before.filter(|b| b.state == state).map_or(now, |b| b.since),
        started_at: about.started_at,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        services: services.collect(),
        externals: desired.externals.values().map(|e| external(e, &status.data_plane)).collect(),
        route_version: status.data_plane.version.unwrap_or(0),
    }
}

fn alert(alert: &Alert) -> AlertInfo {
    let condition = &alert.condition;
    AlertInfo {
        rule: condition.rule.name().to_owned(),
        subject: condition.subject.clone(),
        service: condition.service.clone(),
        severity: condition.severity.name().to_owned(),
        text: condition.text.clone(),
        since: alert.since,
    }
}

fn limits_problem(desired: &DesiredState, about: &About) -> Option<String> {
    let why = about.cpu_trouble.as_ref()?;
    let limited = desired.services.values().filter(|s| s.limits.cpu.is_some());
    let names: Vec<&str> = limited.map(|s| s.name.as_str()).collect();
    (!names.is_empty()).then(|| format!("`limits.cpu` of {} has no effect: {why}", names.join(", ")))
}

fn external(external: &External, data_plane: &DataPlane) -> ExternalStatus {
    let Outside { addresses, trouble } = data_plane.outside.get(&external.name).cloned().unwrap_or_default();
    let cut_off = data_plane.open_circuits.iter().filter(|(_, callee)| *callee == external.name);
    let cut_off: Vec<&str> = cut_off.map(|(caller, _)| caller.as_str()).collect();
    let (state, detail) = match trouble {
        _ if !cut_off.is_empty() => {
            let callers = cut_off.join(", ");
            (
                ExternalState::CircuitOpen,
                Some(format!("most requests of {callers} failed, so it is not asked for a while")),
            )
        }
        Some(trouble) if addresses.is_empty() => (ExternalState::Unresolved, Some(trouble)),
        Some(trouble) => (ExternalState::Ready, Some(format!("{trouble}; its last addresses are used"))),
        None if addresses.is_empty() => (ExternalState::Resolving, None),
        None => (ExternalState::Ready, None),
    };
    ExternalStatus {
        name: external.name.to_string(),
        url: external.url.to_string(),
        state,
        detail,
        addresses: addresses.iter().map(ToString::to_string).collect(),
    }
}

/// Where clients find the gateway: by the name that its certificate is for, where that is known.
fn gateway_url(gateway: &Gateway) -> String {
    match &gateway.tls {
        None => format!("http://{}", gateway.listen),
        Some(GatewayTls::Files { .. }) => format!("https://{}", gateway.listen),
        Some(GatewayTls::Acme { domains, .. }) => {
            let host = domains.first().map_or_else(|| gateway.listen.ip().to_string(), Clone::clone);
            match gateway.listen.port() {
                443 => format!("https://{host}"),
                port => format!("https://{host}:{port}"),
            }
        }
    }
}

fn retired(data_plane: &DataPlane) -> Vec<RetiredProxy> {
    let retired = data_plane.retired.iter();
    retired.map(|(process, in_flight)| RetiredProxy { pid: process.pid, in_flight: *in_flight }).collect()
}

fn app_state(status: &Status) -> AppState {
    match status.mode {
        Mode::Closing | Mode::Stopping => AppState::Stopping,
        Mode::Open if status.ready() => AppState::Ready,
        Mode::Open if status.was_ready || status.failed() => AppState::Degraded,
        Mode::Open => AppState::Starting,
    }
}

fn service(
    spec: &ServiceSpec,
    service: &control::ServiceStatus,
    before: Option<&ServiceStatus>,
    about: &About,
    now: u64,
) -> ServiceStatus {
    let state = service_state(service.health);
    let (release, detail, last_lines) = match &service.preparation {
        Preparation::Done(release) => (Some(release.to_string()), None, vec![]),
        Preparation::Failed { reason, last_lines } => (None, Some(reason.clone()), last_lines.clone()),
        Preparation::Waiting | Preparation::Building | Preparation::Preparing => (None, None, vec![]),
    };
    let replicas: Vec<_> = service
        .replicas
        .iter()
        .map(|(index, state)| replica(&ReplicaId { service: spec.name.clone(), index: *index }, state, about))
        .collect();
    ServiceStatus {
        name: spec.name.to_string(),
        protocol: protocol(spec.protocol).to_owned(),
        release: release.or_else(|| replicas.first().map(|r| r.release.clone())),
        state,
        since: before.filter(|b| b.state == state).map_or(now, |b| b.since),
        detail: detail.or_else(|| why(spec, service)),
        last_lines,
        desired: service.wanted,
        ready: service.ready,
        cold_start: service.cold_start.map(millis),
        rollout: service.deployment.rollout.as_ref().map(deploys::rollout),
        calls: spec.calls.iter().map(|c| c.callee.to_string()).collect(),
        replicas,
    }
}

/// Why a service is not ready, from its worst replica.
fn why(spec: &ServiceSpec, service: &control::ServiceStatus) -> Option<String> {
    if service.health == Health::Stopped && spec.scale.to_zero() {
        return Some("scaled to zero, the next request starts it".to_owned());
    }
    if matches!(service.health, Health::Ready | Health::Stopped) {
        return None;
    }
    let worst = service.replicas.values().filter(|r| r.phase != Phase::Ready).max_by_key(|r| r.failures)?;
    match (&worst.last_exit, worst.phase) {
        (Some(exit), Phase::Exited) => Some(ended(exit, worst.failures)),
        _ => worst.probe_error.clone(),
    }
}

fn ended(exit: &ExitReason, failures: u32) -> String {
    let how = match (&exit.message, exit.code, exit.signal) {
        (Some(message), _, _) => message.clone(),
        (None, Some(code), _) => format!("its process exited with code {code}"),
        (None, None, Some(signal)) => format!("signal {signal} ended its process"),
        (None, None, None) => "its process ended".to_owned(),
    };
    if failures > 1 { format!("{how}, {failures} times in a row") } else { how }
}

fn replica(id: &ReplicaId, state: &ReplicaState, about: &About) -> ReplicaStatus {
    let delay = planner::restart_delay(id, state.failures);
    let exited = state.phase == Phase::Exited;
    ReplicaStatus {
        id: id.to_string(),
        phase: phase(state).to_owned(),
        release: state.release.to_string(),
        address: state.address.to_string(),
        pid: state.process.map(|p| p.pid),
        started_at: state.started_at,
        restarts: state.restarts,
        memory: state.process.as_ref().and_then(about.memory),
        last_exit: state.last_exit.as_ref().map(exit_status),
        next_start_at: exited.then(|| state.since.saturating_add(millis(delay))),
        probe_error: state.probe_error.clone(),
    }
}

fn phase(state: &ReplicaState) -> &'static str {
    match state.phase {
        Phase::Starting => "starting",
        Phase::Ready => "ready",
        Phase::Unready => "unready",
        Phase::Draining => "draining",
        Phase::Stopping => "stopping",
        Phase::Exited if state.failures >= planner::CRASH_LOOP_FAILURES => "crash_loop",
        Phase::Exited if state.failures > 1 => "back_off",
        Phase::Exited => "exited",
    }
}

fn exit_status(exit: &ExitReason) -> ExitStatus {
    ExitStatus {
        code: exit.code,
        signal: exit.signal,
        message: exit.message.clone(),
        at: exit.at,
        ran: millis(exit.ran),
        last_lines: exit.last_lines.clone(),
    }
}

fn service_state(health: Health) -> ServiceState {
    match health {
        Health::Waiting => ServiceState::Waiting,
        Health::Building => ServiceState::Building,
        Health::Preparing => ServiceState::Preparing,
        Health::Starting => ServiceState::Starting,
        Health::Ready => ServiceState::Ready,
        Health::Degraded => ServiceState::Degraded,
        Health::CrashLoop => ServiceState::CrashLoop,
        Health::Failed => ServiceState::BuildFailed,
        Health::Stopped => ServiceState::Stopped,
    }
}

fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http => "http",
        Protocol::Grpc => "grpc",
        Protocol::Tcp => "tcp",
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

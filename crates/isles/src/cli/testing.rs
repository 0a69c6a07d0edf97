//! States to draw in tests.

use console::api::{AppState, AppStatus, ExitStatus, ReplicaStatus, ServiceState, ServiceStatus};

/// Lines without their styles, as one text.
pub fn plain(lines: &[String]) -> String {
    lines
        .iter()
        .map(|line| anstream::adapter::strip_str(line).to_string().trim_end().to_owned() + "\n")
        .collect()
}

/// An app whose control plane was started at 10,000 ms.
pub fn app(state: AppState, services: Vec<ServiceStatus>) -> AppStatus {
    AppStatus {
        app: "shop".to_owned(),
        root: "/srv/shop".to_owned(),
        pid: 4711,
        proxy_pid: Some(4712),
        retired_proxies: vec![],
        proxy_outdated: None,
        gateway: Some("http://127.0.0.1:8080".to_owned()),
        gateway_problem: None,
        console: Some("http://127.0.0.1:9400".to_owned()),
        console_problem: None,
        limits_problem: None,
        alerts: vec![],
        state,
        since: 12_000,
        started_at: 10_000,
        version: "0.1.0".to_owned(),
        services,
        externals: Vec::new(),
        route_version: 7,
    }
}

/// A service with one replica that has come to `state` at 12,000 ms.
pub fn service(name: &str, state: ServiceState) -> ServiceStatus {
    let running = matches!(state, ServiceState::Ready | ServiceState::Starting | ServiceState::Degraded);
    ServiceStatus {
        name: name.to_owned(),
        protocol: "http".to_owned(),
        release: Some("0123456789ab".to_owned()),
        state,
        since: 12_000,
        detail: None,
        last_lines: Vec::new(),
        desired: 1,
        ready: u32::from(state == ServiceState::Ready),
        cold_start: None,
        calls: Vec::new(),
        rollout: None,
        replicas: if running { vec![replica(name, 1)] } else { Vec::new() },
    }
}

/// A replica that is ready.
pub fn replica(service: &str, index: u32) -> ReplicaStatus {
    ReplicaStatus {
        id: format!("{service}-{index}"),
        phase: "ready".to_owned(),
        release: "0123456789ab".to_owned(),
        address: format!("127.0.0.1:{}", 20_000 + index),
        pid: Some(5_000 + index),
        started_at: 11_000,
        restarts: 0,
        memory: Some(39_845_888),
        last_exit: None,
        next_start_at: None,
        probe_error: None,
    }
}

/// A service whose process ends again and again.
pub fn crashing(name: &str) -> ServiceStatus {
    let exit = ExitStatus {
        code: Some(3),
        at: 13_000,
        ran: 240,
        last_lines: vec!["reading config".to_owned(), "error: DATABASE_URL is not set".to_owned()],
        ..ExitStatus::default()
    };
    let replica = ReplicaStatus {
        phase: "crash_loop".to_owned(),
        pid: None,
        restarts: 6,
        memory: None,
        last_exit: Some(exit),
        next_start_at: Some(28_000),
        ..replica(name, 1)
    };
    ServiceStatus { replicas: vec![replica], ..service(name, ServiceState::CrashLoop) }
}

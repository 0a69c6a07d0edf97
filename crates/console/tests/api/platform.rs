//! A platform whose state the tests set, served on a socket in a temporary folder.

use std::sync::{Arc, Mutex};

use console::api::{
    Accepted, AppEvent, AppState, AppStatus, Begun, ChangeInfo, Declared, DeclaredService, DeployRequest,
    Deployed, DriftFinding, DriftReport, EdgeMetrics, EventQuery, Events, LogEntry, LogQuery, LogStream,
    MeasuredPoint, MeasuredQuery, MeasuredReport, MeasuredSeries, MetricPoint, MetricsQuery, MetricsReport,
    OperationDrift, OperationUsage, PlanReport, PlanRequest, ReleaseInfo, ReplicaStatus, RollbackRequest,
    RouteUsage, ServiceState, ServiceStatus, Span, SpanQuery, Spans, Traffic, Undocumented, UsageReport,
};
use console::client::Client;
use console::{Platform, Refusal};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use model::Measured;
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

pub struct InMemory {
    pub status: watch::Sender<Arc<AppStatus>>,
    pub live: broadcast::Sender<Arc<LogEntry>>,
    pub written: Mutex<Vec<LogEntry>>,
    pub spans: Mutex<Vec<Span>>,
}

impl InMemory {
    pub fn change(&self, change: impl FnOnce(&mut AppStatus)) {
        self.status.send_modify(|status| change(Arc::make_mut(status)));
    }

    /// As a real platform does: the past and the stream get the line one after the other, not at once.
    pub fn write(&self, at: u64, service: &str, text: &str) {
        let entry = entry(at, service, text);
        self.written.lock().unwrap().push(entry.clone());
        let _ = self.live.send(Arc::new(entry));
    }
}

impl Platform for InMemory {
    fn status(&self) -> watch::Receiver<Arc<AppStatus>> {
        self.status.subscribe()
    }

    fn scale(&self, service: &str, replicas: u32) -> BoxFuture<'_, Result<Accepted, Refusal>> {
        let service = service.to_owned();
        async move {
            if replicas > 4 {
                return Err(Refusal::out_of_range("at most 4 replicas"));
            }
            self.change(|status| {
                for s in status.services.iter_mut().filter(|s| s.name == service) {
                    s.desired = replicas;
                }
            });
            Ok(Accepted { message: format!("{service} goes to {replicas}") })
        }
        .boxed()
    }

    fn restart(&self, service: &str) -> BoxFuture<'_, Result<Accepted, Refusal>> {
        let message = format!("{service} restarts");
        async move { Ok(Accepted { message }) }.boxed()
    }

    fn plan(&self, request: PlanRequest) -> BoxFuture<'_, Result<PlanReport, Refusal>> {
        async move {
            match request.manifest {
                Some(_) => Err(Refusal::bad_manifest("1 error")),
                None => Ok(PlanReport::default()),
            }
        }
        .boxed()
    }

    fn deploy(&self, request: DeployRequest) -> BoxFuture<'_, Result<Deployed, Refusal>> {
        async move {
            if request.services == ["payments"] && !request.force {
                return Err(Refusal::under_way("a rollout is under way"));
            }
            let number = if request.canary { 2 } else { 1 };
            let change = ChangeInfo {
                part: "app".to_owned(),
                name: request.manifest,
                kind: "changed".to_owned(),
                keys: vec![],
                effect: "at_once".to_owned(),
            };
            let rollouts = request.services.into_iter().map(|service| (service, number)).collect();
            Ok(Deployed { changes: vec![change], rollouts })
        }
        .boxed()
    }

    fn rollback(&self, _: &str, request: RollbackRequest) -> BoxFuture<'_, Result<Begun, Refusal>> {
        async move {
            match request.release.as_deref() {
                Some("none") => Err(Refusal::nothing_to_do("there is no release `none`")),
                _ => Ok(Begun { rollout: 3 }),
            }
        }
        .boxed()
    }

    fn promote(&self, _: &str) -> BoxFuture<'_, Result<Begun, Refusal>> {
        async move { Ok(Begun { rollout: 4 }) }.boxed()
    }

    fn releases(&self, service: &str) -> BoxFuture<'_, Result<Vec<ReleaseInfo>, Refusal>> {
        let id = format!("{service}-release");
        let release = ReleaseInfo {
            id,
            made_at: 5,
            current: true,
            replicas: 1,
            rollout: Some("done".to_owned()),
            reason: None,
            files: 2,
            bytes: 3,
        };
        async move { Ok(vec![release]) }.boxed()
    }

    fn usage(&self, service: &str, days: u64) -> BoxFuture<'_, Result<UsageReport, Refusal>> {
        let route =
            RouteUsage { route: format!("/api/{service}"), requests: 0, per_hour: 0.0, last_hour: None };
        let operation = OperationUsage { operation: Some(format!("GET /{service}")), callers: vec![] };
        async move { Ok(UsageReport { days, operations: vec![operation], routes: vec![route] }) }.boxed()
    }

    fn metrics(&self, query: &MetricsQuery) -> BoxFuture<'_, Result<MetricsReport, Refusal>> {
        let point = |at| MetricPoint { at, requests: 120, failed: 12, p50_ms: Some(4.0), p99_ms: Some(40.0) };
        let (until, step) = (query.seconds * 1000, query.seconds * 1000 / query.points);
        let all = vec![point(0), point(step)];
        let callee = query.service.clone().unwrap_or_else(|| "orders".to_owned());
        let edge = EdgeMetrics { caller: Some("web".to_owned()), callee, points: all.clone() };
        async move { Ok(MetricsReport { from: 0, until, step, all, edges: vec![edge] }) }.boxed()
    }

    fn series(&self, query: &MeasuredQuery) -> BoxFuture<'_, Result<MeasuredReport, Refusal>> {
        let (until, step) = (query.seconds * 1000, query.seconds * 1000 / query.points);
        let points = [(0, 2.0), (step, 6.0)].map(|(at, value)| MeasuredPoint { at, value }).to_vec();
        let series = MeasuredSeries {
            replica: Some("orders-1".to_owned()),
            attributes: [("of".to_owned(), query.name.clone())].into(),
            unit: "{item}".to_owned(),
            kind: model::PointKind::Gauge,
            points,
        };
        async move { Ok(MeasuredReport { from: 0, until, step, series: vec![series] }) }.boxed()
    }

    fn events(&self, query: &EventQuery) -> BoxFuture<'_, Result<Events, Refusal>> {
        let event = AppEvent {
            at: 1_000,
            kind: "deploy".to_owned(),
            service: query.service.clone().or_else(|| Some("orders".to_owned())),
            text: "orders: done: <it> is better".to_owned(),
        };
        async move { Ok(Events { events: vec![event] }) }.boxed()
    }

    fn open_metrics(&self) -> BoxFuture<'_, Result<String, Refusal>> {
        Box::pin(async { Ok("# EOF\n".to_owned()) })
    }

    fn declared(&self) -> Declared {
        let service = DeclaredService {
            name: self.status.borrow().services[0].name.clone(),
            command: "./orders --from <here>".to_owned(),
            scale: "1 to 4".to_owned(),
            calls: vec!["nobody".to_owned()],
            memory: Some(1_000_000),
            env: vec![("TOKEN".to_owned(), "${secret.TOKEN}".to_owned())],
            ..DeclaredService::default()
        };
        let routes = vec![("/api".to_owned(), service.name.clone())];
        let gateway = Some(("127.0.0.1:8080".to_owned(), routes));
        Declared { file: "/app/isles.toml".to_owned(), gateway, services: vec![service], externals: vec![] }
    }

    fn measured(&self, _: &str) -> Vec<Measured> {
        let attributes = vec![("queue".to_owned(), "<mail>".to_owned())];
        let (name, unit) = ("queue.length".to_owned(), "{message}".to_owned());
        vec![Measured {
            name,
            replica: Some("orders-1".to_owned()),
            attributes,
            unit,
            kind: model::PointKind::Gauge,
            value: 4.5,
            at: 0,
        }]
    }

    fn drift(&self, service: &str) -> DriftReport {
        let finding = DriftFinding {
            side: "answer".to_owned(),
            caller: None,
            place: "answer 200".to_owned(),
            pointer: Some("/<name>".to_owned()),
            detail: "the value is not of type \"string\"".to_owned(),
            count: 2,
            first: 1_000,
            last: 2_000,
            example: Some(serde_json::json!({ "<name>": "<integer>" })),
        };
        let operation = OperationDrift {
            operation: format!("GET /{service}"),
            looked_at: 5,
            faulty: 2,
            more: 0,
            findings: vec![finding],
        };
        let undocumented = Undocumented {
            request: "GET /<debug>".to_owned(),
            caller: Some("web".to_owned()),
            status: 200,
            seen: 1,
            last: 2_000,
        };
        DriftReport {
            release: Some("r1".to_owned()),
            operations: vec![operation],
            undocumented: vec![undocumented],
            ..DriftReport::default()
        }
    }

    fn recent_logs(&self, query: &LogQuery) -> BoxFuture<'_, Result<Vec<LogEntry>, Refusal>> {
        let query = query.clone();
        async move {
            let written = self.written.lock().unwrap();
            let wanted: Vec<_> = written.iter().filter(|e| query.wants(e)).cloned().collect();
            Ok(wanted[wanted.len().saturating_sub(query.n)..].to_vec())
        }
        .boxed()
    }

    fn live_logs(&self) -> broadcast::Receiver<Arc<LogEntry>> {
        self.live.subscribe()
    }

    fn traffic(&self, seconds: u64) -> Traffic {
        Traffic { seconds, ..Traffic::default() }
    }

    fn spans(&self, query: &SpanQuery) -> BoxFuture<'_, Result<Spans, Refusal>> {
        let spans = self.spans.lock().unwrap();
        let wanted = spans.iter().filter(|span| !query.errors || span.kept == "failed");
        let wanted = wanted.filter(|span| query.trace.is_none_or(|trace| span.trace == trace.to_string()));
        let spans = wanted.take(query.n).cloned().collect();
        Box::pin(async { Ok(Spans { spans, dropped: 0, left_out: 0 }) })
    }

    fn down(&self) {
        self.change(|status| status.state = AppState::Stopping);
    }
}

pub struct Running {
    pub platform: Arc<InMemory>,
    pub client: Client,
    pub shutdown: CancellationToken,
    pub server: tokio::task::JoinHandle<std::io::Result<()>>,
    _folder: tempfile::TempDir,
}

pub fn in_memory(live_capacity: usize) -> InMemory {
    InMemory {
        status: watch::Sender::new(Arc::new(shop())),
        live: broadcast::Sender::new(live_capacity),
        written: Mutex::default(),
        spans: Mutex::default(),
    }
}

pub fn start(live_capacity: usize) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("control.sock");
    let platform = Arc::new(in_memory(live_capacity));
    let shutdown = CancellationToken::new();
    let listener = console::socket::bind(&socket).unwrap();
    let server = tokio::spawn(console::server::serve(
        listener,
        platform.clone(),
        axum::Router::new(),
        shutdown.clone(),
    ));
    Running { platform, client: Client::new(socket), shutdown, server, _folder: folder }
}

pub fn entry(at: u64, service: &str, text: &str) -> LogEntry {
    LogEntry {
        at,
        service: service.to_owned(),
        replica: Some(format!("{service}-1")),
        stream: LogStream::Out,
        text: text.to_owned(),
    }
}

fn shop() -> AppStatus {
    AppStatus {
        app: "shop".to_owned(),
        root: "/srv/shop".to_owned(),
        pid: 1,
        proxy_pid: Some(2),
        retired_proxies: vec![],
        proxy_outdated: None,
        gateway: Some("http://127.0.0.1:8080".to_owned()),
        gateway_problem: None,
        console: Some("http://127.0.0.1:9400".to_owned()),
        console_problem: None,
        limits_problem: None,
        alerts: vec![],
        state: AppState::Starting,
        since: 1_000,
        started_at: 900,
        version: "0.1.0".to_owned(),
        services: vec![service("orders"), service("payments")],
        externals: vec![],
        route_version: 1,
    }
}

fn service(name: &str) -> ServiceStatus {
    ServiceStatus {
        name: name.to_owned(),
        protocol: "http".to_owned(),
        release: Some("0123456789ab".to_owned()),
        state: ServiceState::Starting,
        since: 1_000,
        detail: None,
        last_lines: Vec::new(),
        desired: 1,
        ready: 0,
        cold_start: None,
        calls: Vec::new(),
        rollout: None,
        replicas: vec![ReplicaStatus {
            id: format!("{name}-1"),
            phase: "starting".to_owned(),
            release: "0123456789ab".to_owned(),
            address: "127.0.0.1:4000".to_owned(),
            pid: Some(3),
            started_at: 1_000,
            restarts: 0,
            memory: None,
            last_exit: None,
            next_start_at: None,
            probe_error: None,
        }],
    }
}

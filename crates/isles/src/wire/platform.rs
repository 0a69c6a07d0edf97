//! The control plane as the admin API sees it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use console::api::{
    Accepted, AppEvent, AppStatus, Begun, Declared, DeployRequest, Deployed, DriftReport, EventQuery, Events,
    LogEntry, LogQuery, MeasuredQuery, MeasuredReport, MetricsQuery, MetricsReport, PlanReport, PlanRequest,
    ReleaseInfo, RollbackRequest, Span, SpanQuery, Spans, Traffic, UsageReport,
};
use console::{Platform, Refusal};
use control::alerts::Alert;
use control::{Control, DeployOrder, Paths, Refused, Status};
use futures_util::future::BoxFuture;
use model::{DesiredState, Measured, ServiceName};
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

use super::deploys;
use super::logs;
use super::openmetrics::{self, Exemplar};
use super::status::{self, About};
use super::{declared, drift, metrics, traffic, usage};

/// Spans among which exemplars are looked for.
const EXEMPLARS: usize = 1_000;
/// How often the memory of processes is read anew while nothing else changes.
const REFRESH: Duration = Duration::from_secs(5);
/// Lines that a reader may lag behind before it misses some.
const BACKLOG: usize = 4096;

/// A control plane behind the admin API.
pub struct Wired {
    control: Arc<Control>,
    manifest: PathBuf,
    status: watch::Receiver<Arc<AppStatus>>,
    logs: broadcast::Sender<Arc<LogEntry>>,
    down: CancellationToken,
}

impl Wired {
    /// Begins to translate; `down` is cancelled when somebody asks for the end. `manifest` is what the app was started with,
    /// `console` where its dashboard is.
    pub fn new(
        control: Arc<Control>,
        manifest: PathBuf,
        down: CancellationToken,
        console: super::console::About,
        alerts: watch::Receiver<Arc<[Alert]>>,
    ) -> Self {
        let logs = broadcast::Sender::new(BACKLOG);
        tokio::spawn(forward_logs(control.supervisor().logs(), logs.clone()));
        Self { status: translate(control.status(), console, alerts), control, manifest, logs, down }
    }

    /// What a manifest of this app declares now.
    async fn read_manifest(&self, manifest: Option<String>) -> Result<DesiredState, Refusal> {
        let path = manifest.map_or_else(|| self.manifest.clone(), PathBuf::from);
        let read = {
            let path = path.clone();
            tokio::task::spawn_blocking(move || manifest::load(&path)).await
        };
        let parsed = read.map_err(|e| Refusal::internal(e.to_string()))?;
        let parsed = parsed.map_err(|e| Refusal::bad_manifest(e.to_string()))?;
        if Paths::new(&parsed.desired.root).state() != self.control.paths().state() {
            let detail = format!("{} is the manifest of another app", path.display());
            return Err(Refusal::bad_manifest(detail));
        }
        Ok(parsed.desired)
    }
}

async fn forward_logs(
    mut from: broadcast::Receiver<Arc<supervisor::LogLine>>,
    to: broadcast::Sender<Arc<LogEntry>>,
) {
    loop {
        match from.recv().await {
            // No receiver is the usual case: nobody follows.
            Ok(line) => drop(to.send(Arc::new(logs::entry(&line)))),
            Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

/// Ends when the control plane's status does, or when nobody looks any more.
fn translate(
    mut from: watch::Receiver<Arc<Status>>,
    console: super::console::About,
    mut alerts: watch::Receiver<Arc<[Alert]>>,
) -> watch::Receiver<Arc<AppStatus>> {
    let about = About {
        console,
        started_at: now(),
        memory: supervisor::process::memory,
        cpu_trouble: supervisor::cgroup::cpu_trouble(),
    };
    let first = status::app(&from.borrow_and_update(), None, &about, &alerts.borrow().clone(), now());
    let (sender, receiver) = watch::channel(Arc::new(first));
    tokio::spawn(async move {
        loop {
            let changed = tokio::select! {
                changed = from.changed() => changed,
                // While nobody looks for alerts any more, the app ends.
                Ok(()) = alerts.changed() => Ok(()),
                () = tokio::time::sleep(REFRESH) => Ok(()),
                () = sender.closed() => return,
            };
            if changed.is_err() {
                return;
            }
            let state: Arc<Status> = from.borrow_and_update().clone();
            let before = sender.borrow().clone();
            let after = status::app(&state, Some(&before), &about, &alerts.borrow().clone(), now());
            if after != *before {
                sender.send_replace(Arc::new(after));
            }
        }
    });
    receiver
}

/// Unix milliseconds.
pub(super) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

fn refusal(refused: Refused, control: &Control) -> Refusal {
    match refused {
        Refused::UnknownService(name) => {
            let status = control.status();
            let status = status.borrow();
            Refusal::unknown_service(&name, status.services.keys().map(ServiceName::as_str))
        }
        Refused::OutOfRange { .. } => Refusal::out_of_range(refused.to_string()),
        Refused::UnderWay { .. } => Refusal::under_way(refused.to_string()),
        Refused::Impossible(detail) => Refusal::impossible(detail),
        Refused::Nothing(detail) => Refusal::nothing_to_do(detail),
        Refused::Stopping => Refusal::stopping(),
        Refused::Store(detail) => Refusal::internal(detail),
    }
}

impl Platform for Wired {
    fn status(&self) -> watch::Receiver<Arc<AppStatus>> {
        self.status.clone()
    }

    fn scale(&self, service: &str, replicas: u32) -> BoxFuture<'_, Result<Accepted, Refusal>> {
        let service = service.to_owned();
        Box::pin(async move {
            self.control.scale(&service, replicas).await.map_err(|e| refusal(e, &self.control))?;
            let plural = if replicas == 1 { "" } else { "s" };
            Ok(Accepted { message: format!("{service} is to have {replicas} replica{plural}") })
        })
    }

    fn restart(&self, service: &str) -> BoxFuture<'_, Result<Accepted, Refusal>> {
        let service = service.to_owned();
        Box::pin(async move {
            self.control.restart(&service).await.map_err(|e| refusal(e, &self.control))?;
            Ok(Accepted { message: format!("{service} is replaced, one replica at a time") })
        })
    }

    fn plan(&self, request: PlanRequest) -> BoxFuture<'_, Result<PlanReport, Refusal>> {
        Box::pin(async move {
            let declared = self.read_manifest(request.manifest).await?;
            Ok(PlanReport { changes: deploys::changes(&self.control.plan(declared)) })
        })
    }

    fn deploy(&self, request: DeployRequest) -> BoxFuture<'_, Result<Deployed, Refusal>> {
        Box::pin(async move {
            let declared = self.read_manifest(request.manifest).await?;
            let unknown = |name: &String| refusal(Refused::UnknownService(name.clone()), &self.control);
            let only = request.services.iter().map(|name| name.parse().map_err(|_| unknown(name)));
            let only = only.collect::<Result<BTreeSet<ServiceName>, _>>()?;
            let order = DeployOrder { canary: request.canary, force: request.force };
            let deployed = self.control.deploy(declared, &only, order).await;
            let (changes, rollouts) = deployed.map_err(|e| refusal(e, &self.control))?;
            let rollouts = rollouts.into_iter().map(|(service, id)| (service.to_string(), id)).collect();
            Ok(Deployed { changes: deploys::changes(&changes), rollouts })
        })
    }

    fn rollback(&self, service: &str, request: RollbackRequest) -> BoxFuture<'_, Result<Begun, Refusal>> {
        let service = service.to_owned();
        Box::pin(async move {
            let rollout = self.control.rollback(&service, request.release.as_deref()).await;
            Ok(Begun { rollout: rollout.map_err(|e| refusal(e, &self.control))? })
        })
    }

    fn promote(&self, service: &str) -> BoxFuture<'_, Result<Begun, Refusal>> {
        let service = service.to_owned();
        Box::pin(async move {
            let rollout = self.control.promote(&service).await;
            Ok(Begun { rollout: rollout.map_err(|e| refusal(e, &self.control))? })
        })
    }

    fn releases(&self, service: &str) -> BoxFuture<'_, Result<Vec<ReleaseInfo>, Refusal>> {
        let service = service.to_owned();
        Box::pin(async move {
            let known = self.control.releases(&service).await.map_err(|e| refusal(e, &self.control))?;
            let status = self.control.status();
            let status = status.borrow().services.get(service.as_str()).cloned();
            Ok(status.map(|status| deploys::releases(&known.0, &known.1, &status)).unwrap_or_default())
        })
    }

    fn usage(&self, service: &str, days: u64) -> BoxFuture<'_, Result<UsageReport, Refusal>> {
        let service = service.to_owned();
        Box::pin(async move {
            let known = self.control.usage(&service, days).await.map_err(|e| refusal(e, &self.control))?;
            Ok(usage::report(&known, days, now()))
        })
    }

    fn metrics(&self, query: &MetricsQuery) -> BoxFuture<'_, Result<MetricsReport, Refusal>> {
        let (service, span) = (query.service.clone(), metrics::span(query, now() / 1000));
        Box::pin(async move {
            let found = self.control.metrics(service.as_deref(), span).await;
            Ok(metrics::report(span, found.map_err(|e| refusal(e, &self.control))?))
        })
    }

    fn events(&self, query: &EventQuery) -> BoxFuture<'_, Result<Events, Refusal>> {
        let from = now().saturating_sub(query.seconds.saturating_mul(1000));
        let wanted = control::Wanted { from, service: query.service.clone(), most: query.n };
        Box::pin(async move {
            let found = self.control.events(wanted).await.map_err(|e| refusal(e, &self.control))?;
            let event =
                |e: control::Event| AppEvent { at: e.at, kind: e.kind, service: e.service, text: e.text };
            Ok(Events { events: found.into_iter().map(event).collect() })
        })
    }

    fn open_metrics(&self) -> BoxFuture<'_, Result<String, Refusal>> {
        Box::pin(async move {
            let query = control::SpanQuery { most: EXEMPLARS, ..Default::default() };
            let (spans, counts) = self.control.spans(query).await.map_err(|e| refusal(e, &self.control))?;
            let exemplars: Vec<Exemplar> = spans.iter().filter_map(openmetrics::exemplar).collect();
            let report = self.control.traffic().report(Duration::from_secs(1), now());
            let services = self.control.status().borrow().services.keys().cloned().collect::<Vec<_>>();
            let own = services.into_iter().map(|service| (self.control.points(&service), service));
            Ok(openmetrics::open_metrics(&report, &exemplars, counts, &own.collect::<Vec<_>>()))
        })
    }

    fn declared(&self) -> Declared {
        let desired = self.control.status().borrow().desired.clone();
        declared::declared(self.manifest.display().to_string(), &desired)
    }

    fn measured(&self, service: &str) -> Vec<Measured> {
        service.parse().map(|service| self.control.points(&service)).unwrap_or_default()
    }

    fn series(&self, query: &MeasuredQuery) -> BoxFuture<'_, Result<MeasuredReport, Refusal>> {
        let (service, name) = (query.service.clone(), query.name.clone());
        let span = metrics::until(now() / 1000, query.seconds, query.points);
        Box::pin(async move {
            let found = self.control.series(&service, &name, span).await;
            Ok(metrics::measured(span, found.map_err(|e| refusal(e, &self.control))?))
        })
    }

    fn drift(&self, service: &str) -> DriftReport {
        drift::report(self.control.traffic().drift(service))
    }

    fn recent_logs(&self, query: &LogQuery) -> BoxFuture<'_, Result<Vec<LogEntry>, Refusal>> {
        let folder = self.control.paths().logs();
        let services: Result<Vec<ServiceName>, _> = query.services.iter().map(|s| s.parse()).collect();
        let (text, n) = (query.text.clone(), query.n);
        Box::pin(async move {
            let services = services.map_err(|e| Refusal::internal(e.to_string()))?;
            let read = move || supervisor::log::search(&folder, &services, &text, n);
            let lines = tokio::task::spawn_blocking(read).await;
            match lines {
                Ok(Ok(lines)) => Ok(lines.iter().map(logs::entry).collect()),
                Ok(Err(error)) => Err(Refusal::internal(format!("the logs cannot be read: {error}"))),
                Err(error) => Err(Refusal::internal(error.to_string())),
            }
        })
    }

    fn live_logs(&self) -> broadcast::Receiver<Arc<LogEntry>> {
        self.logs.subscribe()
    }

    fn traffic(&self, seconds: u64) -> Traffic {
        let report = self.control.traffic().report(Duration::from_secs(seconds), now());
        traffic::traffic(&report, seconds)
    }

    fn spans(&self, query: &SpanQuery) -> BoxFuture<'_, Result<Spans, Refusal>> {
        let query = control::SpanQuery {
            trace: query.trace,
            service: query.service.clone(),
            errors: query.errors,
            slower_than: Duration::from_millis(query.slower_than_ms),
            text: query.text.clone(),
            most: query.n,
        };
        Box::pin(async move {
            let (spans, counts) = self.control.spans(query).await.map_err(|e| refusal(e, &self.control))?;
            let (dropped, left_out) = (counts.dropped, counts.left_out);
            Ok(Spans { spans: spans.iter().map(Span::from).collect(), dropped, left_out })
        })
    }

    fn down(&self) {
        self.down.cancel();
    }
}

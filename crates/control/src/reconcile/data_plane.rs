//! Declared edges and observed replicas -> the routing table -> the data plane, which is started when there is none.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{ListenerKind, ObservedState, Phase, ProcessId, RouteTable, ServiceName, StopPolicy, StopSignal};
use proxy::link::{Applied, Client, Hello, LinkError, ListenerStats, OutsideStats, Stats};
use supervisor::process;
use tokio::sync::Notify;

use crate::driver::{Outcome, Reconciler};
use crate::routes;
use crate::store::EdgeKey;
use crate::world::{DataPlane, Mode, Outside, Reading, World, now};

/// How often the counters are read while nothing happens.
const STATS: Duration = Duration::from_secs(1);
/// How often while replicas are waiting for their last request to end, or the gateway is.
const STATS_DRAINING: Duration = Duration::from_millis(20);
/// How often while releases are compared: each step of a rollout has to see requests of its own.
const STATS_COMPARING: Duration = Duration::from_millis(200);
/// How long a new data plane may take to open its socket.
const START_LIMIT: Duration = Duration::from_secs(5);
/// The pause after a data plane that could not be started.
const RETRY: Duration = Duration::from_millis(500);

/// Keeps a data plane running and told.
pub struct DataPlaneLoop {
    world: Arc<World>,
    wake: Arc<Notify>,
    link: Option<Link>,
    /// When traffic is to be looked at next.
    survey_due: Option<Instant>,
}

struct Link {
    client: Client,
    process: ProcessId,
    /// The table in force, without its version; `None` until the first was sent on this link.
    sent: Option<RouteTable>,
    version: u64,
    failed: BTreeMap<std::net::SocketAddr, String>,
}

impl DataPlaneLoop {
    /// With nothing connected yet. `wake` is the loop's own, for the moment when the process ends.
    pub fn new(world: Arc<World>, wake: Arc<Notify>) -> Self {
        Self { world, wake, link: None, survey_due: None }
    }

    /// Asks the data plane to drain and end, and waits until it has.
    pub async fn shut_down(mut self) {
        let Some(mut link) = self.link.take() else { return };
        if link.client.shutdown().await.is_ok() {
            process::gone(&link.process).await;
        }
        self.world.data_plane.set(DataPlane::default());
    }

    /// The link to a living data plane, which is adopted or started as need be.
    async fn ensure_link(&mut self) -> io::Result<bool> {
        if self.link.as_ref().is_some_and(|link| process::alive(&link.process)) {
            return Ok(false);
        }
        self.link = None;
        let socket = self.world.paths.proxy_socket();
        let (client, hello) = match Client::connect(&socket).await {
            Ok(adopted) => adopted,
            Err(_) => self.start().await?,
        };
        let process =
            process::identify(hello.pid).ok_or_else(|| io::Error::other("the data plane ended at once"))?;
        self.watch(process);
        let version = hello.version.unwrap_or(0);
        self.link = Some(Link { client, process, sent: None, version, failed: BTreeMap::new() });
        Ok(true)
    }

    async fn start(&self) -> io::Result<(Client, Hello)> {
        let paths = &self.world.paths;
        let log = OpenOptions::new().create(true).append(true).mode(0o600).open(paths.proxy_log())?;
        let socket = paths.proxy_socket();
        let mut command = tokio::process::Command::new(&self.world.program);
        process::without_secrets(&mut command);
        let mut child = command
            .arg("proxy")
            .arg("--socket")
            .arg(&socket)
            .env("ISLES_DATA", paths.proxy_mark())
            // A group of its own: a Ctrl-C in the terminal is for the control plane, which decides what ends when.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let deadline = tokio::time::Instant::now() + START_LIMIT;
        loop {
            let error = match Client::connect(&socket).await {
                Ok(connected) => return Ok(connected),
                Err(error) => error,
            };
            if let Some(status) = child.try_wait()? {
                let log = paths.proxy_log();
                return Err(io::Error::other(format!(
                    "the data plane ended with {status}; see {}",
                    log.display()
                )));
            }
            if tokio::time::Instant::now() >= deadline {
                return Err(error);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn watch(&self, process: ProcessId) {
        let (wake, stop) = (self.wake.clone(), self.world.stop.clone());
        tokio::spawn(async move {
            if stop.run_until_cancelled(process::gone(&process)).await.is_some() {
                wake.notify_one();
            }
        });
    }

    fn table(&self, observed: &ObservedState) -> RouteTable {
        let open = self.world.mode.get() == Mode::Open;
        // After the replicas were looked at: what runs was in the deployment before it was started.
        let shares = self.world.shares(observed);
        routes::table(&self.world.desired, observed, &self.world.edges.get(), &shares, open)
    }

    /// Lets edges go that are no longer declared, once no process runs or may yet be started that is told their address.
    fn retire_edges(&self, observed: &ObservedState) -> Vec<String> {
        let edges = self.world.edges.get();
        let mut kept = BTreeMap::clone(&edges);
        kept.retain(|(caller, callee), _| {
            let declared =
                self.world.desired.edges().any(|e| e.caller.name == *caller && e.call.callee == *callee);
            declared || self.is_called(caller, callee, observed)
        });
        if kept.len() == edges.len() {
            return Vec::new();
        }
        let gone = edges.keys().filter(|key| !kept.contains_key(*key));
        let steps =
            gone.map(|(caller, callee)| format!("the edge from {caller} to {callee} is closed")).collect();
        if let Err(error) = self.world.store.set_edges(&kept) {
            // It is let go again by the next control plane.
            tracing::warn!("the end of an edge could not be recorded: {error}");
        }
        self.world.edges.set(Arc::new(kept));
        steps
    }

    /// Whether a release of `caller` that is in use calls `callee`.
    fn is_called(&self, caller: &ServiceName, callee: &ServiceName, observed: &ObservedState) -> bool {
        let deployment = self.world.deployment(caller);
        let rollout = deployment.rollout.as_ref().filter(|rollout| rollout.is_active());
        let planned = rollout.into_iter().flat_map(|rollout| rollout.from.iter().chain(&rollout.to));
        let running = observed.replicas.iter().filter(|(id, _)| id.service == *caller);
        let mut in_use =
            running.map(|(_, replica)| &replica.release).chain(planned).chain(&deployment.current);
        // Until it is built, nobody knows what the next release is.
        rollout.is_some_and(|rollout| rollout.to.is_none())
            || in_use.any(|id| match self.world.releases.open(caller, id) {
                Ok(release) => release.spec.calls.iter().any(|call| call.callee == *callee),
                Err(_) => true,
            })
    }

    async fn tell(&mut self, table: RouteTable) -> Result<Option<String>, LinkError> {
        let Some(link) = self.link.as_mut() else { return Ok(None) };
        if link.sent.as_ref() == Some(&table) && link.failed.is_empty() {
            return Ok(None);
        }
        // Versions follow the clock, so they grow across restarts of the control plane too.
        let version = now().max(link.version + 1);
        let Applied { version, failed } = link.client.apply(&RouteTable { version, ..table.clone() }).await?;
        let endpoints = table.upstreams.values().map(|u| u.endpoints.len()).sum::<usize>();
        let listeners = table.listeners.len();
        link.version = version;
        link.sent = Some(table);
        let before =
            std::mem::replace(&mut link.failed, failed.into_iter().map(|f| (f.address, f.reason)).collect());
        let news = format!("routes {version}: {listeners} listeners, {endpoints} endpoints");
        Ok(Some(news).filter(|_| before.is_empty() || before != link.failed))
    }

    /// Tells everybody how the data plane is; returns what has to be looked after, where that is news.
    async fn publish(&mut self, observed: &ObservedState) -> Result<Vec<String>, LinkError> {
        let Some(link) = self.link.as_mut() else { return Ok(Vec::new()) };
        let stats = link.client.stats().await?;
        let found = data_plane(link, &stats, observed);
        let before = self.world.data_plane.get().problems;
        let news = found.problems.iter().filter(|(address, problem)| before.get(address) != Some(problem));
        let news = news.map(|(address, problem)| format!("{address}: {problem}")).collect();
        self.world.data_plane.set(found);
        let compares = self.world.compares();
        if self.survey_due.is_none_or(|due| due <= Instant::now()) {
            // A little less than the pause, so that no pass comes just too early.
            self.survey_due = Some(Instant::now() + if compares { STATS_COMPARING } else { STATS } * 9 / 10);
            let signals = link.client.signals().await?;
            let at = now();
            if compares {
                self.world.signals.set(Arc::new(Reading { at, signals: signals.clone() }));
            }
            self.world.traffic.take(link.process, signals, at);
            self.world.traffic.take_spans(link.client.spans().await?);
        }
        Ok(news)
    }

    /// A data plane that lives and does not answer is of no use, and keeps the addresses from the next one.
    async fn answered<T>(&self, answer: Result<T, LinkError>) -> Result<T, String> {
        if let (Err(LinkError::Io(error)), Some(link)) = (&answer, &self.link)
            && error.kind() == io::ErrorKind::TimedOut
        {
            let kill = StopPolicy { signal: StopSignal::Kill, grace: Duration::ZERO };
            process::terminate(link.process, kill).await;
        }
        answer.map_err(|e| e.to_string())
    }

    fn pause(&self) -> Duration {
        let draining = self.world.observed().replicas.values().any(|r| r.phase == Phase::Draining);
        if draining || self.world.mode.get() == Mode::Closing {
            STATS_DRAINING
        } else if self.world.compares() {
            STATS_COMPARING
        } else {
            STATS
        }
    }

    async fn pass(&mut self, steps: &mut Vec<String>) -> Result<(), String> {
        if self.ensure_link().await.map_err(|e| e.to_string())?
            && let Some(link) = &self.link
        {
            steps.push(format!("connected to the data plane, pid {}", link.process.pid));
        }
        let observed = self.world.observed();
        steps.extend(self.retire_edges(&observed));
        let told = self.tell(self.table(&observed)).await;
        steps.extend(self.answered(told).await?);
        let published = self.publish(&observed).await;
        steps.extend(self.answered(published).await?);
        Ok(())
    }
}

fn data_plane(link: &Link, stats: &Stats, observed: &ObservedState) -> DataPlane {
    let draining = observed.replicas.iter().filter(|(_, r)| r.phase == Phase::Draining);
    let mut in_flight = BTreeMap::new();
    for endpoint in stats.endpoints.iter().filter(|e| e.in_flight > 0) {
        *in_flight.entry(endpoint.replica.clone()).or_default() += endpoint.in_flight;
    }
    let problems = stats.listeners.iter().filter_map(|l| Some((l.address, l.problem.clone()?))).collect();
    DataPlane {
        process: Some(link.process),
        version: Some(link.version),
        open: link
            .sent
            .iter()
            .flat_map(|t| &t.listeners)
            .any(|l| matches!(l.kind, ListenerKind::Gateway { .. })),
        let_go: draining.map(|(id, _)| id.clone()).collect(),
        shares: link
            .sent
            .iter()
            .flat_map(|t| t.upstreams.iter().map(|(service, u)| (service.clone(), u.shares.clone())))
            .collect(),
        in_flight,
        failed: link.failed.clone(),
        outside: stats.outside.iter().map(outside).collect(),
        open_circuits: stats.listeners.iter().filter(|l| l.circuit_open).filter_map(edge_of).collect(),
        problems,
        error: None,
    }
}

fn outside(stats: &OutsideStats) -> (ServiceName, Outside) {
    let (addresses, trouble) = (stats.addresses.clone(), stats.trouble.clone());
    (stats.name.clone(), Outside { addresses, trouble })
}

fn edge_of(listener: &ListenerStats) -> Option<EdgeKey> {
    Some((listener.caller.clone()?, listener.callee.clone()?))
}

impl Reconciler for DataPlaneLoop {
    const NAME: &'static str = "data_plane";

    async fn reconcile(&mut self) -> Outcome {
        let mut steps = Vec::new();
        match self.pass(&mut steps).await {
            Ok(()) => {
                let failed = self.link.as_ref().is_some_and(|link| !link.failed.is_empty());
                Outcome { steps, next: Some(if failed { RETRY } else { self.pause() }) }
            }
            Err(error) => {
                // Most likely it was killed: what it was told is gone, and the next pass starts it anew at once.
                let was_linked = self.link.take().is_some();
                steps.push(format!("no data plane: {error}"));
                self.world.data_plane.set(DataPlane { error: Some(error), ..DataPlane::default() });
                Outcome { steps, next: Some(if was_linked { Duration::ZERO } else { RETRY }) }
            }
        }
    }
}

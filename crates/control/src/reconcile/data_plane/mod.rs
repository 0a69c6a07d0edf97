//! Declared edges and observed replicas -> the routing table -> the data plane, which is started when there is none, and
//! replaced when the one that runs is of another build.

mod retired;
mod start;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use model::{ListenerKind, ObservedState, Phase, ProcessId, RouteTable, ServiceName, StopPolicy, StopSignal};
use proxy::link::{self, Applied, Client, Hello, LinkError, ListenerStats, OutsideStats, Stats};
use supervisor::process;
use telemetry::Point;
use tokio::sync::Notify;
use tokio::time::Instant;

use self::retired::Retired;
use self::start::{Part, start};
use crate::driver::{Outcome, Reconciler};
use crate::routes;
use crate::store::EdgeKey;
use crate::traffic::News;
use crate::world::{DataPlane, Demand, Mode, Outside, Reading, World, now};

/// How often the counters are read while nothing happens.
const STATS: Duration = Duration::from_secs(1);
/// How often while replicas are waiting for their last request to end, or the gateway is.
const STATS_DRAINING: Duration = Duration::from_millis(20);
/// How often while a service has no replica until somebody asks for it: a cold start takes that much longer.
const STATS_SLEEPING: Duration = Duration::from_millis(50);
/// How often while releases are compared: each step of a rollout has to see requests of its own.
const STATS_COMPARING: Duration = Duration::from_millis(200);
/// The pause after a data plane that could not be started.
const RETRY: Duration = Duration::from_millis(500);
/// The pause after a hand-over that failed.
const RETRY_HAND_OVER: Duration = Duration::from_secs(30);
/// The first protocol with hand-overs.
const HANDS_OVER: u32 = 2;

/// Keeps a data plane running and told.
pub struct DataPlaneLoop {
    world: Arc<World>,
    wake: Arc<Notify>,
    link: Option<Link>,
    /// When traffic is to be looked at next.
    survey_due: Option<Instant>,
    /// Why the running data plane, which is of another build, could not be replaced, and when that is tried again.
    not_replaced: Option<(String, Instant)>,
}

struct Link {
    client: Client,
    process: ProcessId,
    /// It runs another build of the program than this one, and was adopted.
    outdated: bool,
    /// The table in force, without its version; `None` until the first was sent on this link.
    sent: Option<RouteTable>,
    version: u64,
    failed: BTreeMap<std::net::SocketAddr, String>,
}

impl DataPlaneLoop {
    /// With nothing connected yet. `wake` is the loop's own, for the moment when the process ends.
    pub fn new(world: Arc<World>, wake: Arc<Notify>) -> Self {
        Self { world, wake, link: None, survey_due: None, not_replaced: None }
    }

    /// Asks the data plane to drain and end, and waits until it has.
    pub async fn shut_down(mut self) {
        retired::end_all(&self.world.paths.proxy_socket()).await;
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
        let (client, hello, outdated) = match Client::connect(&socket).await {
            Ok((_, hello)) if hello.retired => return Err(io::Error::other("it is just being replaced")),
            Ok((client, hello)) if hello.protocol < HANDS_OVER => {
                let (client, hello) = self.restart(client, &hello).await?;
                (client, hello, false)
            }
            Ok((client, hello)) => {
                let outdated = hello.build != link::build();
                (client, hello, outdated)
            }
            Err(_) => {
                let (client, hello) = start(&self.world, Part::First).await?;
                (client, hello, false)
            }
        };
        self.connected(client, &hello, outdated)?;
        Ok(true)
    }

    fn connected(&mut self, client: Client, hello: &Hello, outdated: bool) -> io::Result<()> {
        let process =
            process::identify(hello.pid).ok_or_else(|| io::Error::other("the data plane ended at once"))?;
        self.watch(process);
        let version = hello.version.unwrap_or(0);
        self.link = Some(Link { client, process, outdated, sent: None, version, failed: BTreeMap::new() });
        Ok(())
    }

    /// Ends a data plane that is too old to hand over, and starts another one.
    async fn restart(&self, mut client: Client, hello: &Hello) -> io::Result<(Client, Hello)> {
        tracing::warn!("the data plane that runs cannot hand over: it is ended, and another one started");
        client.shutdown().await.map_err(io::Error::other)?;
        if let Some(process) = process::identify(hello.pid) {
            process::gone(&process).await;
        }
        start(&self.world, Part::First).await
    }

    /// Puts a data plane of this program's build in the place of one of another build.
    async fn replace(&mut self, table: &RouteTable) -> Option<String> {
        let due = self.not_replaced.as_ref().is_none_or(|(_, again)| *again <= Instant::now());
        let link = self.link.as_mut().filter(|link| link.outdated && due)?;
        let before = link.process.pid;
        let table = RouteTable { version: now().max(link.version + 1), ..table.clone() };
        let done = match start::replace(&self.world, &mut link.client, &table).await {
            Ok((client, hello, applied)) => self
                .connected(client, &hello, false)
                .map(|()| (hello.pid, applied))
                .map_err(|e| e.to_string()),
            Err(reason) => Err(reason),
        };
        match done {
            Ok((pid, applied)) => {
                self.not_replaced = None;
                self.applied(table, applied);
                Some(format!("the data plane {pid} has taken the place of {before}, which ends what it has"))
            }
            Err(reason) => {
                let news = format!(
                    "the data plane {before} is of another build, and could not be replaced: {reason}"
                );
                self.not_replaced = Some((news.clone(), Instant::now() + RETRY_HAND_OVER));
                tracing::error!("{news}");
                None
            }
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
        let world = &self.world;
        let (edges, operations) = (world.edges.get(), world.operations.get());
        let known = routes::Known { observed, edges: &edges, shares: &shares, operations: &operations };
        routes::table(&world.desired.get(), &known, &world.inner, open)
    }

    /// Lets edges go that are no longer declared, once no process runs or may yet be started that is told their address.
    fn retire_edges(&self, observed: &ObservedState) -> Vec<String> {
        let edges = self.world.edges.get();
        let desired = self.world.desired.get();
        let mut kept = BTreeMap::clone(&edges);
        kept.retain(|(caller, callee), _| {
            let declared = desired.edges().any(|e| e.caller.name == *caller && e.call.callee == *callee);
            declared || self.world.inner.has(caller, callee) || self.is_called(caller, callee, observed)
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
        let table = RouteTable { version, ..table };
        let applied = link.client.apply(&table).await?;
        Ok(self.applied(table, applied))
    }

    /// Remembers what is in force now, and tells it if that is news.
    fn applied(&mut self, mut table: RouteTable, Applied { version, failed }: Applied) -> Option<String> {
        let link = self.link.as_mut()?;
        let endpoints = table.upstreams.values().map(|u| u.endpoints.len()).sum::<usize>();
        let listeners = table.listeners.len();
        table.version = 0;
        link.version = version;
        link.sent = Some(table);
        let before =
            std::mem::replace(&mut link.failed, failed.into_iter().map(|f| (f.address, f.reason)).collect());
        let news = format!("routes {version}: {listeners} listeners, {endpoints} endpoints");
        Some(news).filter(|_| before.is_empty() || before != link.failed)
    }

    /// Tells everybody how the data plane is; returns what has to be looked after, where that is news.
    async fn publish(&mut self, observed: &ObservedState) -> Result<Vec<String>, LinkError> {
        let Some(link) = self.link.as_mut() else { return Ok(Vec::new()) };
        let stats = link.client.stats().await?;
        let retired = retired::all(&self.world.paths.proxy_socket()).await;
        let mut found = data_plane(link, &stats, &retired, observed);
        found.not_replaced = self.not_replaced.as_ref().map(|(why, _)| why.clone());
        let before = self.world.data_plane.get().problems;
        let news = found.problems.iter().filter(|(address, problem)| before.get(address) != Some(problem));
        let news = news.map(|(address, problem)| format!("{address}: {problem}")).collect();
        self.world.demand.set(Arc::new(demand(&stats, &retired)));
        self.world.data_plane.set(found);
        let since = self.world.compares_since();
        let compares = since.is_some();
        // What a comparison begins with is read at once.
        let begins = since.is_some_and(|since| self.world.signals.get().at < since);
        if begins || self.survey_due.is_none_or(|due| due <= Instant::now()) {
            // A little less than the pause, so that no pass comes just too early.
            self.survey_due = Some(Instant::now() + if compares { STATS_COMPARING } else { STATS } * 9 / 10);
            let signals = link.client.signals().await?;
            let at = now();
            if compares {
                self.world.signals.set(Arc::new(Reading { at, signals: signals.clone() }));
            }
            self.world.usage.take(link.process, &signals, at);
            let taken = self.world.traffic.take(link.process, signals, at);
            for (edge, added) in &taken.added {
                self.world.metrics.add(edge, at / 1000, &Point::of(added));
            }
            for News { kind, service, text } in &taken.news {
                self.world.happened(kind, service, text);
            }
            let kept = link.client.spans().await?;
            self.world.traces.add_hops(kept.spans, kept.dropped);
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
        } else if self.world.sleeps() {
            STATS_SLEEPING
        } else if self.world.compares_since().is_some() {
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
        let table = self.table(&observed);
        steps.extend(self.replace(&table).await);
        let told = self.tell(table).await;
        steps.extend(self.answered(told).await?);
        let published = self.publish(&observed).await;
        steps.extend(self.answered(published).await?);
        Ok(())
    }
}

fn data_plane(link: &Link, stats: &Stats, retired: &[Retired], observed: &ObservedState) -> DataPlane {
    // What has been replaced knows the last table that it was told. Until nothing can begin there any more, no
    // replica that leaves is sure to be left alone.
    let settled = retired.iter().all(|r| r.load.settled);
    let draining = observed.replicas.iter().filter(|(_, r)| settled && r.phase == Phase::Draining);
    let own = stats.endpoints.iter().filter(|e| e.in_flight > 0).map(|e| (&e.replica, e.in_flight));
    let theirs = retired.iter().flat_map(|r| &r.load.in_flight).map(|(id, n)| (id, *n));
    let mut in_flight = BTreeMap::new();
    for (replica, count) in own.chain(theirs) {
        *in_flight.entry(replica.clone()).or_default() += count;
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
        let_go: draining.map(|(id, _)| id.clone()).collect::<BTreeSet<_>>(),
        shares: link
            .sent
            .iter()
            .flat_map(|t| t.upstreams.iter().map(|(service, u)| (service.clone(), u.shares.clone())))
            .collect(),
        in_flight,
        retired: retired.iter().map(|r| (r.process, r.load.in_flight.values().sum())).collect(),
        not_replaced: None,
        failed: link.failed.clone(),
        outside: stats.outside.iter().map(outside).collect(),
        open_circuits: stats.listeners.iter().filter(|l| l.circuit_open).filter_map(edge_of).collect(),
        problems,
        error: None,
    }
}

/// What is in flight at a data plane that is being replaced belongs to it too.
fn demand(stats: &Stats, retired: &[Retired]) -> Demand {
    let mut in_flight = stats.in_flight.clone();
    for (replica, count) in retired.iter().flat_map(|r| &r.load.in_flight) {
        *in_flight.entry(replica.service.clone()).or_default() += count;
    }
    let mut requests = BTreeMap::new();
    for endpoint in &stats.endpoints {
        *requests.entry(endpoint.replica.service.clone()).or_default() += endpoint.requests;
    }
    Demand { at: now(), in_flight, requests }
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

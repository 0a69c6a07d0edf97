//! The control plane as a whole: adopt what runs, start the loops, take wishes, end in order.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use model::{DesiredState, ObservedState, Phase, ProcessId, ReplicaState, ServiceName};
use planner::rollout::Rollout;
use supervisor::{ReplicaSpec, Supervisor, process};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::cleanup::end_marked;
use crate::deploy::{self, DeployOrder};
use crate::driver::{Reconciler, drive, wake_on};
use crate::gate::Gate;
use crate::lock::{Lock, LockError};
use crate::paths::Paths;
use crate::ports;
use crate::reconcile::data_plane::DataPlaneLoop;
use crate::reconcile::jobs::Jobs;
use crate::reconcile::rollouts::{self, Rollouts};
use crate::reconcile::{record::Record, replicas::Replicas};
use crate::release::{Release, Releases};
use crate::sagas::SAGAS;
use crate::status::{self, Status};
use crate::store::{EdgeKey, Store, StoreError};
use crate::traffic::Traffic;
use crate::world::{DataPlane, Mode, State, Wishes, World, now};

/// How long requests that are in flight at the gateway may take when the app ends.
const CLOSE_LIMIT: Duration = Duration::from_secs(10);
/// A service has at most this many replicas: more is a slip of the finger on one machine.
const MOST_REPLICAS: u32 = 100;

/// What the control plane is started with.
#[derive(Clone)]
pub struct Options {
    /// The `isles` program, which is started again as the data plane.
    pub program: PathBuf,
    /// Whether services are built before they are started.
    pub build: bool,
    /// Who may say no to a release.
    pub gate: Arc<dyn Gate>,
    /// Sagas, where the app has any.
    pub sagas: Option<Sagas>,
}

/// What the control plane has to know of sagas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sagas {
    /// Where their API listens.
    pub api: SocketAddr,
    /// The process that calls on their behalf.
    pub process: ProcessId,
    /// The services that they call.
    pub callees: BTreeSet<ServiceName>,
}

/// Why a control plane did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The app runs already.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The state database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The state folder or a process could not be made.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The data plane could not be started.
    #[error("the data plane could not be started: {0}")]
    DataPlane(String),
    /// The data plane cannot listen where the manifest says: at the gateway or at an edge with a fixed address.
    #[error("isles cannot listen on {address}: {reason}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        reason: String,
    },
}

/// Why a wish was not granted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no such service.
    #[error("there is no service `{0}`")]
    UnknownService(String),
    /// The count is outside of what the manifest allows.
    #[error("`{service}` can have {min} to {max} replicas, not {asked}")]
    OutOfRange {
        /// Of which service.
        service: ServiceName,
        /// At least.
        min: u32,
        /// At most.
        max: u32,
        /// What was asked for.
        asked: u32,
    },
    /// A rollout of the service is under way.
    #[error("a rollout of `{service}` is under way: wait for it, or end it with `isles rollback {service}`")]
    UnderWay {
        /// Of which service.
        service: ServiceName,
    },
    /// There is nothing to promote or to go back to.
    #[error("{0}")]
    Nothing(String),
    /// The app is ending.
    #[error("the app is stopping")]
    Stopping,
    /// The wish could not be recorded.
    #[error("{0}")]
    Store(String),
}

/// A running control plane. Dropping it leaves services and data plane running, as killing it does.
pub struct Control {
    world: Arc<World>,
    status: watch::Receiver<Arc<Status>>,
    data_plane: tokio::sync::Mutex<Option<JoinHandle<DataPlaneLoop>>>,
    data_plane_stop: CancellationToken,
    loops: tokio::sync::Mutex<Vec<JoinHandle<()>>>,
    _lock: Lock,
}

impl Control {
    /// Takes over or starts everything, and returns when the way in is open; services go on starting after that.
    pub async fn start(mut desired: DesiredState, options: Options) -> Result<Self, StartError> {
        let paths = Paths::new(&desired.root);
        let io = |what: &str| {
            let what = what.to_owned();
            move |source| StartError::Io { what, source }
        };
        paths.create().map_err(io("the state folder .isles cannot be made"))?;
        let lock = Lock::take_soon(&paths.lock()).await?;
        let store = Arc::new(Store::open(&paths.database())?);
        let running = proxy::link::path::connect(&paths.proxy_socket()).await.is_ok();
        open_port(&mut desired, &store, running)?;
        let edges = edge_addresses(&desired, options.sagas.as_ref(), &store.edges()?)
            .map_err(io("no address for an edge"))?;
        store.set_edges(&edges)?;
        let supervisor =
            Supervisor::new(supervisor::Options { logs: paths.logs(), log_limit: 8 << 20, log_files: 3 })
                .map_err(io("output cannot be captured"))?;
        let recorded = store.replicas()?;
        let (scales, restarts) = (store.scales()?, store.restarts()?);
        let releases = Releases::new(paths.releases());
        releases.sweep();
        let deployments = deploy::at_start(&desired, store.deployments()?, now());
        for (service, deployment) in &deployments {
            store.set_deployment(service, deployment)?;
        }
        let world = Arc::new(World {
            deployments: State::new(Arc::new(deployments)),
            deploying: tokio::sync::Mutex::new(()),
            releases,
            builds: State::new(BTreeMap::new()),
            signals: State::new(Arc::default()),
            desired: Arc::new(desired),
            paths,
            program: options.program,
            build: options.build,
            sagas: options.sagas,
            store,
            supervisor,
            wishes: State::new(Wishes { scales, restarts }),
            edges: State::new(Arc::new(edges)),
            data_plane: State::new(DataPlane::default()),
            traffic: Traffic::default(),
            mode: State::new(Mode::Open),
            stop: CancellationToken::new(),
        });
        adopt(&world, &recorded).await;
        let data_plane_stop = CancellationToken::new();
        let data_plane = open_data_plane(&world, &data_plane_stop).await?;
        let loops = start_loops(&world, recorded, options.gate);
        Ok(Self {
            loops: tokio::sync::Mutex::new(loops),
            status: watch_status(&world),
            world,
            data_plane: tokio::sync::Mutex::new(Some(data_plane)),
            data_plane_stop,
            _lock: lock,
        })
    }

    /// How everything is, with every change.
    pub fn status(&self) -> watch::Receiver<Arc<Status>> {
        self.status.clone()
    }

    /// What happens between services, and spans.
    pub fn traffic(&self) -> &Traffic {
        &self.world.traffic
    }

    /// Captured output as it comes.
    pub fn supervisor(&self) -> &Supervisor {
        &self.world.supervisor
    }

    /// Where the app keeps its state.
    pub fn paths(&self) -> &Paths {
        &self.world.paths
    }

    /// Where sagas reach the services that they call, and every change of it.
    pub fn saga_callees(&self) -> watch::Receiver<Arc<BTreeMap<String, SocketAddr>>> {
        let of = |edges: &BTreeMap<EdgeKey, SocketAddr>| {
            let own = edges.iter().filter(|((caller, _), _)| *caller == *SAGAS);
            let own = own.map(|((_, callee), address)| (callee.to_string(), *address));
            Arc::new(own.collect::<BTreeMap<String, SocketAddr>>())
        };
        let mut edges = self.world.edges.subscribe();
        let (sender, receiver) = watch::channel(of(&edges.borrow_and_update()));
        tokio::spawn(async move {
            while edges.changed().await.is_ok() {
                let now = of(&edges.borrow_and_update().clone());
                sender.send_if_modified(|old| std::mem::replace(old, Arc::clone(&now)) != now);
            }
        });
        receiver
    }

    /// Gives a service another number of replicas.
    pub async fn scale(&self, service: &str, replicas: u32) -> Result<(), Refused> {
        let spec = self.service(service)?;
        // A plain number is where a service begins; only a range in the manifest bounds what may be asked for.
        let range = spec.scale.min < spec.scale.max;
        let (min, max) = if range { (spec.scale.min, spec.scale.max) } else { (0, MOST_REPLICAS) };
        if !(min..=max).contains(&replicas) {
            return Err(Refused::OutOfRange { service: spec.name.clone(), min, max, asked: replicas });
        }
        let (store, name) = (self.world.store.clone(), spec.name.clone());
        let stored = tokio::task::spawn_blocking(move || store.set_scale(&name, replicas)).await;
        match stored {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(Refused::Store(error.to_string())),
            Err(error) => return Err(Refused::Store(error.to_string())),
        }
        self.world.wishes.update(|wishes| {
            wishes.scales.insert(spec.name.clone(), replicas);
        });
        Ok(())
    }

    /// Replaces every replica of a service by a new one, one at a time; a failed build or `before_start` is tried again.
    pub async fn restart(&self, service: &str) -> Result<(), Refused> {
        let name = &self.service(service)?.name;
        order_restart(&self.world, name).map_err(|e| Refused::Store(e.to_string()))?;
        deploy::again(&self.world, name).await
    }

    /// Builds a service and begins to bring what comes of it into charge. Gives the rollout's number.
    pub async fn deploy(&self, service: &str, order: DeployOrder) -> Result<u64, Refused> {
        deploy::begin(&self.world, self.service(service)?, order).await
    }

    /// Goes back: from a rollout under way to the release before it, else to `release`, or the one that was in charge
    /// before. Gives the rollout's number.
    pub async fn rollback(&self, service: &str, release: Option<&str>) -> Result<u64, Refused> {
        deploy::back(&self.world, self.service(service)?, release).await
    }

    /// Takes a canary that is under way into charge, whatever step it is at. Gives the rollout's number.
    pub async fn promote(&self, service: &str) -> Result<u64, Refused> {
        deploy::promote(&self.world, self.service(service)?).await
    }

    /// The releases of a service that are kept, and its rollouts; the latest first.
    pub async fn releases(&self, service: &str) -> Result<(Vec<Release>, Vec<Rollout>), Refused> {
        let name = self.service(service)?.name.clone();
        let (releases, store) = (self.world.releases.clone(), self.world.store.clone());
        let read = tokio::task::spawn_blocking(move || (releases.list(&name), store.rollouts(&name)));
        let (releases, rollouts) = read.await.map_err(|e| Refused::Store(e.to_string()))?;
        Ok((releases, rollouts.map_err(|e| Refused::Store(e.to_string()))?))
    }

    fn service(&self, name: &str) -> Result<&model::ServiceSpec, Refused> {
        if self.world.mode.get() != Mode::Open {
            return Err(Refused::Stopping);
        }
        self.world.desired.services.get(name).ok_or_else(|| Refused::UnknownService(name.to_owned()))
    }

    /// Ends everything in order: the way in, then the services once nothing is in flight, then the data plane.
    pub async fn stop(&self) {
        let Some(data_plane) = self.data_plane.lock().await.take() else { return };
        self.world.mode.set(Mode::Closing);
        rollouts::abandon(&self.world).await;
        let mut state = self.world.data_plane.subscribe();
        let quiet = state.wait_for(|d| !d.open && d.in_flight.is_empty());
        let services = self.world.desired.services.values();
        let limit =
            services.map(|s| self.world.longest_request(s)).max().unwrap_or_default().max(CLOSE_LIMIT);
        let _ = tokio::time::timeout(limit, quiet).await;
        self.world.mode.set(Mode::Stopping);
        let mut observed = self.world.supervisor.observed();
        // The supervisor lives as long as `self.world`, so this ends when the last replica has.
        let _ = observed.wait_for(|o| o.replicas.is_empty()).await;
        self.data_plane_stop.cancel();
        if let Ok(data_plane) = data_plane.await {
            data_plane.shut_down().await;
        }
        self.end(Duration::from_secs(1)).await;
    }

    /// Kills everything at once.
    pub async fn kill(&self) {
        self.world.mode.set(Mode::Stopping);
        self.data_plane_stop.cancel();
        self.end(Duration::ZERO).await;
    }

    /// Ends the loops, and after them whatever they had still begun.
    async fn end(&self, grace: Duration) {
        self.world.stop.cancel();
        for task in self.loops.lock().await.drain(..) {
            // One that panicked has ended too.
            let _ = task.await;
        }
        while end_marked(&self.world.paths, &BTreeSet::new(), grace).await > 0 {}
        if let Err(error) = self.world.store.forget_run(now()) {
            tracing::warn!("the end of the run could not be recorded: {error}");
        }
    }
}

/// A gateway with port 0 gets a free one, and keeps it for as long as a data plane listens there, or could.
fn open_port(desired: &mut DesiredState, store: &Store, running: bool) -> Result<(), StartError> {
    let Some(gateway) = desired.gateway.as_mut().filter(|g| g.listen.port() == 0) else { return Ok(()) };
    let usable = |a: &SocketAddr| running || std::net::TcpListener::bind(a).is_ok();
    let known = store.gateway()?.filter(|a| a.ip() == gateway.listen.ip() && usable(a));
    gateway.listen = match known {
        Some(address) => address,
        None => {
            let free = ports::free(&BTreeSet::new());
            let free =
                free.map_err(|source| StartError::Io { what: "no port for the gateway".to_owned(), source })?;
            SocketAddr::new(gateway.listen.ip(), free.port())
        }
    };
    Ok(store.set_gateway(gateway.listen)?)
}

/// Each edge keeps the address that it had: a service that runs on has it in its environment.
fn edge_addresses(
    desired: &DesiredState,
    sagas: Option<&Sagas>,
    known: &BTreeMap<EdgeKey, SocketAddr>,
) -> std::io::Result<BTreeMap<EdgeKey, SocketAddr>> {
    // What the manifest fixes is nobody else's, however long somebody else has had it.
    let gateway = desired.gateway.iter().map(|g| g.listen);
    let fixed: BTreeSet<SocketAddr> = desired.edges().filter_map(|e| e.call.listen).chain(gateway).collect();
    let mut taken: BTreeSet<SocketAddr> = known.values().chain(&fixed).copied().collect();
    let mut edges = BTreeMap::new();
    for edge in desired.edges() {
        let key = (edge.caller.name.clone(), edge.call.callee.clone());
        let address = match (edge.call.listen, known.get(&key)) {
            (Some(fixed), _) => fixed,
            (None, Some(address)) if !fixed.contains(address) => *address,
            (None, _) => ports::free(&taken)?,
        };
        taken.insert(address);
        edges.insert(key, address);
    }
    for key in sagas.map(|s| saga_edges(desired, s)).unwrap_or_default() {
        let known = known.get(&key).filter(|a| !fixed.contains(a));
        let address = known.copied().map_or_else(|| ports::free(&taken), Ok)?;
        taken.insert(address);
        edges.insert(key, address);
    }
    // What is no longer declared stays for the processes that were told its address; `data_plane` lets it go after them.
    for (key, address) in known {
        if desired.services.contains_key(&key.0) && !fixed.contains(address) {
            edges.entry(key.clone()).or_insert(*address);
        }
    }
    Ok(edges)
}

/// From every service to sagas, and from sagas to those that they call.
fn saga_edges(desired: &DesiredState, sagas: &Sagas) -> Vec<EdgeKey> {
    let to = desired.services.keys().map(|service| (service.clone(), SAGAS.clone()));
    let from = sagas.callees.iter().filter(|c| desired.services.contains_key(*c));
    to.chain(from.map(|callee| (SAGAS.clone(), callee.clone()))).collect()
}

/// Takes over the replicas that a former control plane recorded, and ends every other process of the app.
async fn adopt(world: &World, recorded: &ObservedState) {
    let adoptions = recorded.replicas.iter().filter_map(|(id, state)| {
        let service = world.desired.services.get(&id.service)?;
        state.process?;
        let release = world.releases.open(&id.service, &state.release).ok();
        let spec = release.as_ref().map_or(service, |release| &release.spec);
        let spec = ReplicaSpec {
            id: id.clone(),
            release: state.release.clone(),
            address: state.address,
            argv: vec![],
            dir: spec.dir.clone(),
            env: BTreeMap::new(),
            health: spec.health.clone(),
            stop: spec.stop,
        };
        Some(adopt_one(world, spec, state))
    });
    let adopted: BTreeSet<u32> =
        futures_util::future::join_all(adoptions).await.into_iter().flatten().collect();
    let spare = adopted.into_iter().chain(data_planes(world).await).collect();
    let ended = end_marked(&world.paths, &spare, Duration::from_secs(5)).await;
    if ended > 0 {
        tracing::info!("ended {ended} processes of a former run that belong to no replica");
    }
}

/// The processes of data planes that are not to be ended: all of them while one answers, because another may be about to
/// take its place, and each of them ends by itself once it is of no use; else those that have been replaced.
async fn data_planes(world: &World) -> Vec<u32> {
    use proxy::link::{Client, path};
    let socket = world.paths.proxy_socket();
    if let Ok((_, hello)) = Client::connect(&socket).await {
        let all = process::marked(&world.paths.proxy_mark());
        return all.into_iter().map(|p| p.pid).chain([hello.pid]).collect();
    }
    let others = path::others(&socket).into_iter().map(async |own| Client::connect(&own).await.ok());
    let others = futures_util::future::join_all(others).await;
    others.into_iter().flatten().filter(|(_, hello)| hello.retired).map(|(_, hello)| hello.pid).collect()
}

/// Gives the pid of a replica that lives and is ours now.
async fn adopt_one(world: &World, spec: ReplicaSpec, state: &ReplicaState) -> Option<u32> {
    let id = spec.id.clone();
    if !world.supervisor.adopt(spec, state.clone()).await {
        return None;
    }
    if state.phase == Phase::Stopping {
        let supervisor = world.supervisor.clone();
        tokio::spawn(async move { supervisor.stop(&id).await });
    }
    state.process.filter(process::alive).map(|p| p.pid)
}

/// Starts the loop that keeps the data plane, and waits until the gateway is open.
async fn open_data_plane(
    world: &Arc<World>,
    stop: &CancellationToken,
) -> Result<JoinHandle<DataPlaneLoop>, StartError> {
    let wake = Arc::new(Notify::new());
    let mut looped = DataPlaneLoop::new(world.clone(), wake.clone());
    looped.reconcile().await;
    let failed = world.data_plane.get().failed;
    if !failed.is_empty() {
        move_edges(world, &failed)?;
        looped.reconcile().await;
    }
    let state = world.data_plane.get();
    if state.version.is_none() {
        return Err(StartError::DataPlane(state.error.unwrap_or_else(|| "it does not answer".to_owned())));
    }
    if let Some((address, reason)) = state.failed.into_iter().next() {
        if world.observed().replicas.is_empty() {
            looped.shut_down().await;
            return Err(StartError::Listen { address, reason });
        }
        // Something runs: an address that cannot be had is no reason to take the rest down with it.
        tracing::error!("isles cannot listen on {address}: {reason}; it is tried again and again");
    }
    wake_on(world.supervisor.observed(), &wake, stop);
    wake_on(world.edges.subscribe(), &wake, stop);
    wake_on(world.deployments.subscribe(), &wake, stop);
    wake_on(world.mode.subscribe(), &wake, stop);
    Ok(tokio::spawn(drive(looped, wake, stop.clone())))
}

/// Orders new processes for a service, also from whoever comes after this control plane.
fn order_restart(world: &World, service: &ServiceName) -> Result<(), StoreError> {
    let at = now();
    world.store.set_restart(service, at)?;
    world.wishes.update(|wishes| {
        wishes.restarts.insert(service.clone(), at);
    });
    Ok(())
}

/// Gives new addresses to edges whose address somebody took, and new processes to those who were told the old one.
///
/// An address that the manifest fixes stays: it is reported.
fn move_edges(world: &World, failed: &BTreeMap<SocketAddr, String>) -> Result<(), StartError> {
    let fixed: BTreeSet<SocketAddr> = world.desired.edges().filter_map(|e| e.call.listen).collect();
    let mut edges = BTreeMap::clone(&world.edges.get());
    let mut taken: BTreeSet<SocketAddr> = edges.values().copied().chain(failed.keys().copied()).collect();
    for ((caller, _), address) in
        edges.iter_mut().filter(|(_, a)| failed.contains_key(a) && !fixed.contains(a))
    {
        let free = ports::free(&taken);
        *address =
            free.map_err(|source| StartError::Io { what: "no address for an edge".to_owned(), source })?;
        taken.insert(*address);
        order_restart(world, caller)?;
    }
    world.store.set_edges(&edges)?;
    world.edges.set(Arc::new(edges));
    Ok(())
}

fn start_loops(world: &Arc<World>, recorded: ObservedState, gate: Arc<dyn Gate>) -> Vec<JoinHandle<()>> {
    let wake = Arc::new(Notify::new());
    wake_on(world.supervisor.observed(), &wake, &world.stop);
    let record = Record { world: world.clone(), written: Arc::new(recorded) };
    let record = tokio::spawn(run(record, wake, world.stop.clone()));

    let wake = Arc::new(Notify::new());
    wake_on(world.supervisor.observed(), &wake, &world.stop);
    wake_on(world.wishes.subscribe(), &wake, &world.stop);
    wake_on(world.deployments.subscribe(), &wake, &world.stop);
    wake_on(world.data_plane.subscribe(), &wake, &world.stop);
    wake_on(world.mode.subscribe(), &wake, &world.stop);
    let replicas = tokio::spawn(run(Replicas::new(world.clone()), wake, world.stop.clone()));

    let wake = Arc::new(Notify::new());
    wake_on(world.supervisor.observed(), &wake, &world.stop);
    wake_on(world.wishes.subscribe(), &wake, &world.stop);
    wake_on(world.deployments.subscribe(), &wake, &world.stop);
    wake_on(world.data_plane.subscribe(), &wake, &world.stop);
    wake_on(world.signals.subscribe(), &wake, &world.stop);
    let jobs = Jobs::new(world.clone(), gate, wake.clone());
    let rollouts = tokio::spawn(run(Rollouts::new(world.clone(), jobs), wake, world.stop.clone()));
    vec![record, replicas, rollouts]
}

async fn run(reconciler: impl Reconciler, wake: Arc<Notify>, stop: CancellationToken) {
    drive(reconciler, wake, stop).await;
}

/// Derives the status anew whenever anything that it is derived from changes.
fn watch_status(world: &Arc<World>) -> watch::Receiver<Arc<Status>> {
    let wake = Arc::new(Notify::new());
    wake_on(world.supervisor.observed(), &wake, &world.stop);
    wake_on(world.wishes.subscribe(), &wake, &world.stop);
    wake_on(world.deployments.subscribe(), &wake, &world.stop);
    wake_on(world.builds.subscribe(), &wake, &world.stop);
    wake_on(world.data_plane.subscribe(), &wake, &world.stop);
    wake_on(world.mode.subscribe(), &wake, &world.stop);
    let (sender, receiver) = watch::channel(Arc::new(derive_status(world, false)));
    let world = world.clone();
    tokio::spawn(async move {
        while world.stop.run_until_cancelled(wake.notified()).await.is_some() {
            let was_ready = sender.borrow().was_ready;
            let status = Arc::new(derive_status(&world, was_ready));
            sender.send_if_modified(|old| {
                let changed = *old != status;
                *old = status;
                changed
            });
        }
    });
    receiver
}

fn derive_status(world: &World, was_ready: bool) -> Status {
    let (observed, builds) = (world.observed(), world.builds.get());
    let service = |spec: &model::ServiceSpec| {
        let building = builds.get(&spec.name).copied().unwrap_or_default();
        let (deployment, wanted) = (world.deployment(&spec.name), world.replicas_wanted(spec));
        let status = status::service(spec, wanted, &deployment, building, &observed, was_ready);
        (spec.name.clone(), status)
    };
    let mut status = Status {
        desired: world.desired.clone(),
        mode: world.mode.get(),
        data_plane: world.data_plane.get(),
        services: world.desired.services.values().map(service).collect(),
        was_ready,
    };
    status.was_ready = was_ready || status.ready();
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{desired, service};

    #[test]
    fn an_address_that_the_manifest_fixes_is_taken_from_whoever_had_it() {
        let fixed: SocketAddr = "127.0.0.2:8080".parse().unwrap();
        let mut storefront = service("storefront", &["catalogue"]);
        storefront.calls[0].listen = Some(fixed);
        let orders = service("orders", &["catalogue"]);
        let desired = desired([orders, storefront, service("catalogue", &[])]);
        let key = |caller: &str| (caller.parse().unwrap(), "catalogue".parse().unwrap());
        let known = [(key("orders"), fixed)].into();
        let edges = edge_addresses(&desired, None, &known).unwrap();
        assert_eq!(edges[&key("storefront")], fixed);
        assert_ne!(edges[&key("orders")], fixed);

        let again = edge_addresses(&desired, None, &edges).unwrap();
        assert_eq!(again, edges, "what an edge has, it keeps");
    }

    #[test]
    fn an_edge_outlives_its_declaration_but_not_its_caller() {
        let both = desired([service("web", &["api"]), service("jobs", &["api"]), service("api", &[])]);
        let known = edge_addresses(&both, None, &BTreeMap::new()).unwrap();
        let less = desired([service("web", &[]), service("api", &[])]);
        let kept = edge_addresses(&less, None, &known).unwrap();
        let key = ("web".parse().unwrap(), "api".parse().unwrap());
        assert_eq!(kept, [(key.clone(), known[&key])].into());
    }
}

//! The control plane as a whole: adopt what runs, start the loops, take wishes, end in order.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use model::{DesiredState, ServiceName, ServiceSpec};
use planner::rollout::Rollout;
use supervisor::{Mask, Supervisor};
use telemetry::{History, Limits, Metrics, Points, TraceLimits, Traces};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::adopt::adopt;
use crate::change::{Change, changes};
use crate::cleanup::end_marked;
use crate::deploy::{self, DeployOrder};
use crate::edges::{edge_addresses, keep_port, open_port};
use crate::gate::Gate;
use crate::inner::{Inner, SAGAS};
use crate::lock::{Lock, LockError};
use crate::loops::{open_data_plane, start_loops, watch_status};
use crate::metrics;
use crate::paths::Paths;
use crate::reconcile::data_plane::DataPlaneLoop;
use crate::reconcile::rollouts;
use crate::release::{Release, Releases};
use crate::status::Status;
use crate::store::{EdgeKey, Store, StoreError};
use crate::told::aside;
use crate::traffic::Traffic;
use crate::usage::{self, Usage, Used};
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
    /// What Isles itself offers to services.
    pub inner: Inner,
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
    /// A store of telemetry failed.
    #[error(transparent)]
    Metrics(#[from] telemetry::StoreError),
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
    /// It cannot be done while the app runs.
    #[error("{0}")]
    Impossible(String),
    /// The app is ending.
    #[error("the app is stopping")]
    Stopping,
    /// The wish could not be recorded.
    #[error("{0}")]
    Store(String),
}

/// A running control plane. Dropping it leaves services and data plane running, as killing it does.
pub struct Control {
    pub(crate) world: Arc<World>,
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
        let edges = edge_addresses(&desired, &options.inner, &store.edges()?)
            .map_err(io("no address for an edge"))?;
        store.set_edges(&edges)?;
        let mask = Mask::default();
        let kept =
            supervisor::Options { logs: paths.logs(), log_limit: 8 << 20, log_files: 3, mask: mask.clone() };
        let supervisor = Supervisor::new(kept).map_err(io("output cannot be captured"))?;
        let recorded = store.replicas()?;
        let (scales, restarts) = (store.scales()?, store.restarts()?);
        let metrics = metrics::open(&paths.metrics(), |path| Metrics::open(path, Limits::default()))?;
        let history = metrics::open(&paths.measured(), |path| History::open(path, metrics::MEASURED))?;
        let traces = metrics::open(&paths.traces(), |path| Traces::open(path, TraceLimits::default()))?;
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
            desired: State::new(Arc::new(desired)),
            paths,
            program: options.program,
            build: options.build,
            inner: options.inner,
            store,
            supervisor,
            mask,
            wishes: State::new(Wishes { scales, restarts }),
            edges: State::new(Arc::new(edges)),
            data_plane: State::new(DataPlane::default()),
            demand: State::new(Arc::default()),
            cold_starts: State::new(BTreeMap::new()),
            traffic: Traffic::default(),
            metrics: Arc::new(metrics),
            traces: Arc::new(traces),
            points: Points::default(),
            history: Arc::new(history),
            usage: Usage::default(),
            operations: State::new(Arc::default()),
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

    /// What was called of a service within the last `days`, and what could have been.
    pub async fn usage(&self, service: &str, days: u64) -> Result<Used, Refused> {
        let (name, world) = (self.service(service)?.name, self.world.clone());
        let operations =
            world.operations.get().get(&name).map(|known| known.all.to_vec()).unwrap_or_default();
        let within = Duration::from_secs(days.saturating_mul(24 * 60 * 60));
        let desired = world.desired.get();
        let routes = desired.gateway.iter().flat_map(|gateway| &gateway.routes).filter(|r| r.service == name);
        let routes: Vec<String> = routes.map(|route| crate::routes::route(route).name()).collect();
        let rows = aside(move || usage::of(&world, &name, within)).await?;
        Ok(rows.used(operations, routes.into_iter()))
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
        self.world.scale(&spec.name, replicas).await.map_err(|e| Refused::Store(e.to_string()))
    }

    /// Replaces every replica of a service by a new one, one at a time; a failed build or `before_start` is tried again.
    pub async fn restart(&self, service: &str) -> Result<(), Refused> {
        let name = &self.service(service)?.name;
        self.world.order_restart(name).map_err(|e| Refused::Store(e.to_string()))?;
        deploy::again(&self.world, name).await
    }

    /// What would be different if the app were declared like this.
    pub fn plan(&self, mut declared: DesiredState) -> Vec<Change> {
        let before = self.world.desired.get();
        keep_port(&mut declared, &before);
        changes(&before, &declared)
    }

    /// Puts another declaration in force, of the services in `only` alone if there are any; builds these, or all, and begins to
    /// bring what comes of it into charge. Gives what is different, and the number of each rollout.
    pub async fn deploy(
        &self,
        declared: DesiredState,
        only: &BTreeSet<ServiceName>,
        order: DeployOrder,
    ) -> Result<(Vec<Change>, BTreeMap<ServiceName, u64>), Refused> {
        if self.world.mode.get() != Mode::Open {
            return Err(Refused::Stopping);
        }
        deploy::apply(&self.world, declared, only, order).await
    }

    /// Goes back: from a rollout under way to the release before it, else to `release`, or the one that was in charge
    /// before. Gives the rollout's number.
    pub async fn rollback(&self, service: &str, release: Option<&str>) -> Result<u64, Refused> {
        deploy::back(&self.world, &self.service(service)?, release).await
    }

    /// Takes a canary that is under way into charge, whatever step it is at. Gives the rollout's number.
    pub async fn promote(&self, service: &str) -> Result<u64, Refused> {
        deploy::promote(&self.world, &self.service(service)?).await
    }

    /// The releases of a service that are kept, and its rollouts; the latest first.
    pub async fn releases(&self, service: &str) -> Result<(Vec<Release>, Vec<Rollout>), Refused> {
        let name = self.service(service)?.name;
        let (releases, store) = (self.world.releases.clone(), self.world.store.clone());
        aside(move || store.rollouts(&name).map(|rollouts| (releases.list(&name), rollouts))).await
    }

    pub(crate) fn service(&self, name: &str) -> Result<ServiceSpec, Refused> {
        if self.world.mode.get() != Mode::Open {
            return Err(Refused::Stopping);
        }
        let known = self.world.desired.get().services.get(name).cloned();
        known.ok_or_else(|| Refused::UnknownService(name.to_owned()))
    }

    /// Ends everything in order: the way in, then the services once nothing is in flight, then the data plane.
    pub async fn stop(&self) {
        let Some(data_plane) = self.data_plane.lock().await.take() else { return };
        self.world.mode.set(Mode::Closing);
        rollouts::abandon(&self.world).await;
        let mut state = self.world.data_plane.subscribe();
        let quiet = state.wait_for(|d| !d.open && d.in_flight.is_empty());
        let desired = self.world.desired.get();
        let services = desired.services.values();
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

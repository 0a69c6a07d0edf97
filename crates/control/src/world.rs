//! What the reconcilers share: one `watch` for each piece of state, each with one writer.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use model::shapes::ShapesFile;
use model::{
    DesiredState, ObservedState, Phase, ProcessId, ReleaseId, ReplicaId, ServiceName, ServiceSpec, Share,
};
use planner::rollout::Deployment;
use proxy::link::Signals;
use supervisor::{Mask, Supervisor};
use telemetry::{History, Metrics, Points, Traces};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::inner::Inner;
use crate::paths::Paths;
use crate::release::Releases;
use crate::secrets;
use crate::store::{EdgeKey, Store, StoreError};
use crate::traffic::Traffic;
use crate::usage::Usage;

/// Everything a reconciler may look at or act on.
pub struct World {
    /// What the user declared. Written by [`crate::Control`].
    pub desired: State<Arc<DesiredState>>,
    /// Where the app keeps its state.
    pub paths: Paths,
    /// The `isles` program, which is the data plane too.
    pub program: PathBuf,
    /// Whether services are built before they are started.
    pub build: bool,
    /// What Isles itself offers to services.
    pub inner: Inner,
    /// What outlives this process.
    pub store: Arc<Store>,
    /// Processes. Its `observed()` is the observed state.
    pub supervisor: Supervisor,
    /// What is taken out of all that services write or tell. Added to before a process that knows it starts or is adopted.
    pub mask: Mask,
    /// What was asked for, by hand or by the load. Written by the API and by `autoscale`.
    pub wishes: State<Wishes>,
    /// What each service is to run, and how it gets there. Written through [`World::deploy`].
    pub deployments: State<Arc<BTreeMap<ServiceName, Deployment>>>,
    /// Held by whoever is about to change a deployment.
    pub deploying: tokio::sync::Mutex<()>,
    /// What services run from.
    pub releases: Releases,
    /// How far the build of each service is. Written by `rollouts`.
    pub builds: State<BTreeMap<ServiceName, Building>>,
    /// The address of every edge. Written by `data_plane`.
    pub edges: State<Arc<BTreeMap<EdgeKey, SocketAddr>>>,
    /// The data plane. Written by `data_plane`.
    pub data_plane: State<DataPlane>,
    /// What is asked of each service. Written by `data_plane`.
    pub demand: State<Arc<Demand>>,
    /// How long each service took the last time from the first request that waited to the first replica. Written by `autoscale`.
    pub cold_starts: State<BTreeMap<ServiceName, Duration>>,
    /// What happens between services. Written by `data_plane`.
    pub traffic: Traffic,
    /// Calls of every edge over time. Written by `data_plane`.
    pub metrics: Arc<Metrics>,
    /// Spans. Written by `data_plane` and by [`crate::intake`].
    pub traces: Arc<Traces>,
    /// What services measure themselves. Written by [`crate::intake`].
    pub points: Points,
    /// What they measured before. Written by [`crate::intake`].
    pub history: Arc<History>,
    /// Which operations are called. Written by `data_plane`.
    pub usage: Usage,
    /// What each service can be asked for, by the contract of the release in charge. Written by `contracts`.
    pub operations: State<Arc<BTreeMap<ServiceName, Operations>>>,
    /// Whether the app is to run. Written by [`crate::Control`].
    pub mode: State<Mode>,
    /// What the data plane has counted, while releases are compared. Written by `data_plane`.
    pub signals: State<Arc<Reading>>,
    /// Ends every reconciler.
    pub stop: CancellationToken,
}

/// The operations of a release's contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operations {
    /// Which release.
    pub release: ReleaseId,
    /// All of them.
    pub all: Arc<Vec<model::Operation>>,
    /// What requests and answers of them are to be like, where that is known.
    pub shapes: Option<ShapesFile>,
}

/// A piece of state that can be waited for.
///
/// It is only ever copied out, never borrowed: a `watch` is a read-write lock underneath, and whoever looks at one
/// state while holding another (or the same one again, with a writer waiting in between) can stop everything.
#[derive(Debug)]
pub struct State<T>(watch::Sender<T>);

impl<T: Clone + PartialEq> State<T> {
    /// With this value.
    pub fn new(value: T) -> Self {
        Self(watch::Sender::new(value))
    }

    /// A copy of the value as it is now.
    pub fn get(&self) -> T {
        self.0.borrow().clone()
    }

    /// Changes the value, one writer at a time; wakes nobody where it stays the same. `change` must not look at any
    /// state.
    pub fn update(&self, change: impl FnOnce(&mut T)) {
        self.0.send_if_modified(|value| {
            let before = value.clone();
            change(value);
            *value != before
        });
    }

    /// Replaces the value; wakes nobody where it stays the same.
    pub fn set(&self, value: T) {
        self.update(|old| *old = value);
    }

    /// For those who wait for changes.
    pub fn subscribe(&self) -> watch::Receiver<T> {
        self.0.subscribe()
    }
}

/// What is asked of services at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Demand {
    /// The moment: Unix milliseconds; 0 before the first.
    pub at: u64,
    /// Requests in flight at each, those that wait for a replica included.
    pub in_flight: BTreeMap<ServiceName, u64>,
    /// Requests that replicas of each have had. A replica that leaves takes its own along.
    pub requests: BTreeMap<ServiceName, u64>,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wishes {
    /// Replica counts in place of the manifest's.
    pub scales: BTreeMap<ServiceName, u32>,
    /// Replicas older than this (Unix milliseconds) are to be replaced.
    pub restarts: BTreeMap<ServiceName, u64>,
}

/// How far the build of a service is, while there is a rollout at that stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Building {
    /// It waits for others.
    #[default]
    Waiting,
    /// It runs.
    Runs,
    /// It has ended, and what it made is read and copied.
    Copied,
}

/// The data plane as it was heard of last.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DataPlane {
    /// Its process.
    pub process: Option<ProcessId>,
    /// The version of the table in force; `None` before the first, or while it cannot be asked.
    pub version: Option<u64>,
    /// Whether that table lets requests in from outside.
    pub open: bool,
    /// The replicas that were draining when that table was made, so that it certainly leaves them out.
    pub let_go: BTreeSet<ReplicaId>,
    /// How that table divides requests among releases.
    pub shares: BTreeMap<ServiceName, Vec<Share>>,
    /// Requests in flight for each replica, those that left the table and those in retired data planes included.
    pub in_flight: BTreeMap<ReplicaId, u64>,
    /// Data planes that this one, or one before it, has replaced and that still run, each with what it has in flight.
    pub retired: Vec<(ProcessId, u64)>,
    /// Why this one, though of another build than the control plane, is not replaced.
    pub not_replaced: Option<String>,
    /// Addresses it could not listen on, each with the reason.
    pub failed: BTreeMap<SocketAddr, String>,
    /// How systems outside are found.
    pub outside: BTreeMap<ServiceName, Outside>,
    /// Edges whose circuit is not closed.
    pub open_circuits: BTreeSet<EdgeKey>,
    /// What has to be looked after at addresses it listens on, such as a certificate that cannot be used.
    pub problems: BTreeMap<SocketAddr, String>,
    /// Why there is no data plane, when there is none.
    pub error: Option<String>,
}

/// How a system outside is found.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outside {
    /// Its addresses as they were found last.
    pub addresses: Vec<SocketAddr>,
    /// Why it cannot be called, or why what is known may be out of date.
    pub trouble: Option<String>,
}

/// What the data plane had counted at one moment: the counts themselves, since a comparison has a beginning of its own and
/// may last longer than the history of [`Traffic`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reading {
    /// The moment: Unix milliseconds.
    pub at: u64,
    /// The counts.
    pub signals: Signals,
}

/// Whether the app is to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// It runs.
    Open,
    /// Nothing new comes in; what is in flight ends.
    Closing,
    /// Every process ends.
    Stopping,
}

impl World {
    /// Something happened to a service, for the timeline.
    pub fn happened(&self, kind: &str, service: &ServiceName, text: &str) {
        let (kind, text) = (kind.to_owned(), text.to_owned());
        self.metrics.happened(telemetry::Event { at: now(), kind, service: Some(service.to_string()), text });
    }

    /// From now on nobody reads what this service was told in confidence.
    pub fn hide_secrets_of(&self, service: &ServiceSpec) {
        self.mask.add(secrets::of(service, &self.paths).iter().map(String::as_str));
    }

    /// The replicas as they are now.
    pub fn observed(&self) -> Arc<ObservedState> {
        self.supervisor.observed().borrow().clone()
    }

    /// What a service is to run, and how it gets there.
    pub fn deployment(&self, service: &ServiceName) -> Deployment {
        self.deployments.get().get(service).cloned().unwrap_or_default()
    }

    /// Since when releases are compared with others, the last of them; none where none is.
    pub fn compares_since(&self) -> Option<u64> {
        let deployments = self.deployments.get();
        deployments.values().flat_map(|d| &d.rollout).filter_map(|rollout| rollout.watching).max()
    }

    /// Whether some service has no replica until somebody asks for it.
    pub fn sleeps(&self) -> bool {
        let desired = self.desired.get();
        let mut services = desired.services.values().filter(|service| service.scale.to_zero());
        services.any(|service| self.replicas_wanted(service) == 0)
    }

    /// Orders new processes for a service, also from whoever comes after this control plane.
    pub fn order_restart(&self, service: &ServiceName) -> Result<(), StoreError> {
        let at = now();
        self.store.set_restart(service, at)?;
        self.wishes.update(|wishes| {
            wishes.restarts.insert(service.clone(), at);
        });
        Ok(())
    }

    /// Records a deployment, and puts it into force. [`World::deploying`] has to be held since the one before was read.
    pub async fn deploy(&self, service: &ServiceName, deployment: Deployment) -> Result<(), StoreError> {
        let (store, name, recorded) = (self.store.clone(), service.clone(), deployment.clone());
        let stored = tokio::task::spawn_blocking(move || store.set_deployment(&name, &recorded)).await;
        stored.map_err(|e| StoreError::Unreadable(e.to_string()))??;
        self.deployments.update(|all| {
            Arc::make_mut(all).insert(service.clone(), deployment);
        });
        Ok(())
    }

    /// How requests are to be divided among the releases of each service.
    pub fn shares(&self, observed: &ObservedState) -> BTreeMap<ServiceName, Vec<Share>> {
        let deployments = self.deployments.get();
        let of = |service: &ServiceSpec| {
            let deployment = deployments.get(&service.name)?;
            let shares = shares(deployment, &service.name, observed, self.replicas_wanted(service));
            Some((service.name.clone(), shares))
        };
        self.desired.get().services.values().filter_map(of).collect()
    }

    /// How long a request to this service may take at most, by whatever way it comes.
    pub fn longest_request(&self, service: &ServiceSpec) -> Duration {
        let desired = self.desired.get();
        let routes = desired.gateway.iter().flat_map(|g| &g.routes);
        let own = routes.filter(|r| r.service == service.name).filter_map(|r| r.timeout);
        own.fold(service.limits.timeout, Duration::max)
    }

    /// How many replicas a service is to have now.
    pub fn replicas_wanted(&self, service: &ServiceSpec) -> u32 {
        if self.mode.get() == Mode::Stopping {
            return 0;
        }
        let scale = &service.scale;
        let asked = self.wishes.get().scales.get(&service.name).copied();
        match asked {
            // What was asked for may be older than the manifest.
            Some(asked) if scale.min < scale.max => asked.clamp(scale.min, scale.max),
            Some(asked) => asked,
            None => scale.initial(),
        }
    }

    /// Gives a service another number of replicas, also for whoever comes after this control plane.
    pub async fn scale(&self, service: &ServiceName, replicas: u32) -> Result<(), StoreError> {
        let (store, name) = (self.store.clone(), service.clone());
        let stored = tokio::task::spawn_blocking(move || store.set_scale(&name, replicas)).await;
        stored.map_err(|e| StoreError::Unreadable(e.to_string()))??;
        self.wishes.update(|wishes| {
            wishes.scales.insert(service.clone(), replicas);
        });
        Ok(())
    }
}

fn shares(
    deployment: &Deployment,
    service: &ServiceName,
    observed: &ObservedState,
    wanted: u32,
) -> Vec<Share> {
    let ready = |release: Option<&ReleaseId>| {
        let mine =
            observed.replicas.iter().filter(|(id, r)| id.service == *service && r.phase == Phase::Ready);
        u32::try_from(mine.filter(|(_, r)| Some(&r.release) == release).count()).unwrap_or(u32::MAX)
    };
    let rollout = deployment.rollout.as_ref();
    let (old, new) = (rollout.and_then(|r| r.from.as_ref()), rollout.and_then(|r| r.to.as_ref()));
    let shares = planner::rollout::shares(deployment, wanted, ready(old), ready(new));
    shares.into_iter().map(|(release, weight)| Share { release, weight }).collect()
}

/// The time, in Unix milliseconds.
pub fn now() -> u64 {
    // Before 1970 the clock is wrong, and 0 is as good as any time.
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

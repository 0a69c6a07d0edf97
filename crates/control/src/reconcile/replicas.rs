//! Wanted and observed replicas -> the planner -> the supervisor.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::{DesiredState, ObservedState, ReleaseId, ReplicaId, ServiceName, ServiceSpec};
use planner::{Step, Traffic, Want};
use supervisor::ReplicaSpec;

use crate::driver::{Outcome, Reconciler};
use crate::environment::{Setting, Unset};
use crate::ports;
use crate::world::{Mode, World, now};

/// How long a replica of a release that is gone may take to finish its requests.
const DRAIN: Duration = Duration::from_secs(10);
/// How long to wait after a start that could not even be tried.
const RETRY: Duration = Duration::from_secs(1);

/// Starts, drains and stops.
pub struct Replicas {
    /// Shared.
    world: Arc<World>,
    /// Those whose `stop` runs: the observed phase may lag behind.
    stopping: Arc<Mutex<HashSet<ReplicaId>>>,
}

impl Replicas {
    /// With nothing under way.
    pub fn new(world: Arc<World>) -> Self {
        Self { world, stopping: Arc::default() }
    }

    fn want(&self, service: &ServiceSpec, observed: &ObservedState) -> Want {
        let ends = self.world.mode.get() == Mode::Stopping;
        let (deployment, replicas) =
            (self.world.deployment(&service.name), self.world.replicas_wanted(service));
        let runs = observed.replicas.keys().any(|id| id.service == service.name);
        let wanted = planner::rollout::want(&deployment, replicas, runs);
        Want {
            service: service.name.clone(),
            release: wanted.release.filter(|_| !ends),
            replicas,
            beside: wanted.beside.filter(|_| !ends),
            not_before: self.world.wishes.get().restarts.get(&service.name).copied().unwrap_or(0),
            drain_limit: self.world.longest_request(service).max(service.stop.grace),
        }
    }

    /// Services that are not declared any more: their replicas finish what they have, and go.
    fn gone(&self, desired: &DesiredState, observed: &ObservedState) -> Vec<Want> {
        let left = observed.replicas.iter().filter(|(id, _)| !desired.services.contains_key(&id.service));
        let mut limits: BTreeMap<ServiceName, Duration> = BTreeMap::new();
        for (id, state) in left {
            let release = self.world.releases.open(&id.service, &state.release);
            let limit =
                release.map_or(DRAIN, |release| release.spec.limits.timeout.max(release.spec.stop.grace));
            let known = limits.entry(id.service.clone()).or_default();
            *known = limit.max(*known);
        }
        let want = |(service, drain_limit)| Want {
            service,
            release: None,
            replicas: 0,
            beside: None,
            not_before: 0,
            drain_limit,
        };
        limits.into_iter().map(want).collect()
    }

    fn traffic(&self) -> Traffic {
        let data_plane = self.world.data_plane.get();
        Traffic { let_go: data_plane.let_go, in_flight: data_plane.in_flight }
    }

    async fn carry_out(&self, service: &ServiceName, step: &Step) -> Result<(), String> {
        match step {
            Step::Start(id, release) => return self.start(service, id, release).await,
            Step::Drain(id) => self.world.supervisor.drain(id),
            Step::Stop(id) => self.stop(id.clone()),
            Step::Forget(id) => self.world.supervisor.forget(id),
        }
        Ok(())
    }

    async fn start(&self, service: &ServiceName, id: &ReplicaId, release: &ReleaseId) -> Result<(), String> {
        // The end may have come since this pass began, and nobody would end what is started after it.
        if self.world.stop.is_cancelled() || self.world.mode.get() == Mode::Stopping {
            return Ok(());
        }
        let placed = self.world.releases.open(service, release).map_err(|e| e.to_string())?.placed();
        let address = ports::free(&self.taken()).map_err(|e| e.to_string())?;
        let (desired, edges) = (self.world.desired.get(), self.world.edges.get());
        let setting = Setting {
            desired: &desired,
            service: &placed,
            paths: &self.world.paths,
            edges: &edges,
            release,
            replica: Some((id, address)),
        };
        self.world.hide_secrets_of(&placed);
        let (argv, env) = command(&setting).map_err(|e| e.to_string())?;
        let limits = desired.services.get(service).map(|declared| declared.limits);
        let spec = ReplicaSpec {
            id: id.clone(),
            release: release.clone(),
            address,
            argv,
            dir: placed.dir,
            env,
            health: placed.health,
            stop: placed.stop,
            memory: limits.and_then(|limits| limits.memory),
            cpu: limits.and_then(|limits| limits.cpu),
        };
        self.world.supervisor.start(spec).await.map(|_| ()).map_err(|e| e.to_string())
    }

    /// Ending takes up to the grace time; the loop goes on meanwhile.
    fn stop(&self, id: ReplicaId) {
        let stopping = self.stopping.clone();
        if !stopping.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone()) {
            return;
        }
        let supervisor = self.world.supervisor.clone();
        tokio::spawn(async move {
            supervisor.stop(&id).await;
            stopping.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        });
    }

    /// Addresses that are somebody's, also where nobody listens at the moment.
    fn taken(&self) -> BTreeSet<SocketAddr> {
        let (observed, edges) = (self.world.observed(), self.world.edges.get());
        let desired = self.world.desired.get();
        let gateway = desired.gateway.iter().map(|g| g.listen);
        observed.replicas.values().map(|r| r.address).chain(edges.values().copied()).chain(gateway).collect()
    }
}

type CommandLine = (Vec<String>, BTreeMap<String, String>);

fn command(setting: &Setting<'_>) -> Result<CommandLine, Unset> {
    Ok((setting.argv(&setting.service.command)?, setting.environment()?))
}

impl Reconciler for Replicas {
    const NAME: &'static str = "replicas";

    async fn reconcile(&mut self) -> Outcome {
        let mut outcome = Outcome::default();
        let (observed, traffic, time) = (self.world.observed(), self.traffic(), now());
        let mut look_again = |pause: Duration| {
            outcome.next = Some(outcome.next.map_or(pause, |next| next.min(pause)));
        };
        // A replica is told the addresses of its edges, so they have to be there first.
        let routed = self.world.data_plane.get().version.is_some();
        let mut steps = Vec::new();
        let desired = self.world.desired.get();
        let gone = self.gone(&desired, &observed);
        let wants = desired.services.values().map(|service| self.want(service, &observed)).chain(gone);
        for want in wants.collect::<Vec<_>>() {
            let plan = planner::plan(&want, &observed, &traffic, time);
            if let Some(next) = plan.next {
                look_again(Duration::from_millis(next.saturating_sub(time).max(1)));
            }
            for (step, reason) in plan.steps.iter().filter(|(s, _)| routed || !matches!(s, Step::Start(..))) {
                let told = match self.carry_out(&want.service, step).await {
                    Ok(()) => format!("{step}: {reason}"),
                    Err(error) => {
                        look_again(RETRY);
                        format!("{step} failed: {error}")
                    }
                };
                self.world.happened("replica", &want.service, &told);
                steps.push(told);
            }
        }
        outcome.steps = steps;
        outcome
    }
}

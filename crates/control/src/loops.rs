//! The loops that a control plane runs, and what each of them is woken by.

use std::sync::Arc;

use model::ObservedState;
use telemetry::{History, Metrics, Traces};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::control::StartError;
use crate::driver::{Reconciler, Wake, drive};
use crate::edges::move_edges;
use crate::gate::Gate;
use crate::metrics;
use crate::reconcile::autoscale::Autoscale;
use crate::reconcile::contracts::Contracts;
use crate::reconcile::data_plane::DataPlaneLoop;
use crate::reconcile::jobs::Jobs;
use crate::reconcile::rollouts::Rollouts;
use crate::reconcile::{record::Record, replicas::Replicas};
use crate::status::{self, ServiceStatus, Status};
use crate::usage;
use crate::world::World;

/// Starts the loop that keeps the data plane, and waits until the gateway is open.
pub(crate) async fn open_data_plane(
    world: &Arc<World>,
    stop: &CancellationToken,
) -> Result<JoinHandle<DataPlaneLoop>, StartError> {
    let wake = Wake::until(stop);
    let mut looped = DataPlaneLoop::new(world.clone(), wake.handle());
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
    let wake = wake
        .on(world.supervisor.observed())
        .on(world.desired.subscribe())
        .on(world.operations.subscribe())
        .on(world.edges.subscribe())
        .on(world.deployments.subscribe())
        .on(world.mode.subscribe());
    Ok(tokio::spawn(drive(looped, wake)))
}

/// Starts the loops that keep replicas, their number, rollouts, and the record of what runs.
pub(crate) fn start_loops(
    world: &Arc<World>,
    recorded: ObservedState,
    gate: Arc<dyn Gate>,
) -> Vec<JoinHandle<()>> {
    let observed = || Wake::until(&world.stop).on(world.supervisor.observed());
    // Whatever decides how many replicas of which release there are to be.
    let wanted = || {
        observed()
            .on(world.desired.subscribe())
            .on(world.wishes.subscribe())
            .on(world.deployments.subscribe())
            .on(world.data_plane.subscribe())
    };
    let record = Record { world: world.clone(), written: Arc::new(recorded) };
    let of_rollouts = wanted().on(world.signals.subscribe());
    let contracts = Contracts { world: world.clone(), gate: gate.clone() };
    let jobs = Jobs::new(world.clone(), gate, of_rollouts.handle());
    vec![
        tokio::spawn(usage::keep(world.clone())),
        tokio::spawn(metrics::keep(world.clone(), world.metrics.clone(), metrics::CALLS, Metrics::flush)),
        tokio::spawn(metrics::keep(world.clone(), world.history.clone(), metrics::CALLS, History::flush)),
        tokio::spawn(metrics::keep(world.clone(), world.traces.clone(), metrics::SPANS, Traces::flush)),
        run(contracts, Wake::until(&world.stop).on(world.deployments.subscribe())),
        run(record, observed()),
        run(Replicas::new(world.clone()), wanted().on(world.mode.subscribe())),
        run(Rollouts::new(world.clone(), jobs), of_rollouts),
        run(Autoscale::new(world.clone()), observed().on(world.demand.subscribe())),
    ]
}

fn run(reconciler: impl Reconciler + 'static, wake: Wake) -> JoinHandle<()> {
    tokio::spawn(async move { drop(drive(reconciler, wake).await) })
}

/// Derives the status anew whenever anything that it is derived from changes.
pub(crate) fn watch_status(world: &Arc<World>) -> watch::Receiver<Arc<Status>> {
    let wake = Wake::until(&world.stop)
        .on(world.supervisor.observed())
        .on(world.desired.subscribe())
        .on(world.wishes.subscribe())
        .on(world.deployments.subscribe())
        .on(world.builds.subscribe())
        .on(world.cold_starts.subscribe())
        .on(world.data_plane.subscribe())
        .on(world.mode.subscribe());
    let (sender, receiver) = watch::channel(Arc::new(derive_status(world, false)));
    let world = world.clone();
    tokio::spawn(async move {
        while wake.next().await {
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
    let desired = world.desired.get();
    let (observed, builds, cold_starts) = (world.observed(), world.builds.get(), world.cold_starts.get());
    let service = |spec: &model::ServiceSpec| {
        let building = builds.get(&spec.name).copied().unwrap_or_default();
        let (deployment, wanted) = (world.deployment(&spec.name), world.replicas_wanted(spec));
        let cold_start = cold_starts.get(&spec.name).copied();
        let status = status::service(spec, wanted, &deployment, building, &observed, was_ready);
        (spec.name.clone(), ServiceStatus { cold_start, ..status })
    };
    let mut status = Status {
        desired: desired.clone(),
        mode: world.mode.get(),
        data_plane: world.data_plane.get(),
        services: desired.services.values().map(service).collect(),
        was_ready,
    };
    status.was_ready = was_ready || status.ready();
    status
}

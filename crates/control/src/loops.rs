//! The loops that a control plane runs, and what each of them is woken by.

use std::sync::Arc;

use model::ObservedState;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::control::StartError;
use crate::driver::{Reconciler, drive, wake_on};
use crate::edges::move_edges;
use crate::gate::Gate;
use crate::reconcile::autoscale::Autoscale;
use crate::reconcile::data_plane::DataPlaneLoop;
use crate::reconcile::jobs::Jobs;
use crate::reconcile::rollouts::Rollouts;
use crate::reconcile::{record::Record, replicas::Replicas};
use crate::status::{self, Status};
use crate::world::World;

/// Starts the loop that keeps the data plane, and waits until the gateway is open.
pub(crate) async fn open_data_plane(
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

/// Starts the loops that keep replicas, their number, rollouts, and the record of what runs.
pub(crate) fn start_loops(
    world: &Arc<World>,
    recorded: ObservedState,
    gate: Arc<dyn Gate>,
) -> Vec<JoinHandle<()>> {
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

    let wake = Arc::new(Notify::new());
    wake_on(world.supervisor.observed(), &wake, &world.stop);
    wake_on(world.demand.subscribe(), &wake, &world.stop);
    let autoscale = tokio::spawn(run(Autoscale::new(world.clone()), wake, world.stop.clone()));
    vec![record, replicas, rollouts, autoscale]
}

async fn run(reconciler: impl Reconciler, wake: Arc<Notify>, stop: CancellationToken) {
    drive(reconciler, wake, stop).await;
}

/// Derives the status anew whenever anything that it is derived from changes.
pub(crate) fn watch_status(world: &Arc<World>) -> watch::Receiver<Arc<Status>> {
    let wake = Arc::new(Notify::new());
    wake_on(world.supervisor.observed(), &wake, &world.stop);
    wake_on(world.wishes.subscribe(), &wake, &world.stop);
    wake_on(world.deployments.subscribe(), &wake, &world.stop);
    wake_on(world.builds.subscribe(), &wake, &world.stop);
    wake_on(world.cold_starts.subscribe(), &wake, &world.stop);
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
    let (observed, builds, cold_starts) = (world.observed(), world.builds.get(), world.cold_starts.get());
    let service = |spec: &model::ServiceSpec| {
        let building = builds.get(&spec.name).copied().unwrap_or_default();
        let (deployment, wanted) = (world.deployment(&spec.name), world.replicas_wanted(spec));
        let mut status = status::service(spec, wanted, &deployment, building, &observed, was_ready);
        status.cold_start = cold_starts.get(&spec.name).copied();
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

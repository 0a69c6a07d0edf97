//! What runs already when a control plane starts: its replicas are taken over, everything else of the app ends.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::{ObservedState, Phase, ReplicaState};
use supervisor::{ReplicaSpec, process};

use crate::cleanup::end_marked;
use crate::world::World;

/// Takes over the replicas that a former control plane recorded, and ends every other process of the app.
pub(crate) async fn adopt(world: &World, recorded: &ObservedState) {
    let desired = world.desired.get();
    let adoptions = recorded.replicas.iter().filter_map(|(id, state)| {
        let service = desired.services.get(&id.service)?;
        state.process?;
        let release = world.releases.open(&id.service, &state.release).ok();
        let spec = release.as_ref().map_or(service, |release| &release.spec);
        world.hide_secrets_of(spec);
        let spec = ReplicaSpec {
            id: id.clone(),
            release: state.release.clone(),
            address: state.address,
            argv: vec![],
            dir: spec.dir.clone(),
            env: BTreeMap::new(),
            health: spec.health.clone(),
            stop: spec.stop,
            memory: service.limits.memory,
            cpu: service.limits.cpu,
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

//! Orders for deployments: what begins a rollout, and what ends one by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{DeployStrategy, DesiredState, ReleaseId, ServiceName, ServiceSpec};
use planner::rollout::{Cause, Deployment, Outcome, Rollout, Stage};

use crate::change::{self, Change, Effect, Kind, Part};
use crate::control::Refused;
use crate::edges::{edge_addresses, keep_port, open_port};
use crate::history;
use crate::world::{World, now};

/// The steps of a canary by hand where the manifest has none.
const STEPS: [f64; 3] = [1.0, 10.0, 50.0];

/// How a service is to be deployed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeployOrder {
    /// As a canary that stays at its first step until it is promoted or rolled back.
    pub canary: bool,
    /// Also where the gate refuses it.
    pub force: bool,
}

/// What is under way goes on; every other service is built, and rolled out where that made something new.
pub fn at_start(
    desired: &DesiredState,
    mut known: BTreeMap<ServiceName, Deployment>,
    now: u64,
) -> BTreeMap<ServiceName, Deployment> {
    let each = desired.services.values().map(|service| {
        let mut deployment = known.remove(&service.name).unwrap_or_default();
        match deployment.rollout.as_mut().filter(|rollout| rollout.is_active()) {
            Some(rollout) => rollout.resume(now),
            None => deployment.rollout = Some(next(&deployment, service, Cause::Up, now)),
        }
        (service.name.clone(), deployment)
    });
    each.collect()
}

/// The rollout after the latest.
fn next(deployment: &Deployment, service: &ServiceSpec, cause: Cause, now: u64) -> Rollout {
    // Like the time, so that nobody takes a rollout for one of an app that was here before.
    let id = deployment.rollout.as_ref().map_or(0, |r| r.id + 1).max(now);
    Rollout::new(id, cause, deployment.current.clone(), service.deploy.clone(), now)
}

/// Puts another declaration in force, and begins with the builds of the services in `only`, or of all if there are none. Nothing
/// has happened where it is refused.
pub async fn apply(
    world: &World,
    mut declared: DesiredState,
    only: &BTreeSet<ServiceName>,
    order: DeployOrder,
) -> Result<(Vec<Change>, BTreeMap<ServiceName, u64>), Refused> {
    let _held = world.deploying.lock().await;
    let before = world.desired.get();
    if let Some(unknown) = only.iter().find(|name| !declared.services.contains_key(*name)) {
        return Err(Refused::UnknownService(unknown.to_string()));
    }
    if !only.is_empty() {
        declared = change::only(&before, &declared, only).map_err(|(service, callee)| {
            Refused::Impossible(format!(
                "`{service}` calls `{callee}` now, which does not run yet: `isles up` puts the whole manifest in force"
            ))
        })?;
    }
    keep_port(&mut declared, &before);
    let changes = change::changes(&before, &declared);
    if changes.iter().any(|change| change.effect == Effect::Refused) {
        let (old, new) = (&before.name, &declared.name);
        let text =
            format!("`{old}` runs here, and the manifest names it `{new}`: `isles down`, then `isles up`");
        return Err(Refused::Impossible(text));
    }
    let deployed = declared.services.values().filter(|s| only.is_empty() || only.contains(&s.name));
    let deployed: Vec<ServiceSpec> = deployed.cloned().collect();
    for service in &deployed {
        free(world, service)?;
    }
    move_in(world, declared, &changes)?;
    for removed in changes.iter().filter(|change| change.kind == Kind::Removed) {
        if let Part::Service(name) = &removed.part {
            abandon(world, name, "the service is not declared any more").await;
        }
    }
    let mut begun = BTreeMap::new();
    for service in &deployed {
        let is_new = !before.services.contains_key(&service.name);
        begun.insert(service.name.clone(), begin(world, service, is_new, order).await?);
    }
    Ok((changes, begun))
}

/// Puts a declaration in force. What runs goes on as its own release declares it.
fn move_in(world: &World, mut declared: DesiredState, changes: &[Change]) -> Result<(), Refused> {
    let failed = |error: &dyn std::fmt::Display| Refused::Store(error.to_string());
    open_port(&mut declared, &world.store, true).map_err(|e| failed(&e))?;
    let edges = edge_addresses(&declared, &world.inner, &world.edges.get()).map_err(|e| failed(&e))?;
    world.store.set_edges(&edges).map_err(|e| failed(&e))?;
    for change in changes {
        // A number that was asked for by hand does not outlive the declaration that it changed.
        if let Part::Service(name) = &change.part
            && (change.kind == Kind::Removed || change.keys.iter().any(|key| key == "scale"))
        {
            world.store.forget_scale(name).map_err(|e| failed(&e))?;
            world.wishes.update(|wishes| {
                wishes.scales.remove(name);
            });
        }
    }
    world.edges.set(Arc::new(edges));
    world.desired.set(Arc::new(declared));
    Ok(())
}

/// Ends what is under way for a service that is to run no more. [`World::deploying`] has to be held.
pub async fn abandon(world: &World, service: &ServiceName, reason: &str) {
    let mut deployment = world.deployment(service);
    let Some(rollout) = deployment.rollout.as_mut().filter(|r| r.is_active()) else { return };
    let outcome = Outcome::RolledBack { reason: reason.to_owned() };
    rollout.go(Stage::Ended { outcome }, now(), reason);
    if let Err(error) = world.deploy(service, deployment).await {
        tracing::warn!("the end of the rollout of {service} could not be recorded: {error}");
    }
}

/// Begins with the build. [`World::deploying`] has to be held.
async fn begin(
    world: &World,
    service: &ServiceSpec,
    is_new: bool,
    order: DeployOrder,
) -> Result<u64, Refused> {
    let mut deployment = free(world, service)?;
    if is_new {
        // It starts as it would have with the app: with what is built now.
        let rollout = next(&deployment, service, Cause::Up, now());
        let id = rollout.id;
        deployment.rollout = Some(rollout);
        record(world, &service.name, deployment).await?;
        return Ok(id);
    }
    let mut rollout = next(&deployment, service, Cause::Deploy, now());
    (rollout.force, rollout.by_hand) = (order.force, order.canary);
    if order.canary && rollout.deploy.strategy == DeployStrategy::Rolling {
        rollout.deploy.strategy = DeployStrategy::Canary { steps: STEPS.to_vec() };
    }
    let id = rollout.id;
    deployment.rollout = Some(rollout);
    record(world, &service.name, deployment).await?;
    Ok(id)
}

/// Tries again what could not be built or prepared, where nothing else runs.
pub async fn again(world: &World, service: &ServiceName) -> Result<(), Refused> {
    let _held = world.deploying.lock().await;
    let desired = world.desired.get();
    let Some(spec) = desired.services.get(service) else { return Ok(()) };
    let mut deployment = world.deployment(service);
    let outcome = deployment.rollout.as_ref().and_then(Rollout::outcome);
    let runs = world.observed().replicas.keys().any(|id| id.service == *service);
    if runs || !matches!(outcome, Some(Outcome::Failed { .. } | Outcome::Refused { .. })) {
        return Ok(());
    }
    deployment.rollout = Some(next(&deployment, spec, Cause::Up, now()));
    record(world, service, deployment).await
}

/// Ends the rollout under way, or begins one to a release that is kept.
pub async fn back(world: &World, service: &ServiceSpec, release: Option<&str>) -> Result<u64, Refused> {
    let _held = world.deploying.lock().await;
    let mut deployment = world.deployment(&service.name);
    if let Some(rollout) = deployment.rollout.as_mut().filter(|r| r.is_active()) {
        let under_way = || Refused::UnderWay { service: service.name.clone() };
        if release.is_some_and(|asked| rollout.from.as_ref().is_none_or(|from| from.0 != asked)) {
            return Err(under_way());
        }
        let id = rollout.id;
        if !rollout.abort(now(), "rolled back by hand") {
            return Err(under_way());
        }
        record(world, &service.name, deployment).await?;
        return Ok(id);
    }
    let to = target(world, service, &deployment, release)?;
    let mut rollout = next(&deployment, service, Cause::Rollback, now());
    let stage = if deployment.current.as_ref() == Some(&to) {
        Stage::Ended { outcome: Outcome::Unchanged }
    } else {
        Stage::BeforeStart
    };
    rollout.to = Some(to.clone());
    rollout.go(stage, now(), format!("back to release {to}"));
    let id = rollout.id;
    deployment.rollout = Some(rollout);
    record(world, &service.name, deployment).await?;
    Ok(id)
}

fn target(
    world: &World,
    service: &ServiceSpec,
    deployment: &Deployment,
    asked: Option<&str>,
) -> Result<ReleaseId, Refused> {
    let name = &service.name;
    let kept = world.releases.list(name);
    let nothing =
        |text: String| Refused::Nothing(format!("{text}; `isles releases {name}` shows what is kept"));
    if let Some(asked) = asked {
        // A beginning is enough, as with git.
        let mut found = kept.iter().filter(|r| r.id.0.starts_with(asked));
        return match (found.next(), found.next()) {
            (Some(release), None) => Ok(release.id.clone()),
            (None, _) => Err(nothing(format!("there is no release `{asked}` of `{name}`"))),
            (Some(_), Some(_)) => {
                Err(nothing(format!("more than one release of `{name}` begins with `{asked}`")))
            }
        };
    }
    let rollouts = world.store.rollouts(name).map_err(|e| Refused::Store(e.to_string()))?;
    let is_kept = |id: &ReleaseId| kept.iter().any(|release| release.id == *id);
    let previous = history::previous(&rollouts, deployment.current.as_ref(), is_kept);
    previous.ok_or_else(|| nothing(format!("`{name}` has no release before the present one")))
}

/// Takes a canary into charge.
pub async fn promote(world: &World, service: &ServiceSpec) -> Result<u64, Refused> {
    let _held = world.deploying.lock().await;
    let mut deployment = world.deployment(&service.name);
    let canary = deployment.rollout.as_mut().filter(|r| r.is_active());
    let rollout =
        canary.ok_or_else(|| Refused::Nothing(format!("no rollout of `{}` is under way", service.name)))?;
    let id = rollout.id;
    if !rollout.promoted {
        rollout.promoted = true;
        rollout.note(now(), "to be promoted, by hand".to_owned());
        record(world, &service.name, deployment).await?;
    }
    Ok(id)
}

/// The deployment of a service that has no rollout under way.
fn free(world: &World, service: &ServiceSpec) -> Result<Deployment, Refused> {
    let deployment = world.deployment(&service.name);
    match &deployment.rollout {
        Some(rollout) if rollout.is_active() => Err(Refused::UnderWay { service: service.name.clone() }),
        _ => Ok(deployment),
    }
}

async fn record(world: &World, service: &ServiceName, deployment: Deployment) -> Result<(), Refused> {
    world.deploy(service, deployment).await.map_err(|e| Refused::Store(e.to_string()))
}

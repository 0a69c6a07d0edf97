//! Orders for deployments: what begins a rollout, and what ends one by hand.

use std::collections::BTreeMap;

use model::{DeployStrategy, DesiredState, ReleaseId, ServiceName, ServiceSpec};
use planner::rollout::{Cause, Deployment, Outcome, Rollout, Stage};

use crate::control::Refused;
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

/// Begins with the build.
pub async fn begin(world: &World, service: &ServiceSpec, order: DeployOrder) -> Result<u64, Refused> {
    let _held = world.deploying.lock().await;
    let mut deployment = free(world, service)?;
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
    let (mut deployment, spec) = (world.deployment(service), &world.desired.services[service]);
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

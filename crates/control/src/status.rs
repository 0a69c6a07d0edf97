//! How the app and its services are, derived from the state. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::{DesiredState, ObservedState, Phase, ReleaseId, ReplicaState, ServiceName, ServiceSpec};
use planner::rollout::{Deployment, Outcome, Stage};

use crate::world::{Building, DataPlane, Mode};

/// A whole app at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// What was declared.
    pub desired: Arc<DesiredState>,
    /// Whether it is to run.
    pub mode: Mode,
    /// The data plane.
    pub data_plane: DataPlane,
    /// Every service.
    pub services: BTreeMap<ServiceName, ServiceStatus>,
    /// Whether every service has been ready at one moment since the control plane began.
    pub was_ready: bool,
}

/// A service at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceStatus {
    /// How it is.
    pub health: Health,
    /// How many replicas it is to have.
    pub wanted: u32,
    /// How many are ready.
    pub ready: u32,
    /// How far its release is.
    pub preparation: Preparation,
    /// What it is to run, and its latest rollout.
    pub deployment: Deployment,
    /// Its replicas by number.
    pub replicas: BTreeMap<u32, ReplicaState>,
    /// How long it took the last time from the first request that waited for it to its first replica.
    pub cold_start: Option<Duration>,
}

/// How far the release of a service is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Preparation {
    /// Not begun.
    Waiting,
    /// Its build runs.
    Building,
    /// Its content is looked at, or its `before_start` runs.
    Preparing,
    /// It can be started.
    Done(ReleaseId),
    /// It cannot.
    Failed {
        /// What failed, why, and what to do.
        reason: String,
        /// The last lines that the step wrote.
        last_lines: Vec<String>,
    },
}

/// How a service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Its build has not begun.
    Waiting,
    /// It is built.
    Building,
    /// Its release is made ready.
    Preparing,
    /// Its replicas start.
    Starting,
    /// As many replicas as wanted are ready.
    Ready,
    /// Replicas are missing or unhealthy.
    Degraded,
    /// Replicas end again and again.
    CrashLoop,
    /// There is no release to start.
    Failed,
    /// It is to have no replica.
    Stopped,
}

impl Status {
    /// Whether every service is as it should be and the way in is open.
    pub fn ready(&self) -> bool {
        self.mode == Mode::Open
            && self.data_plane.version.is_some()
            && self.data_plane.failed.is_empty()
            && self.services.values().all(|s| matches!(s.health, Health::Ready | Health::Stopped))
    }

    /// Whether something is wrong that time alone does not mend.
    pub fn failed(&self) -> bool {
        !self.data_plane.failed.is_empty()
            || self.services.values().any(|s| matches!(s.health, Health::Failed | Health::CrashLoop))
    }
}

/// What a service is to run; `runs` says that it has replicas already, which go on whatever is built beside them.
fn preparation(deployment: &Deployment, building: Building, runs: bool) -> Preparation {
    let current = || deployment.current.clone().map_or(Preparation::Waiting, Preparation::Done);
    let stage = deployment.rollout.as_ref().map(|rollout| &rollout.stage);
    if runs && deployment.current.is_some() {
        return current();
    }
    match stage {
        Some(Stage::Build) => match building {
            Building::Waiting => Preparation::Waiting,
            Building::Runs => Preparation::Building,
            Building::Copied => Preparation::Preparing,
        },
        Some(Stage::Gate | Stage::BeforeStart) => Preparation::Preparing,
        Some(Stage::Ended { outcome: Outcome::Failed { reason, last_lines } }) => {
            Preparation::Failed { reason: reason.clone(), last_lines: last_lines.clone() }
        }
        Some(Stage::Ended { outcome: Outcome::Refused { reasons } }) => {
            Preparation::Failed { reason: format!("refused: {}", reasons.join("; ")), last_lines: vec![] }
        }
        _ => current(),
    }
}

/// A service's status from its parts.
pub fn service(
    spec: &ServiceSpec,
    wanted: u32,
    deployment: &Deployment,
    building: Building,
    observed: &ObservedState,
    was_ready: bool,
) -> ServiceStatus {
    let mine = observed.replicas.iter().filter(|(id, _)| id.service == spec.name);
    let replicas: BTreeMap<u32, ReplicaState> = mine.map(|(id, state)| (id.index, state.clone())).collect();
    let preparation = preparation(deployment, building, !replicas.is_empty());
    let count = |phase| replicas.values().filter(|r| r.phase == phase).count();
    let ready = u32::try_from(count(Phase::Ready)).unwrap_or(u32::MAX);
    let looping =
        replicas.values().any(|r| r.phase != Phase::Ready && r.failures >= planner::CRASH_LOOP_FAILURES);
    let current = match &preparation {
        Preparation::Done(release) => {
            replicas.values().filter(|r| r.phase == Phase::Ready && r.release == *release).count()
        }
        _ => 0,
    };
    // Between two releases both are as it should be.
    let rolling = deployment.rollout.as_ref().is_some_and(|r| r.is_active()) && ready >= wanted;
    let settled = count(Phase::Draining) + count(Phase::Stopping) == 0;
    let health = match &preparation {
        Preparation::Failed { .. } => Health::Failed,
        _ if looping => Health::CrashLoop,
        Preparation::Waiting => Health::Waiting,
        Preparation::Building => Health::Building,
        Preparation::Preparing => Health::Preparing,
        Preparation::Done(_) if wanted == 0 && replicas.is_empty() => Health::Stopped,
        Preparation::Done(_) if rolling => Health::Ready,
        Preparation::Done(_) if current == wanted as usize && ready == wanted && settled => Health::Ready,
        Preparation::Done(_) if was_ready && ready < wanted => Health::Degraded,
        Preparation::Done(_) => Health::Starting,
    };
    let deployment = deployment.clone();
    ServiceStatus { health, wanted, ready, preparation, deployment, replicas, cold_start: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use planner::rollout::{Cause, Rollout};

    fn health(
        deployment: &Deployment,
        wanted: u32,
        phases: &[(Phase, u32, &str)],
        was_ready: bool,
    ) -> Health {
        let replica = |(i, (phase, failures, release)): (usize, &(Phase, u32, &str))| {
            let state = ReplicaState {
                release: ReleaseId((*release).into()),
                address: ([127, 0, 0, 1], 1).into(),
                phase: *phase,
                process: None,
                started_at: 0,
                since: 0,
                restarts: 0,
                failures: *failures,
                last_exit: None,
                probe_error: None,
            };
            (format!("web-{}", i + 1).parse().unwrap(), state)
        };
        let observed = ObservedState { replicas: phases.iter().enumerate().map(replica).collect() };
        let spec = testing::service("web", &[]);
        service(&spec, wanted, deployment, Building::Waiting, &observed, was_ready).health
    }

    #[test]
    fn health_says_what_a_person_would_say() {
        let at = |current: Option<&str>, stage| {
            let current = current.map(|id| ReleaseId(id.into()));
            let deploy = testing::service("web", &[]).deploy;
            let mut rollout = Rollout::new(1, Cause::Up, current.clone(), deploy, 0);
            rollout.stage = stage;
            Deployment { current, rollout: Some(rollout) }
        };
        let done = at(Some("a"), Stage::Ended { outcome: Outcome::Done });
        let ready = (Phase::Ready, 0, "a");
        assert_eq!(health(&at(None, Stage::Build), 1, &[], false), Health::Waiting);
        assert_eq!(health(&done, 2, &[ready], false), Health::Starting);
        assert_eq!(health(&done, 2, &[ready, ready], false), Health::Ready);
        assert_eq!(health(&done, 1, &[(Phase::Ready, 0, "old")], true), Health::Starting);
        assert_eq!(health(&done, 2, &[ready, (Phase::Exited, 1, "a")], true), Health::Degraded);
        assert_eq!(health(&done, 2, &[ready, (Phase::Exited, 5, "a")], true), Health::CrashLoop);
        assert_eq!(health(&done, 0, &[], true), Health::Stopped);
        let failed = Outcome::Failed { reason: "no".into(), last_lines: vec![] };
        let failed = |current| at(current, Stage::Ended { outcome: failed.clone() });
        assert_eq!(health(&failed(None), 1, &[], true), Health::Failed);
        assert_eq!(health(&failed(Some("a")), 1, &[ready], true), Health::Ready, "the old one goes on");
        // While one release takes the place of another.
        assert_eq!(health(&at(Some("a"), Stage::Build), 1, &[ready], true), Health::Ready);
        let shift = at(Some("a"), Stage::Shift);
        assert_eq!(health(&shift, 1, &[ready, (Phase::Starting, 0, "b")], true), Health::Ready);
        assert_eq!(health(&shift, 2, &[ready, (Phase::Starting, 0, "b")], true), Health::Degraded);
    }
}

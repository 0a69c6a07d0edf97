//! Rollouts and releases in the words of the admin API.

use console::api::{ChangeInfo, ReleaseInfo, RolloutNote, RolloutStatus};
use control::{Change, Effect, Kind, Part, Release, ServiceStatus};
use model::{DeployStrategy, DesiredState, Phase, ReleaseId};
use planner::rollout::{Cause, Outcome, Rollout, Stage};

/// Parts that are declared in another way.
pub fn changes(changes: &[Change]) -> Vec<ChangeInfo> {
    changes.iter().map(change).collect()
}

/// What differs from an app of which nothing runs.
pub fn from_nothing(desired: &DesiredState) -> Vec<ChangeInfo> {
    let nothing = DesiredState {
        gateway: None,
        services: Default::default(),
        externals: Default::default(),
        ..desired.clone()
    };
    changes(&control::changes(&nothing, desired))
}

fn change(change: &Change) -> ChangeInfo {
    let (part, name) = match &change.part {
        Part::Gateway => ("gateway", None),
        Part::Service(name) => ("service", Some(name.to_string())),
        Part::External(name) => ("external", Some(name.to_string())),
        Part::App(name) => ("app", Some((*name).to_owned())),
    };
    let kind = match change.kind {
        Kind::Added => "added",
        Kind::Removed => "removed",
        Kind::Changed => "changed",
    };
    let effect = match change.effect {
        Effect::Start => "start",
        Effect::Stop => "stop",
        Effect::Rollout => "rollout",
        Effect::AtOnce => "at_once",
        Effect::NextStart => "next_start",
        Effect::NextUp => "next_up",
        Effect::Refused => "refused",
    };
    let [part, kind, effect] = [part, kind, effect].map(str::to_owned);
    ChangeInfo { part, name, kind, keys: change.keys.clone(), effect }
}

/// One rollout.
pub fn rollout(rollout: &Rollout) -> RolloutStatus {
    let step = match rollout.stage {
        Stage::Canary { step } => Some(step),
        _ => None,
    };
    let (reasons, last_lines) = why(&rollout.stage);
    RolloutStatus {
        id: rollout.id,
        cause: match rollout.cause {
            Cause::Up => "up",
            Cause::Deploy => "deploy",
            Cause::Rollback => "rollback",
        }
        .to_owned(),
        strategy: match rollout.deploy.strategy {
            DeployStrategy::Rolling => "rolling",
            DeployStrategy::Canary { .. } => "canary",
        }
        .to_owned(),
        from: rollout.from.as_ref().map(ToString::to_string),
        to: rollout.to.as_ref().map(ToString::to_string),
        stage: stage(&rollout.stage).to_owned(),
        step: step.and_then(|step| u32::try_from(step + 1).ok()),
        share: step.and_then(|step| rollout.weight(step)),
        waits: rollout.by_hand && !rollout.promoted && step.is_some() && rollout.watching.is_some(),
        began: rollout.began,
        since: rollout.since,
        outcome: rollout.outcome().map(|outcome| outcome.name().to_owned()),
        reasons,
        last_lines,
        notes: rollout.notes.iter().map(|n| RolloutNote { at: n.at, text: n.text.clone() }).collect(),
    }
}

fn stage(stage: &Stage) -> &'static str {
    match stage {
        Stage::Build => "build",
        Stage::Gate => "gate",
        Stage::BeforeStart => "before_start",
        Stage::Start => "start",
        Stage::Warm => "warm",
        Stage::Canary { .. } => "canary",
        Stage::Shift => "shift",
        Stage::Drain => "drain",
        Stage::Undo { .. } => "undo",
        Stage::Ended { .. } => "ended",
    }
}

/// The reasons for what it came to, and the last lines of what failed.
fn why(stage: &Stage) -> (Vec<String>, Vec<String>) {
    match stage {
        Stage::Undo { reason } | Stage::Ended { outcome: Outcome::RolledBack { reason } } => {
            (vec![reason.clone()], vec![])
        }
        Stage::Ended { outcome: Outcome::Refused { reasons } } => (reasons.clone(), vec![]),
        Stage::Ended { outcome: Outcome::Failed { reason, last_lines } } => {
            (vec![reason.clone()], last_lines.clone())
        }
        _ => (vec![], vec![]),
    }
}

/// The releases that are kept, with what their rollouts (the latest first) came to.
pub fn releases(kept: &[Release], rollouts: &[Rollout], service: &ServiceStatus) -> Vec<ReleaseInfo> {
    let running = |id: &ReleaseId| {
        let mine = service.replicas.values().filter(|r| r.release == *id && r.phase != Phase::Exited);
        u32::try_from(mine.count()).unwrap_or(u32::MAX)
    };
    let info = |release: &Release| {
        let of_it = |r: &&Rollout| {
            r.to.as_ref() == Some(&release.id) && r.outcome().is_none_or(|o| *o != Outcome::Unchanged)
        };
        let latest = rollouts.iter().find(of_it);
        ReleaseInfo {
            id: release.id.to_string(),
            made_at: release.made_at,
            current: service.deployment.current.as_ref() == Some(&release.id),
            replicas: running(&release.id),
            rollout: latest.map(|r| r.stage.to_string()),
            reason: latest.and_then(|r| why(&r.stage).0.into_iter().next()),
            files: release.files,
            bytes: release.bytes,
        }
    };
    kept.iter().map(info).collect()
}

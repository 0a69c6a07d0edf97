//! A rollout: how a new release of a service takes the place of the old one.
//!
//! ```text
//! build ─> gate ─> before_start ─> start ─> warm ─> canary 1 … n ─> shift ─> drain ─> done
//!   │        │          │            └───────┴────────┴──────────────┴─> undo ─> rolled back
//!   └────────┴──────────┴─> failed, refused or unchanged: nothing was touched
//! ```
//!
//! A rolling deploy has one canary step: the first new replica, with the share of requests that its number gives it.
//! [`step`] is the whole machine, [`want`] and [`shares`] are what a state asks of processes and of the data plane.

mod step;
#[cfg(test)]
mod tests;

use std::fmt;

use model::{Deploy, DeployStrategy, ReleaseId};
use serde::{Deserialize, Serialize};

pub use step::{Job, Seen, Taken, step};

/// What a service is to run, recorded so that it outlives the control plane.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Deployment {
    /// The release in charge; none before the first.
    pub current: Option<ReleaseId>,
    /// The latest rollout, under way or ended.
    pub rollout: Option<Rollout>,
}

/// One rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    /// Grows from one to the next.
    pub id: u64,
    /// What it is for.
    pub cause: Cause,
    /// The release that is replaced; none where there was none.
    pub from: Option<ReleaseId>,
    /// The release that replaces it; none until it is built.
    pub to: Option<ReleaseId>,
    /// How, as declared when it began.
    pub deploy: Deploy,
    /// It stays at the first canary step until somebody says how to go on.
    pub by_hand: bool,
    /// A refusal of the gate is a note only.
    pub force: bool,
    /// How far it is.
    pub stage: Stage,
    /// When it began: Unix milliseconds.
    pub began: u64,
    /// When `stage` became what it is.
    pub since: u64,
    /// Since when the requests are divided as this canary step wants it, which is from when the releases are compared.
    pub watching: Option<u64>,
    /// Somebody said to go on.
    pub promoted: bool,
    /// What happened and why, oldest first.
    pub notes: Vec<Note>,
}

/// Why there is a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The app was started or taken over.
    Up,
    /// Somebody deploys.
    Deploy,
    /// Somebody goes back to a release that is kept: nothing is built, and nothing is compared.
    Rollback,
}

/// How far a rollout is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case")]
pub enum Stage {
    /// It is built, and its files are copied.
    Build,
    /// The gate is asked whether it may run.
    Gate,
    /// Its `before_start` runs.
    BeforeStart,
    /// Its first replicas start.
    Start,
    /// They are ready and get no requests yet.
    Warm,
    /// It gets a share of the requests and is compared with the old one.
    Canary {
        /// Which step, from 0.
        step: usize,
    },
    /// The other replicas are replaced.
    Shift,
    /// It is in charge, and the last old replicas end.
    Drain,
    /// The old release takes over again.
    Undo {
        /// Why.
        reason: String,
    },
    /// Nothing is left to do.
    Ended {
        /// What came of it.
        outcome: Outcome,
    },
}

/// What came of a rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The new release is in charge.
    Done,
    /// There was nothing new.
    Unchanged,
    /// The old release is in charge again, or still.
    RolledBack {
        /// Why.
        reason: String,
    },
    /// The gate did not let it pass.
    Refused {
        /// Why, each a sentence.
        reasons: Vec<String>,
    },
    /// It could not be built or prepared; nothing was touched.
    Failed {
        /// What failed and why.
        reason: String,
        /// The last lines that the step wrote.
        last_lines: Vec<String>,
    },
}

/// Something that happened in a rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// When: Unix milliseconds.
    pub at: u64,
    /// What and why, a sentence.
    pub text: String,
}

/// Notes that are kept of one rollout; the oldest go first.
const MOST_NOTES: usize = 100;

/// What a service is to have now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// Which release; none while there is none.
    pub release: Option<ReleaseId>,
    /// Another release beside it, with so many replicas.
    pub beside: Option<(ReleaseId, u32)>,
}

impl Rollout {
    /// One that begins with building. `id` has to be above those of all rollouts before.
    pub fn new(id: u64, cause: Cause, from: Option<ReleaseId>, deploy: Deploy, now: u64) -> Self {
        Self {
            id,
            cause,
            from,
            to: None,
            deploy,
            by_hand: false,
            force: false,
            stage: Stage::Build,
            began: now,
            since: now,
            watching: None,
            promoted: false,
            notes: Vec::new(),
        }
    }

    /// Whether something is left to do.
    pub fn is_active(&self) -> bool {
        !matches!(self.stage, Stage::Ended { .. })
    }

    /// Whether there is no release that it brought, or not yet.
    fn comes_to_nothing_yet(&self) -> bool {
        match &self.stage {
            Stage::Build | Stage::Gate | Stage::BeforeStart => true,
            Stage::Ended { outcome } => matches!(outcome, Outcome::Failed { .. } | Outcome::Refused { .. }),
            _ => false,
        }
    }

    /// What came of it, once it has ended.
    pub fn outcome(&self) -> Option<&Outcome> {
        match &self.stage {
            Stage::Ended { outcome } => Some(outcome),
            _ => None,
        }
    }

    /// A new control plane takes it on: what it had measured is gone.
    pub fn resume(&mut self, now: u64) {
        (self.watching, self.since) = (None, now);
        self.note(now, format!("a new control plane goes on with it, at {}", self.stage));
    }

    /// Adds a note.
    pub fn note(&mut self, at: u64, text: String) {
        let over = (self.notes.len() + 1).saturating_sub(MOST_NOTES);
        self.notes.drain(..over);
        self.notes.push(Note { at, text });
    }

    /// Goes to another stage, with the reason.
    pub fn go(&mut self, stage: Stage, now: u64, why: impl Into<String>) {
        let why = why.into();
        self.note(now, if why.is_empty() { stage.to_string() } else { format!("{stage}: {why}") });
        (self.stage, self.since, self.watching) = (stage, now, None);
    }

    /// Somebody wants the old release back. Says whether that is still possible.
    pub fn abort(&mut self, now: u64, reason: &str) -> bool {
        let reason = reason.to_owned();
        match self.stage {
            Stage::Build | Stage::Gate | Stage::BeforeStart => {
                let outcome = Outcome::RolledBack { reason: reason.clone() };
                self.go(Stage::Ended { outcome }, now, reason);
            }
            Stage::Start | Stage::Warm | Stage::Canary { .. } | Stage::Shift => {
                self.go(Stage::Undo { reason: reason.clone() }, now, reason);
            }
            Stage::Drain | Stage::Undo { .. } | Stage::Ended { .. } => return false,
        }
        true
    }

    /// The weight of the new release in a canary step, of 10,000; none where replicas are counted.
    pub fn weight(&self, step: usize) -> Option<u32> {
        let DeployStrategy::Canary { steps } = &self.deploy.strategy else { return None };
        // At most 10,000, and the manifest has it above 0.
        steps.get(step).map(|percent| (percent * 100.0).round().clamp(1.0, 10_000.0) as u32)
    }

    /// How many canary steps there are.
    pub fn steps(&self) -> usize {
        match &self.deploy.strategy {
            DeployStrategy::Canary { steps } => steps.len(),
            DeployStrategy::Rolling => 1,
        }
    }

    /// How many replicas of the new release a canary step needs for its share, when there are to be `wanted` of the service.
    pub fn replicas(&self, step: usize, wanted: u32) -> u32 {
        let share = self.weight(step).unwrap_or(0);
        let needed = (u64::from(share) * u64::from(wanted)).div_ceil(10_000);
        u32::try_from(needed).unwrap_or(wanted).max(1).min(wanted)
    }
}

/// What the service is to run in this state; `runs` says that it has replicas already, whatever they do.
pub fn want(deployment: &Deployment, wanted: u32, runs: bool) -> Wanted {
    let current = || Wanted { release: deployment.current.clone(), beside: None };
    let Some(rollout) = &deployment.rollout else { return current() };
    // An app that is started runs what is built, and not meanwhile what it ran some other day.
    if rollout.cause == Cause::Up && !runs && rollout.comes_to_nothing_yet() {
        return Wanted::default();
    }
    let beside = |step| {
        let beside = rollout.to.clone().map(|to| (to, rollout.replicas(step, wanted)));
        Wanted { release: deployment.current.clone(), beside }
    };
    match rollout.stage {
        Stage::Start | Stage::Warm => beside(0),
        Stage::Canary { step } => beside(step),
        Stage::Shift | Stage::Drain => Wanted { release: rollout.to.clone(), beside: None },
        Stage::Build | Stage::Gate | Stage::BeforeStart | Stage::Undo { .. } | Stage::Ended { .. } => {
            current()
        }
    }
}

/// How requests are divided among releases in this state: weights, of which `old` and `new` replicas are ready. A release
/// that is not listed gets none.
pub fn shares(deployment: &Deployment, wanted: u32, old: u32, new: u32) -> Vec<(ReleaseId, u32)> {
    let only = |release: &Option<ReleaseId>| release.iter().map(|r| (r.clone(), 1)).collect();
    let Some(rollout) = &deployment.rollout else { return only(&deployment.current) };
    let both = |from: u32, to: u32| {
        let pair =
            rollout.from.iter().map(|r| (r.clone(), from)).chain(rollout.to.iter().map(|r| (r.clone(), to)));
        pair.collect()
    };
    match rollout.stage {
        Stage::Canary { step } if matches!(rollout.deploy.strategy, DeployStrategy::Canary { .. }) => {
            // A greater share only once there are replicas for it.
            let enough = new >= rollout.replicas(step, wanted);
            let step = if enough { Some(step) } else { step.checked_sub(1) };
            let weight = step.and_then(|step| rollout.weight(step)).unwrap_or(0);
            both(10_000 - weight, weight)
        }
        Stage::Canary { .. } | Stage::Shift => both(old, new),
        Stage::Drain => only(&rollout.to),
        _ => only(&deployment.current),
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Build => write!(f, "build"),
            Self::Gate => write!(f, "gate"),
            Self::BeforeStart => write!(f, "before_start"),
            Self::Start => write!(f, "start"),
            Self::Warm => write!(f, "warm"),
            Self::Canary { step } => write!(f, "canary {}", step + 1),
            Self::Shift => write!(f, "shift"),
            Self::Drain => write!(f, "drain"),
            Self::Undo { .. } => write!(f, "undo"),
            Self::Ended { outcome } => write!(f, "{}", outcome.name()),
        }
    }
}

impl Outcome {
    /// Its name, for programs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Unchanged => "unchanged",
            Self::RolledBack { .. } => "rolled_back",
            Self::Refused { .. } => "refused",
            Self::Failed { .. } => "failed",
        }
    }
}

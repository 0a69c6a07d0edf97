//! One step of a rollout: from what is seen to what comes next.

use std::time::Duration;

use model::{ExitReason, ObservedState, Phase, ReleaseId, ReplicaId, ReplicaState, ServiceName};

use super::{Cause, Deployment, Outcome, Rollout, Stage};
use crate::judge::Verdict;
use crate::millis;

/// How long the first new replicas have to stay ready before they get requests: what crashes at once harms nobody.
const WARM: Duration = Duration::from_secs(1);
/// A canary step with too few requests to judge is held for this many times its time; then it goes on, and says so.
const PATIENCE: u32 = 6;
/// A stage in which nothing starts and nothing ends is given up after this many times the time of a start, for each replica.
const STALLED: u64 = 10;

/// How the work of a stage is: a build, the gate, `before_start`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Job {
    /// It has not ended.
    Runs,
    /// The build made this release. `back` says that it has been rolled back before.
    Built {
        /// Which.
        release: ReleaseId,
        /// Whether a rollout of it was rolled back, the last time there was one.
        back: bool,
    },
    /// The gate says no; each a sentence.
    Refused(Vec<String>),
    /// It went well.
    Passed,
    /// The gate says yes, and this beside it; each a sentence.
    Noted(Vec<String>),
    /// It did not.
    Failed {
        /// What failed and why.
        reason: String,
        /// The last lines that it wrote.
        last_lines: Vec<String>,
    },
}

/// What a step is taken from.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen<'a> {
    /// Whose rollout it is.
    pub service: &'a ServiceName,
    /// All replicas.
    pub observed: &'a ObservedState,
    /// How many replicas the service is to have.
    pub wanted: u32,
    /// How the work of the present stage is.
    pub job: Job,
    /// The data plane divides the requests as [`super::shares`] says.
    pub divided: bool,
    /// What the comparison says, where there is one.
    pub verdict: Option<Verdict>,
}

/// What came of a step.
#[derive(Debug, Clone, PartialEq)]
pub struct Taken {
    /// The state from now on. It has to be recorded before anything is done about it.
    pub deployment: Deployment,
    /// Look again then, even if nothing happens: Unix milliseconds.
    pub next: Option<u64>,
}

/// Takes the next step of the rollout under way, if there is one and something is to be done. Gives the same state where
/// nothing changes.
pub fn step(deployment: &Deployment, seen: &Seen<'_>, now: u64) -> Taken {
    let mut deployment = deployment.clone();
    let next = match &mut deployment.rollout {
        Some(rollout) if rollout.is_active() => advance(rollout, &mut deployment.current, seen, now),
        _ => None,
    };
    Taken { deployment, next }
}

fn advance(rollout: &mut Rollout, current: &mut Option<ReleaseId>, seen: &Seen<'_>, now: u64) -> Option<u64> {
    let census = Census::take(rollout, seen);
    match rollout.stage.clone() {
        Stage::Build => built(rollout, current.as_ref(), seen, now),
        Stage::Gate => gated(rollout, seen, now),
        Stage::BeforeStart => {
            if prepared(rollout, seen, now) {
                if rollout.from.is_none() || census.old.alive == 0 {
                    current.clone_from(&rollout.to);
                    end(rollout, Outcome::Done, now, "nothing ran that it could be compared with");
                } else {
                    rollout.go(Stage::Start, now, "");
                }
            }
            None
        }
        Stage::Start | Stage::Warm | Stage::Canary { .. } | Stage::Shift if census.trouble.is_some() => {
            undo(rollout, now, census.trouble.unwrap_or_default())
        }
        Stage::Start => started(rollout, &census, seen, now),
        Stage::Warm => {
            let due = rollout.since + millis(WARM);
            if rollout.cause == Cause::Rollback || now >= due {
                let quick = rollout.cause == Cause::Rollback || rollout.steps() == 0;
                rollout.go(if quick { Stage::Shift } else { Stage::Canary { step: 0 } }, now, "");
                return None;
            }
            Some(due)
        }
        Stage::Canary { step } => watched(rollout, step, &census, seen, now),
        Stage::Shift => {
            if let Some(Verdict::Bad { reasons }) = &seen.verdict {
                return undo(rollout, now, reasons.join("; "));
            }
            if census.new.ready >= seen.wanted && census.old.alive == 0 {
                current.clone_from(&rollout.to);
                rollout.go(Stage::Drain, now, "every replica is replaced");
                return None;
            }
            census.late(rollout, seen.wanted, now)
        }
        Stage::Drain => {
            if census.old.alive + census.old.leaving == 0 {
                end(rollout, Outcome::Done, now, "");
            }
            None
        }
        Stage::Undo { reason } => {
            let limit = rollout.since + 2 * millis(rollout.deploy.ready);
            let back = census.old.ready >= seen.wanted && census.new.alive + census.new.leaving == 0;
            if back {
                end(rollout, Outcome::RolledBack { reason }, now, "the old release has all requests");
            } else if now >= limit {
                let why = "the old release is not ready again; it is started again and again";
                end(rollout, Outcome::RolledBack { reason }, now, why);
            } else {
                return Some(limit);
            }
            None
        }
        Stage::Ended { .. } => None,
    }
}

fn built(rollout: &mut Rollout, current: Option<&ReleaseId>, seen: &Seen<'_>, now: u64) -> Option<u64> {
    match &seen.job {
        Job::Built { release, .. } if current == Some(release) => {
            rollout.to = Some(release.clone());
            end(rollout, Outcome::Unchanged, now, format!("release {release} runs already"));
        }
        Job::Built { release, back: true } if rollout.cause == Cause::Up && current.is_some() => {
            let why = format!("release {release} was rolled back: only a deploy tries it again");
            end(rollout, Outcome::Unchanged, now, why);
        }
        Job::Built { release, .. } => {
            rollout.to = Some(release.clone());
            rollout.go(Stage::Gate, now, format!("release {release}"));
        }
        Job::Failed { reason, last_lines } => failed(rollout, reason, last_lines, now),
        Job::Runs | Job::Passed | Job::Noted(_) | Job::Refused(_) => {}
    }
    None
}

fn gated(rollout: &mut Rollout, seen: &Seen<'_>, now: u64) -> Option<u64> {
    match &seen.job {
        Job::Passed => rollout.go(Stage::BeforeStart, now, ""),
        Job::Noted(notes) => rollout.go(Stage::BeforeStart, now, notes.join("; ")),
        Job::Refused(reasons) if rollout.force => {
            rollout.go(Stage::BeforeStart, now, format!("forced, although: {}", reasons.join("; ")));
        }
        Job::Refused(reasons) => {
            let reasons = reasons.clone();
            let why = reasons.join("; ");
            end(rollout, Outcome::Refused { reasons }, now, why);
        }
        Job::Failed { reason, last_lines } => failed(rollout, reason, last_lines, now),
        Job::Runs | Job::Built { .. } => {}
    }
    None
}

fn prepared(rollout: &mut Rollout, seen: &Seen<'_>, now: u64) -> bool {
    if let Job::Failed { reason, last_lines } = &seen.job {
        failed(rollout, reason, last_lines, now);
    }
    seen.job == Job::Passed
}

fn started(rollout: &mut Rollout, census: &Census, seen: &Seen<'_>, now: u64) -> Option<u64> {
    let needed = rollout.replicas(0, seen.wanted);
    if needed == 0 {
        rollout.go(Stage::Shift, now, "no replica is wanted");
        return None;
    }
    if census.new.ready >= needed {
        rollout.go(Stage::Warm, now, "");
        return None;
    }
    // Also where no process could be started at all.
    let limit = rollout.since + millis(rollout.deploy.ready);
    if now >= limit {
        return undo(rollout, now, census.not_ready(rollout));
    }
    Some(limit)
}

fn watched(rollout: &mut Rollout, step: usize, census: &Census, seen: &Seen<'_>, now: u64) -> Option<u64> {
    if let (Some(_), Some(Verdict::Bad { reasons })) = (rollout.watching, &seen.verdict) {
        return undo(rollout, now, reasons.join("; "));
    }
    if rollout.promoted {
        shift(rollout, now, "promoted by hand");
        return None;
    }
    if census.new.ready < rollout.replicas(step, seen.wanted) {
        return census.late(rollout, seen.wanted, now);
    }
    let Some(watching) = rollout.watching else {
        if seen.divided {
            rollout.watching = Some(now);
        }
        return seen.divided.then(|| now + millis(rollout.deploy.hold));
    };
    let due = watching + millis(rollout.deploy.hold);
    if now < due {
        return Some(due);
    }
    if rollout.by_hand {
        return None;
    }
    let last = watching + u64::from(PATIENCE) * millis(rollout.deploy.hold);
    let why = match &seen.verdict {
        Some(Verdict::Good { text }) => text.clone(),
        Some(Verdict::TooLittle { have: 0, .. }) => {
            "no request came, so there is nothing to judge by".to_owned()
        }
        Some(Verdict::TooLittle { have, need }) if now >= last => {
            format!("{have} requests came, too few to judge by ({need}), and it was held long enough")
        }
        Some(Verdict::Slow { reasons }) if now >= last => {
            format!(
                "{}; too few requests came after that to confirm it, and it was held long enough",
                reasons.join("; ")
            )
        }
        // A data plane that says nothing is not a reason to wait for ever.
        None if now >= last => "nothing is known of its requests, and it was held long enough".to_owned(),
        Some(Verdict::TooLittle { .. } | Verdict::Slow { .. } | Verdict::Bad { .. }) | None => {
            return Some(last);
        }
    };
    if step + 1 < rollout.steps() {
        rollout.go(Stage::Canary { step: step + 1 }, now, why);
    } else {
        shift(rollout, now, why);
    }
    None
}

/// Goes on to replace the old replicas, and watches on while both have requests.
fn shift(rollout: &mut Rollout, now: u64, why: impl Into<String>) {
    rollout.go(Stage::Shift, now, why);
    rollout.watching = Some(now);
}

fn undo(rollout: &mut Rollout, now: u64, reason: String) -> Option<u64> {
    rollout.go(Stage::Undo { reason: reason.clone() }, now, reason);
    None
}

fn failed(rollout: &mut Rollout, reason: &str, last_lines: &[String], now: u64) {
    let outcome = Outcome::Failed { reason: reason.to_owned(), last_lines: last_lines.to_vec() };
    end(rollout, outcome, now, reason);
}

fn end(rollout: &mut Rollout, outcome: Outcome, now: u64, why: impl Into<String>) {
    rollout.go(Stage::Ended { outcome }, now, why);
}

/// The replicas of the two releases.
#[derive(Debug, Default)]
struct Census {
    /// Of every other release than the new one.
    old: Group,
    new: Group,
    /// What is wrong with the new release, if anything.
    trouble: Option<String>,
    /// Since when a new replica that is not ready yet has been starting, and what its probes say.
    waiting: Option<(u64, Option<String>)>,
}

#[derive(Debug, Default)]
struct Group {
    ready: u32,
    /// Not on their way out, ready or not.
    alive: u32,
    leaving: u32,
}

impl Census {
    fn take(rollout: &Rollout, seen: &Seen<'_>) -> Self {
        let mut census = Self::default();
        for (id, state) in seen.observed.replicas.iter().filter(|(id, _)| id.service == *seen.service) {
            let is_new = rollout.to.as_ref() == Some(&state.release);
            let group = if is_new { &mut census.new } else { &mut census.old };
            match state.phase {
                Phase::Draining | Phase::Stopping => group.leaving += 1,
                Phase::Ready => {
                    group.alive += 1;
                    group.ready += 1;
                }
                Phase::Starting | Phase::Unready | Phase::Exited => group.alive += 1,
            }
            if !is_new {
                continue;
            }
            census.trouble = census.trouble.or_else(|| trouble(id, state, rollout.began));
            if state.phase == Phase::Starting {
                let since =
                    census.waiting.as_ref().map_or(state.since, |(since, _)| (*since).min(state.since));
                census.waiting = Some((since, state.probe_error.clone()));
            }
        }
        census
    }

    /// Undoes the rollout where a new replica takes too long to become ready, or where nothing moves at all; else says
    /// when that would be.
    fn late(&self, rollout: &mut Rollout, wanted: u32, now: u64) -> Option<u64> {
        let limit = match &self.waiting {
            // Time counts from the stage where a control plane took over later than the replica began.
            Some((since, _)) => (*since).max(rollout.since) + millis(rollout.deploy.ready),
            // Old replicas drain, one after the other, or no process can be started.
            None => rollout.since + STALLED * u64::from(wanted + 1) * millis(rollout.deploy.ready),
        };
        if now >= limit {
            return undo(rollout, now, self.not_ready(rollout));
        }
        Some(limit)
    }

    fn not_ready(&self, rollout: &Rollout) -> String {
        let probe = self.waiting.as_ref().and_then(|(_, error)| error.as_deref());
        let said = probe.map(|said| format!(": {said}")).unwrap_or_default();
        format!("it was not ready within {:?}{said}", rollout.deploy.ready)
    }
}

fn trouble(id: &ReplicaId, state: &ReplicaState, began: u64) -> Option<String> {
    match (&state.last_exit, state.phase) {
        (Some(exit), _) if exit.at >= began => Some(format!("{id} crashed: {}", exit_text(exit))),
        (_, Phase::Exited) => Some(format!("{id} could not be started")),
        (_, Phase::Unready) => {
            let said = state.probe_error.as_deref().unwrap_or("no probe got an answer");
            Some(format!("{id} is not healthy any more: {said}"))
        }
        _ => None,
    }
}

fn exit_text(exit: &ExitReason) -> String {
    let how = match (&exit.message, exit.code, exit.signal) {
        (Some(message), ..) => message.clone(),
        (None, Some(code), _) => format!("exit code {code}"),
        (None, None, Some(signal)) => format!("signal {signal}"),
        (None, None, None) => "nobody saw how".to_owned(),
    };
    let ran = exit.ran.as_secs_f64();
    let last = exit.last_lines.iter().rev().find(|line| !line.trim().is_empty());
    let last = last.map(|line| format!(", its last words: {line}")).unwrap_or_default();
    format!("{how} after {ran:.1} s{last}")
}

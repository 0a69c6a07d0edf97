//! One service, one moment: what to do next.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use model::{ObservedState, Phase, ReleaseId, ReplicaId, ReplicaState, ServiceName};

use crate::backoff::restart_delay;
use crate::millis;

/// A replica whose probes fail for this long is stopped and started anew: it hangs.
pub const UNREADY_LIMIT: Duration = Duration::from_secs(30);

/// What is wanted of one service now.
#[derive(Debug, Clone, PartialEq)]
pub struct Want {
    /// Which service.
    pub service: ServiceName,
    /// What it should run; `None` while nothing is built yet, or when it may not start yet.
    pub release: Option<ReleaseId>,
    /// How many replicas.
    pub replicas: u32,
    /// Another release that is to run beside it, with so many replicas: one that is being tried.
    pub beside: Option<(ReleaseId, u32)>,
    /// Replicas whose process was started before this moment (Unix milliseconds) are to be replaced: a restart.
    pub not_before: u64,
    /// How long a draining replica may take to finish its requests.
    pub drain_limit: Duration,
}

/// What the data plane says of the replicas of a service.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Traffic {
    /// Draining replicas that the routing table in force leaves out because they are draining. That a table does not
    /// have a replica is not enough: the next one, under way already, might.
    pub let_go: BTreeSet<ReplicaId>,
    /// Requests in flight for each replica; a replica that is absent has none.
    pub in_flight: BTreeMap<ReplicaId, u64>,
}

/// One thing to do. Steps of one plan do not depend on each other's outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Start a process of this release in this slot.
    Start(ReplicaId, ReleaseId),
    /// Send it no more requests.
    Drain(ReplicaId),
    /// End its process.
    Stop(ReplicaId),
    /// Its process is gone and it is not wanted any more.
    Forget(ReplicaId),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(id, _) => write!(f, "start {id}"),
            Self::Drain(id) => write!(f, "drain {id}"),
            Self::Stop(id) => write!(f, "stop {id}"),
            Self::Forget(id) => write!(f, "forget {id}"),
        }
    }
}

/// Why a step is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// There are fewer replicas than wanted.
    Missing,
    /// The process ended, and the back-off is over.
    Ended {
        /// How many times in a row.
        failures: u32,
    },
    /// A replacement of the wanted release is started beside it, or is ready.
    Outdated,
    /// A release is tried beside the one in charge.
    Trial,
    /// There are more replicas than wanted.
    Surplus,
    /// It has no requests any more.
    Drained,
    /// It did not finish its requests in time.
    DrainLimit,
    /// Its probes failed for longer than [`UNREADY_LIMIT`].
    Hung,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => write!(f, "fewer replicas run than wanted"),
            Self::Ended { failures } => write!(f, "its process ended ({failures} in a row)"),
            Self::Outdated => write!(f, "a newer release or a restart replaces it"),
            Self::Trial => write!(f, "a new release is tried beside the old one"),
            Self::Surplus => write!(f, "more replicas run than wanted"),
            Self::Drained => write!(f, "it has no requests any more"),
            Self::DrainLimit => write!(f, "it did not finish its requests in time"),
            Self::Hung => write!(f, "its health checks fail for too long"),
        }
    }
}

/// What to do, why, and when to look again even if nothing happens.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// In the order in which they are to be begun.
    pub steps: Vec<(Step, Reason)>,
    /// Unix milliseconds.
    pub next: Option<u64>,
}

impl Plan {
    fn push(&mut self, step: Step, reason: Reason) {
        self.steps.push((step, reason));
    }

    fn look_again_at(&mut self, at: u64) {
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }
}

/// Plans the next steps of one service. `now` is in Unix milliseconds.
///
/// Replacement is one at a time with one replica more than wanted (surge 1, unavailable 0): a ready replica
/// is drained for a newer one only while more are ready than wanted.
pub fn plan(want: &Want, observed: &ObservedState, traffic: &Traffic, now: u64) -> Plan {
    let mut plan = Plan::default();
    let mine: Vec<(&ReplicaId, &ReplicaState)> =
        observed.replicas.iter().filter(|(id, _)| id.service == want.service).collect();
    for (id, state) in &mine {
        if state.phase == Phase::Draining {
            end_drained(&mut plan, id, state, want, traffic, now);
        }
    }
    let staying =
        mine.iter().copied().filter(|(_, state)| !matches!(state.phase, Phase::Draining | Phase::Stopping));
    let (beside, rest): (Vec<_>, Vec<_>) = staying.partition(|(_, state)| is_beside(want, state));
    let (current, mut outdated): (Vec<_>, Vec<_>) =
        rest.into_iter().partition(|(_, state)| is_current(want, state));
    let keep = trim(&mut plan, &current, want.replicas);
    let (tried, surplus) = chosen(&beside, want.beside.as_ref().map_or(0, |(_, count)| *count));
    // They may stand in for others that are not ready, so they go as outdated ones do.
    outdated.extend(surplus);
    for (id, state) in &keep {
        heal(&mut plan, id, state, want.release.as_ref(), now);
    }
    for (id, state) in &tried {
        heal(&mut plan, id, state, Some(&state.release), now);
    }
    let running_outdated = replace(&mut plan, &keep, &outdated, want);
    let mut slots = Slots::new(want, &mine);
    fill(&mut plan, &mut slots, keep.len(), running_outdated, want);
    if let Some((release, count)) = &want.beside {
        for _ in tried.len()..usize::try_from(*count).unwrap_or(usize::MAX) {
            plan.push(Step::Start(slots.next(), release.clone()), Reason::Trial);
        }
    }
    plan
}

fn is_beside(want: &Want, state: &ReplicaState) -> bool {
    want.beside.as_ref().is_some_and(|(release, _)| *release == state.release)
        && want.release.as_ref() != Some(&state.release)
        && state.started_at >= want.not_before
}

fn is_current(want: &Want, state: &ReplicaState) -> bool {
    // With nothing to replace it by, what runs is what is wanted.
    want.release.as_ref().is_none_or(|release| *release == state.release)
        && state.started_at >= want.not_before
}

/// A draining replica ends once the data plane has let go of it.
fn end_drained(
    plan: &mut Plan,
    id: &ReplicaId,
    state: &ReplicaState,
    want: &Want,
    traffic: &Traffic,
    now: u64,
) {
    let unrouted = traffic.let_go.contains(id);
    let idle = traffic.in_flight.get(id).copied().unwrap_or(0) == 0;
    let limit = state.since.saturating_add(millis(want.drain_limit));
    if unrouted && idle {
        plan.push(Step::Stop(id.clone()), Reason::Drained);
    } else if now >= limit {
        plan.push(Step::Stop(id.clone()), Reason::DrainLimit);
    } else {
        plan.look_again_at(limit);
    }
}

/// A slot and what is in it.
type Slot<'a> = (&'a ReplicaId, &'a ReplicaState);

/// Takes away what is too much, those that serve nobody first, then the highest numbers; gives what stays.
fn trim<'a>(
    plan: &mut Plan,
    current: &[(&'a ReplicaId, &'a ReplicaState)],
    most: u32,
) -> Vec<(&'a ReplicaId, &'a ReplicaState)> {
    let (keep, surplus) = chosen(current, most);
    for (id, state) in surplus {
        retire(plan, id, state, Reason::Surplus);
    }
    keep
}

/// Those that stay, at most so many, and the rest.
fn chosen<'a>(list: &[Slot<'a>], most: u32) -> (Vec<Slot<'a>>, Vec<Slot<'a>>) {
    let mut order = list.to_vec();
    order.sort_by_key(|(id, state)| (state.phase != Phase::Ready, id.index));
    let keep = usize::try_from(most).unwrap_or(usize::MAX).min(order.len());
    let rest = order.split_off(keep);
    (order, rest)
}

/// Ends a replica in the way that its phase asks for.
fn retire(plan: &mut Plan, id: &ReplicaId, state: &ReplicaState, reason: Reason) {
    match state.phase {
        Phase::Exited => plan.push(Step::Forget(id.clone()), reason),
        // It was ready a moment ago, or is by now, so the data plane may know it.
        Phase::Starting | Phase::Ready | Phase::Unready => plan.push(Step::Drain(id.clone()), reason),
        Phase::Draining | Phase::Stopping => {}
    }
}

/// Starts what ended, after its back-off, and ends what hangs.
fn heal(plan: &mut Plan, id: &ReplicaId, state: &ReplicaState, release: Option<&ReleaseId>, now: u64) {
    match state.phase {
        Phase::Exited => {
            // None: there is nothing to start.
            let Some(release) = release else { return };
            let due = state.since.saturating_add(millis(restart_delay(id, state.failures)));
            if now >= due {
                plan.push(
                    Step::Start(id.clone(), release.clone()),
                    Reason::Ended { failures: state.failures },
                );
            } else {
                plan.look_again_at(due);
            }
        }
        Phase::Unready => {
            let due = state.since.saturating_add(millis(UNREADY_LIMIT));
            if now >= due {
                plan.push(Step::Stop(id.clone()), Reason::Hung);
            } else {
                plan.look_again_at(due);
            }
        }
        Phase::Starting | Phase::Ready | Phase::Draining | Phase::Stopping => {}
    }
}

/// Retires outdated replicas as far as current ones make up for them; gives how many outdated ones run on.
fn replace(
    plan: &mut Plan,
    current: &[(&ReplicaId, &ReplicaState)],
    outdated: &[(&ReplicaId, &ReplicaState)],
    want: &Want,
) -> usize {
    let ready =
        |list: &[(&ReplicaId, &ReplicaState)]| list.iter().filter(|(_, s)| s.phase == Phase::Ready).count();
    let wanted = usize::try_from(want.replicas).unwrap_or(usize::MAX);
    let mut spare = (ready(current) + ready(outdated)).saturating_sub(wanted);
    let mut left = 0;
    for (id, state) in outdated {
        if state.phase != Phase::Ready {
            retire(plan, id, state, Reason::Outdated);
        } else if spare > 0 {
            spare -= 1;
            retire(plan, id, state, Reason::Outdated);
        } else {
            left += 1;
        }
    }
    left
}

/// Starts what is missing: all at once when nothing is being replaced, else one more than wanted at most.
fn fill(plan: &mut Plan, slots: &mut Slots<'_>, current: usize, running_outdated: usize, want: &Want) {
    let Some(release) = &want.release else { return };
    let wanted = usize::try_from(want.replicas).unwrap_or(usize::MAX);
    let surge = usize::from(running_outdated > 0);
    let room = (wanted + surge).saturating_sub(current + running_outdated);
    let missing = wanted.saturating_sub(current).min(room);
    let reason = if running_outdated > 0 { Reason::Outdated } else { Reason::Missing };
    for _ in 0..missing {
        plan.push(Step::Start(slots.next(), release.clone()), reason.clone());
    }
}

/// The lowest numbers that no replica has.
struct Slots<'a> {
    service: &'a ServiceName,
    taken: BTreeSet<u32>,
}

impl<'a> Slots<'a> {
    fn new(want: &'a Want, mine: &[(&ReplicaId, &ReplicaState)]) -> Self {
        Self { service: &want.service, taken: mine.iter().map(|(id, _)| id.index).collect() }
    }

    fn next(&mut self) -> ReplicaId {
        let index = (1..).find(|i| !self.taken.contains(i)).unwrap_or(u32::MAX);
        self.taken.insert(index);
        ReplicaId { service: self.service.clone(), index }
    }
}

#[cfg(test)]
mod tests;

//! The rules: what follows from where a saga is. Pure; the engine does what they say.

use serde_json::{Map, Value, json};

use crate::plan::{Kind, On, Plan, Step, Undo};
use crate::record::{Event, Outcome, Reason, Record};
use crate::state::{Phase, State, WithBody};

/// Something to be done outside. What made it due is durable by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Effect {
    /// The step.
    pub step: usize,
    /// Whether it is to be undone.
    pub undo: bool,
}

/// What is due, and when the next thing will be.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// To be done now.
    pub effects: Vec<Effect>,
    /// When to look again, in Unix milliseconds; `None` when only something from outside changes anything.
    pub wake: Option<u64>,
}

/// Applies everything that follows without anything being done, and gives the records of it. `in_flight` says which
/// steps have an effect under way that has not been answered.
pub fn advance(plan: &Plan, state: &mut State, now: u64, in_flight: &dyn Fn(usize) -> bool) -> Vec<Record> {
    let mut records = Vec::new();
    while state.ended.is_none() {
        let events =
            if state.undoing.is_some() { back(plan, state, in_flight) } else { forward(plan, state, now) };
        if events.is_empty() {
            break;
        }
        for event in events {
            let record = Record { at: now, event };
            state.apply(&record);
            records.push(record);
        }
    }
    records
}

fn forward(plan: &Plan, state: &State, now: u64) -> Vec<Event> {
    if let Some(reason) = turning(plan, state, now) {
        return vec![Event::Undoing { reason }];
    }
    let mut events = Vec::new();
    for (at, step) in plan.steps.iter().enumerate() {
        match state.phase(at) {
            Phase::Waiting if is_free(step, state) => {
                let id = step.id.clone();
                let wanted = step.when.as_ref().is_none_or(|when| when.holds(state));
                events.push(if wanted { Event::Started { step: id } } else { Event::Skipped { step: id } });
            }
            Phase::Started => events.extend(waited(step, at, state, now)),
            _ => {}
        }
    }
    if events.is_empty()
        && (0..plan.steps.len()).all(|at| matches!(state.phase(at), Phase::Done | Phase::Skipped))
    {
        let output = plan.output.as_ref().map_or(Value::Null, |output| output.value(state));
        events.push(Event::Ended { outcome: Outcome::Done { output } });
    }
    events
}

/// Why it turns back now, if it does.
fn turning(plan: &Plan, state: &State, now: u64) -> Option<Reason> {
    for (at, step) in plan.steps.iter().enumerate() {
        let s = state.steps.get(at)?;
        match s.phase {
            // After the pivot a refusal is for people to solve.
            Phase::Refused if !step.forward_only || step.pivot => {
                let (status, body) = s.refusal.clone().unwrap_or_default();
                return Some(Reason::Refused { step: step.id.clone(), status, body });
            }
            Phase::Unknown => {
                let error = s.error.clone().unwrap_or_default();
                return Some(Reason::Unknown { step: step.id.clone(), error });
            }
            _ => {}
        }
    }
    let late = deadline(plan, state).is_some_and(|at| at <= now);
    (late && !state.past_pivot(plan)).then_some(Reason::Deadline)
}

fn deadline(plan: &Plan, state: &State) -> Option<u64> {
    plan.deadline.map(|d| state.started_at.saturating_add(d))
}

fn is_free(step: &Step, state: &State) -> bool {
    step.after.iter().all(|a| matches!(state.phase(*a), Phase::Done | Phase::Skipped))
}

/// What follows for a started step that waits: for a time, an event, or another saga.
fn waited(step: &Step, at: usize, state: &State, now: u64) -> Option<Event> {
    let s = state.steps.get(at)?;
    let (id, over) = (step.id.clone(), |time: u64| s.since.saturating_add(time) <= now);
    match &step.kind {
        Kind::Timer(time) => over(*time).then(|| Event::Done { step: id, kept: Map::new() }),
        Kind::Event { name, timeout } => match state.events.get(name) {
            Some(body) => Some(Event::Done { step: id, kept: keep(step, state, body) }),
            None => over(*timeout).then(|| {
                let body =
                    json!({ "code": "no_event", "detail": format!("the event {name} did not come in time") });
                Event::Refused { step: id, status: None, body }
            }),
        },
        Kind::Saga { name, .. } => match s.child.as_ref()? {
            Outcome::Done { output } => Some(Event::Done { step: id, kept: keep(step, state, output) }),
            Outcome::Undone { reason } => {
                let detail = format!("the saga {name} was undone");
                let body = json!({ "code": "saga_undone", "detail": detail, "reason": reason });
                Some(Event::Refused { step: id, status: None, body })
            }
        },
        Kind::Call(_) => None,
    }
}

/// What a step keeps of its answer.
pub fn keep(step: &Step, state: &State, body: &Value) -> Map<String, Value> {
    let scope = WithBody { state, body };
    step.keep.iter().map(|(name, template)| (name.clone(), template.value(&scope))).collect()
}

/// Going back: a step is undone once nothing that came after it has an effect.
fn back(plan: &Plan, state: &State, in_flight: &dyn Fn(usize) -> bool) -> Vec<Event> {
    let clear = clear(plan, state);
    let is_clear = |at: usize| clear.get(at) == Some(&true);
    let mut events = Vec::new();
    for (at, step) in plan.steps.iter().enumerate().filter(|(at, _)| !state.is_undone(plan, *at)) {
        match state.phase(at) {
            // A call that is under way may have its effect after an undo that overtakes it; so it is waited for.
            Phase::Started if in_flight(at) => {}
            _ if !followers(plan, at).all(is_clear) => {}
            Phase::Undoing => events.extend(child_undone(step, at, state)),
            _ if step.undo == Undo::Nothing || step.forward_only => {
                events.push(Event::Undone { step: step.id.clone() })
            }
            _ => events.push(Event::UndoStarted { step: step.id.clone() }),
        }
    }
    if clear.iter().all(|c| *c)
        && let Some(reason) = &state.undoing
    {
        events.push(Event::Ended { outcome: Outcome::Undone { reason: reason.clone() } });
    }
    events
}

/// Of each step, whether it and everything after it is without effect.
fn clear(plan: &Plan, state: &State) -> Vec<bool> {
    let mut clear = vec![false; plan.steps.len()];
    // No step waits for a later one, so from the end each is looked at after all that follow it.
    for at in (0..plan.steps.len()).rev() {
        let it = state.is_undone(plan, at) && followers(plan, at).all(|f| clear.get(f) == Some(&true));
        if let Some(slot) = clear.get_mut(at) {
            *slot = it;
        }
    }
    clear
}

/// The steps that wait for a step.
fn followers(plan: &Plan, at: usize) -> impl Iterator<Item = usize> {
    plan.steps
        .iter()
        .enumerate()
        .filter(move |(_, other)| other.after.contains(&at))
        .map(|(follower, _)| follower)
}

fn child_undone(step: &Step, at: usize, state: &State) -> Option<Event> {
    let undone = matches!(state.steps.get(at)?.child, Some(Outcome::Undone { .. }));
    (step.undo == Undo::Saga && undone).then(|| Event::Undone { step: step.id.clone() })
}

/// What is to be done now, after everything that [`advance`] gave is durable. `asked` says what is under way, or was asked
/// for and is only waited for.
pub fn due(plan: &Plan, state: &State, now: u64, asked: &dyn Fn(Effect) -> bool) -> Due {
    let mut due = Due::default();
    if state.ended.is_some() {
        return due;
    }
    let mut wake = |at: u64| due.wake = Some(due.wake.map_or(at, |before: u64| before.min(at)));
    if state.undoing.is_none() && !state.past_pivot(plan) {
        deadline(plan, state).into_iter().for_each(&mut wake);
    }
    for (at, (step, s)) in plan.steps.iter().zip(&state.steps).enumerate() {
        let undo = match s.phase {
            Phase::Started if state.undoing.is_none() => false,
            Phase::Undoing => true,
            _ => continue,
        };
        match &step.kind {
            Kind::Timer(time) if !undo => wake(s.since.saturating_add(*time)),
            Kind::Event { timeout, .. } if !undo => wake(s.since.saturating_add(*timeout)),
            _ if asked(Effect { step: at, undo }) => {}
            _ if s.next <= now => due.effects.push(Effect { step: at, undo }),
            _ => wake(s.next),
        }
    }
    due
}

/// What came of an effect.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// It is there; this is what the callee said.
    Done(Value),
    /// It is definitely not there.
    Refused {
        /// The status of the answer, if there was one.
        status: Option<u16>,
        /// The answer, or what is wrong.
        body: Value,
    },
    /// Nobody knows.
    Open {
        /// What happened, for the rule of what is tried again; `None` for what is always tried again.
        on: Option<On>,
        /// What happened, for people.
        error: String,
        /// How long the callee asked to be left alone, in milliseconds.
        pause: Option<u64>,
    },
}

/// What follows from an answer. `random` is 0 to 1.
pub fn answered(
    plan: &Plan,
    state: &State,
    effect: Effect,
    answer: Answer,
    now: u64,
    random: f64,
) -> Vec<Event> {
    let (Some(step), Some(s)) = (plan.steps.get(effect.step), state.steps.get(effect.step)) else {
        return Vec::new();
    };
    let id = step.id.clone();
    let call = match (&step.kind, &step.undo) {
        (_, Undo::Call(call)) if effect.undo => Some(call.as_ref()),
        (Kind::Call(call), _) if !effect.undo => Some(call),
        _ => None,
    };
    let (on, error, pause) = match answer {
        Answer::Done(_) if effect.undo => return vec![Event::Undone { step: id }],
        Answer::Done(body) => return vec![Event::Done { step: id, kept: keep(step, state, &body) }],
        Answer::Refused { status, body } if !effect.undo => {
            return vec![Event::Refused { step: id, status, body }];
        }
        // An undo may not be refused: it is asked for again, and somebody is told.
        Answer::Refused { status, body } => (None, refusal(status, &body), None),
        Answer::Open { on, error, pause } => (on, error, pause),
    };
    let attempt = s.attempts.saturating_add(1);
    let Some(retry) = call.map(|c| &c.retry) else {
        // Starting another saga fails when the store does.
        return vec![Event::Failed {
            step: id,
            undo: effect.undo,
            attempt,
            error,
            next: now.saturating_add(1_000),
        }];
    };
    let again = match retry.max {
        None => true,
        Some(max) => attempt <= max && on.is_none_or(|on| retry.on.contains(&on)),
    };
    if !again && !effect.undo && state.undoing.is_none() {
        return vec![Event::Unknown { step: id, error }];
    }
    let next = now.saturating_add(retry.pause(attempt, random).max(pause.unwrap_or(0)));
    let mut events = Vec::new();
    if !s.alerted && now.saturating_sub(s.since) >= retry.alert_after && retry.max.is_none() {
        events.push(Event::Alert { step: id.clone(), error: error.clone() });
    }
    events.push(Event::Failed { step: id, undo: effect.undo, attempt, error, next });
    events
}

fn refusal(status: Option<u16>, body: &Value) -> String {
    let mut text = status.map_or_else(|| "refused".to_owned(), |s| format!("refused with {s}"));
    if !body.is_null() {
        text.push_str(": ");
        text.extend(body.to_string().chars().take(300));
    }
    text
}

#[cfg(test)]
#[path = "advance_tests.rs"]
mod tests;

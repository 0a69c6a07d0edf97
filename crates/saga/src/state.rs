//! What a journal adds up to.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::expr::{Found, Scope};
use crate::plan::{Plan, Undo};
use crate::record::{Event, Outcome, Reason, Record};

/// Where a saga is.
#[derive(Debug, Clone)]
pub struct State {
    /// The saga's id, from which keys are made.
    pub id: String,
    /// What it was started with.
    pub input: Value,
    /// When it was started, in Unix milliseconds.
    pub started_at: u64,
    /// Every step, as in the plan.
    pub steps: Vec<StepState>,
    /// Why it goes back, if it does.
    pub undoing: Option<Reason>,
    /// The same as a value, for the undos that want to know: `$failure`.
    failure: Value,
    /// Events that came, by name; of two of one name the first counts.
    pub events: BTreeMap<String, Value>,
    /// How it ended, if it has.
    pub ended: Option<Outcome>,
    ids: Vec<String>,
}

/// Where a step is.
#[derive(Debug, Clone, Default)]
pub struct StepState {
    /// What is the case.
    pub phase: Phase,
    /// What it keeps.
    pub kept: Map<String, Value>,
    /// When this phase began.
    pub since: u64,
    /// Failed attempts in this phase.
    pub attempts: u32,
    /// When the next attempt is due.
    pub next: u64,
    /// Whether somebody was told that it does not work.
    pub alerted: bool,
    /// What happened last.
    pub error: Option<String>,
    /// The refusal, if it was refused: status and answer.
    pub refusal: Option<(Option<u16>, Value)>,
    /// How the saga that it started ended.
    pub child: Option<Outcome>,
}

/// What is the case with a step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Phase {
    /// It has not begun.
    #[default]
    Waiting,
    /// It is being done.
    Started,
    /// It is done.
    Done,
    /// It is left out.
    Skipped,
    /// It was refused.
    Refused,
    /// Nobody knows.
    Unknown,
    /// It is being undone.
    Undoing,
    /// It has no effect any more.
    Undone,
}

impl State {
    /// A saga that has just been started.
    pub fn new(id: &str, plan: &Plan, input: Value, started_at: u64) -> Self {
        Self {
            id: id.to_owned(),
            input,
            started_at,
            steps: vec![StepState::default(); plan.steps.len()],
            undoing: None,
            failure: Value::Null,
            events: BTreeMap::new(),
            ended: None,
            ids: plan.steps.iter().map(|s| s.id.clone()).collect(),
        }
    }

    /// A saga as its journal tells it.
    pub fn replay(id: &str, plan: &Plan, input: Value, started_at: u64, journal: &[Record]) -> Self {
        let mut state = Self::new(id, plan, input, started_at);
        journal.iter().for_each(|record| state.apply(record));
        state
    }

    /// Takes a record in. One about a step that the plan does not have changes nothing.
    pub fn apply(&mut self, record: &Record) {
        let at = record.at;
        match &record.event {
            Event::Started { step } => self.enter(step, Phase::Started, at),
            Event::UndoStarted { step } => self.enter(step, Phase::Undoing, at),
            Event::Skipped { step } => self.enter(step, Phase::Skipped, at),
            Event::Undone { step } => self.enter(step, Phase::Undone, at),
            Event::Done { step, kept } => {
                self.enter(step, Phase::Done, at);
                if let Some(step) = self.step_mut(step) {
                    step.kept.clone_from(kept);
                }
            }
            Event::Refused { step, status, body } => {
                self.enter(step, Phase::Refused, at);
                if let Some(step) = self.step_mut(step) {
                    step.refusal = Some((*status, body.clone()));
                }
            }
            Event::Unknown { step, error } => {
                self.enter(step, Phase::Unknown, at);
                if let Some(step) = self.step_mut(step) {
                    step.error = Some(error.clone());
                }
            }
            Event::Failed { step, attempt, error, next, .. } => {
                if let Some(step) = self.step_mut(step) {
                    (step.attempts, step.next, step.error) = (*attempt, *next, Some(error.clone()));
                }
            }
            Event::Alert { step, .. } => {
                if let Some(step) = self.step_mut(step) {
                    step.alerted = true;
                }
            }
            Event::Undoing { reason } => {
                self.undoing = Some(reason.clone());
                // A reason is a tree of plain data with text keys, which always can be written as JSON.
                self.failure = serde_json::to_value(reason).unwrap_or_default();
                // A saga that was done can be undone as a whole.
                self.ended = None;
            }
            Event::Event { name, body } => {
                self.events.entry(name.clone()).or_insert_with(|| body.clone());
            }
            Event::Child { step, outcome } => {
                if let Some(step) = self.step_mut(step) {
                    step.child = Some(outcome.clone());
                }
            }
            Event::Retried => self.retry(at),
            Event::Ended { outcome } => self.ended = Some(outcome.clone()),
        }
    }

    fn retry(&mut self, at: u64) {
        for step in &mut self.steps {
            match step.phase {
                Phase::Started | Phase::Undoing => (step.next, step.alerted) = (at, false),
                // Only past the pivot does a refused step stand still.
                Phase::Refused if self.undoing.is_none() => {
                    *step = StepState { phase: Phase::Started, since: at, ..StepState::default() };
                }
                _ => {}
            }
        }
    }

    fn enter(&mut self, id: &str, phase: Phase, at: u64) {
        if let Some(step) = self.step_mut(id) {
            let (kept, child) = (std::mem::take(&mut step.kept), step.child.take());
            *step = StepState { phase, since: at, kept, child, ..StepState::default() };
        }
    }

    /// The index of a step.
    pub fn index(&self, id: &str) -> Option<usize> {
        self.ids.iter().position(|known| known == id)
    }

    fn step_mut(&mut self, id: &str) -> Option<&mut StepState> {
        self.index(id).and_then(|at| self.steps.get_mut(at))
    }

    /// The phase of a step.
    pub fn phase(&self, step: usize) -> Phase {
        self.steps.get(step).map_or(Phase::Waiting, |s| s.phase)
    }

    /// Whether the pivot was asked for, from when on there is no way back unless it is refused.
    pub fn past_pivot(&self, plan: &Plan) -> bool {
        plan.pivot().is_some_and(|at| matches!(self.phase(at), Phase::Started | Phase::Done))
    }

    /// Whether it stands still until somebody does something: a step after the pivot was refused.
    pub fn stuck(&self, plan: &Plan) -> bool {
        self.undoing.is_none()
            && plan
                .steps
                .iter()
                .zip(&self.steps)
                .any(|(step, s)| step.forward_only && !step.pivot && s.phase == Phase::Refused)
    }

    /// Whether some call has not worked for so long that somebody was told.
    pub fn alerted(&self) -> bool {
        self.steps.iter().any(|s| s.alerted && matches!(s.phase, Phase::Started | Phase::Undoing))
    }

    /// Whether going back is done with a step: it never began, has nothing to undo, or is undone.
    pub fn is_undone(&self, plan: &Plan, step: usize) -> bool {
        let nothing = plan.steps.get(step).is_none_or(|s| s.undo == Undo::Nothing || s.forward_only);
        match self.phase(step) {
            Phase::Waiting | Phase::Skipped | Phase::Undone => true,
            Phase::Done | Phase::Refused | Phase::Unknown => nothing,
            Phase::Started | Phase::Undoing => false,
        }
    }

    /// The key that a step's calls carry.
    pub fn key(&self, step: &str) -> String {
        format!("{}.{step}", self.id)
    }
}

impl Scope for State {
    fn root(&self, root: &str, first: Option<&str>) -> Option<Found<'_>> {
        match root {
            "input" => return Some(Found::Root(&self.input)),
            "failure" => return Some(Found::Root(&self.failure)),
            _ => {}
        }
        let step = self.index(root).and_then(|at| self.steps.get(at))?;
        match first? {
            "key" => Some(Found::Text(self.key(root))),
            name => step.kept.get(name).map(Found::First),
        }
    }
}

/// A state together with the answer that a step got.
#[derive(Debug)]
pub struct WithBody<'a> {
    /// The state.
    pub state: &'a State,
    /// The answer.
    pub body: &'a Value,
}

impl Scope for WithBody<'_> {
    fn root(&self, root: &str, first: Option<&str>) -> Option<Found<'_>> {
        if root == "body" { Some(Found::Root(self.body)) } else { self.state.root(root, first) }
    }
}

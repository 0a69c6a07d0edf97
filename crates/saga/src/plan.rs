//! A definition after it was checked: all that running a saga needs, names resolved, defaults filled in.
//!
//! It is stored with the sagas that began with it, so its form may only grow.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::expr::{Condition, Template};

/// A checked definition. Durations are milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The saga's name.
    pub name: String,
    /// The version that its author gave it.
    pub version: u32,
    /// Where the schema of the input is: `service#/json/pointer`.
    pub input: Option<String>,
    /// After this long it stops going forward and undoes.
    pub deadline: Option<u64>,
    /// Every step; an earlier one never waits for a later one.
    pub steps: Vec<Step>,
    /// What it tells when it is done.
    pub output: Option<Template>,
}

impl Plan {
    /// A name of this very content.
    pub fn digest(&self) -> String {
        // A plan is a tree of plain data with text keys, which always can be written as JSON.
        let json = serde_json::to_vec(self).unwrap_or_default();
        Sha256::digest(json).iter().take(16).map(|b| format!("{b:02x}")).collect()
    }

    /// The services that it calls.
    pub fn callees(&self) -> std::collections::BTreeSet<&str> {
        self.calls().map(|(_, call)| call.service.as_str()).collect()
    }

    /// Every call that it may make, with the id of its step.
    pub fn calls(&self) -> impl Iterator<Item = (&str, &Call)> {
        self.steps.iter().flat_map(|step| {
            let forward = if let Kind::Call(call) = &step.kind { Some(call) } else { None };
            let back = if let Undo::Call(call) = &step.undo { Some(call.as_ref()) } else { None };
            forward.into_iter().chain(back).map(|call| (step.id.as_str(), call))
        })
    }

    /// Whether a step waits for an event of this name.
    pub fn waits_for(&self, event: &str) -> bool {
        self.steps.iter().any(|step| matches!(&step.kind, Kind::Event { name, .. } if name == event))
    }

    /// The index of the pivot.
    pub fn pivot(&self) -> Option<usize> {
        self.steps.iter().position(|step| step.pivot)
    }
}

/// A step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its name in the saga.
    pub id: String,
    /// Indexes of the steps that it waits for.
    pub after: Vec<usize>,
    /// Left out when this does not hold.
    pub when: Option<Condition>,
    /// What it does.
    pub kind: Kind,
    /// What of the answer is kept, by name.
    pub keep: Vec<(String, Template)>,
    /// What takes its effect back.
    pub undo: Undo,
    /// From here only forward.
    pub pivot: bool,
    /// It is the pivot or comes after it: it is never undone, and asked for until it works.
    pub forward_only: bool,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Calls an operation.
    Call(Call),
    /// Waits for a time.
    Timer(u64),
    /// Waits for an event.
    Event {
        /// Its name.
        name: String,
        /// For how long; the step is refused then.
        timeout: u64,
    },
    /// Starts another saga and waits for its end.
    Saga {
        /// Its name.
        name: String,
        /// What it is started with.
        input: Template,
    },
}

/// What takes a step's effect back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undo {
    /// There is nothing to take back.
    Nothing,
    /// Calls an operation.
    Call(Box<Call>),
    /// Undoes the saga that the step started.
    Saga,
}

/// A call of an operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Who is called.
    pub service: String,
    /// Its `operationId`.
    pub operation: String,
    /// The method.
    pub method: String,
    /// The path, in pieces.
    pub path: Vec<PathPart>,
    /// The query.
    pub query: Vec<(String, Template)>,
    /// Header fields besides those that every call has.
    pub headers: Vec<(String, Template)>,
    /// The JSON body.
    pub body: Option<Template>,
    /// For one attempt.
    pub timeout: u64,
    /// What is done when it fails.
    pub retry: Retry,
}

/// A piece of a path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PathPart {
    /// As it is.
    Text(String),
    /// A parameter.
    Param(String, Template),
}

/// What is done when a call's outcome is not known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Retry {
    /// Further attempts after the first; `None` means until it works.
    pub max: Option<u32>,
    /// The first pause; it doubles …
    pub first: u64,
    /// … up to this.
    pub longest: u64,
    /// What is tried again; without a limit on attempts everything is.
    pub on: Vec<On>,
    /// After this long without an outcome somebody is told.
    pub alert_after: u64,
}

impl Retry {
    /// The pause after the failed attempt number `attempt` (from 1), with up to a quarter taken off at random by `random`
    /// (0 to 1), so that sagas that failed together do not come back together.
    pub fn pause(&self, attempt: u32, random: f64) -> u64 {
        let doubled = self.first.saturating_mul(1 << attempt.saturating_sub(1).min(30)).min(self.longest);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "0 to a quarter of it"
        )]
        let off = (doubled as f64 * 0.25 * random.clamp(0.0, 1.0)) as u64;
        doubled.saturating_sub(off).max(1)
    }
}

/// A failure that is worth another attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum On {
    /// No connection.
    Connect,
    /// No answer in time, or a connection that ended before one.
    Timeout,
    /// This status.
    Status(u16),
}

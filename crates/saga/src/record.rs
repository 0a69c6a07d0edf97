//! What happened to a saga: the records of its journal.
//!
//! The journal is the truth; [`crate::state::State`] is what it adds up to. A line of JSON each; the form may only grow.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A record and its time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Unix milliseconds.
    #[serde(rename = "t")]
    pub at: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "e", rename_all = "snake_case")]
pub enum Event {
    /// The step is about to be done for the first time. Durable before its effect.
    Started {
        /// The step.
        step: String,
    },
    /// An attempt failed, and nobody knows what became of it.
    Failed {
        /// The step.
        step: String,
        /// Whether it was an attempt to undo it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        undo: bool,
        /// Attempts until now.
        attempt: u32,
        /// What happened.
        error: String,
        /// When the next attempt is due.
        next: u64,
    },
    /// The step's effect is there.
    Done {
        /// The step.
        step: String,
        /// What it keeps.
        #[serde(default, skip_serializing_if = "Map::is_empty")]
        kept: Map<String, Value>,
    },
    /// The step was left out: its `when` does not hold.
    Skipped {
        /// The step.
        step: String,
    },
    /// The step was definitely refused.
    Refused {
        /// The step.
        step: String,
        /// The status of the answer, if there was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
        /// The answer, or what is wrong.
        body: Value,
    },
    /// Attempts are used up, and nobody knows whether the effect is there.
    Unknown {
        /// The step.
        step: String,
        /// What happened last.
        error: String,
    },
    /// From here on it goes back.
    Undoing {
        /// Why.
        reason: Reason,
    },
    /// The undo of a step is about to be asked for the first time.
    UndoStarted {
        /// The step.
        step: String,
    },
    /// The step has no effect any more.
    Undone {
        /// The step.
        step: String,
    },
    /// Somebody has to be told: a call has not worked for long.
    Alert {
        /// The step.
        step: String,
        /// What happened last.
        error: String,
    },
    /// An event came from outside.
    Event {
        /// Its name.
        name: String,
        /// What it says.
        body: Value,
    },
    /// The saga that a step started has ended.
    Child {
        /// The step.
        step: String,
        /// How.
        outcome: Outcome,
    },
    /// Somebody asked to try again now.
    Retried,
    /// It is over.
    Ended {
        /// How.
        outcome: Outcome,
    },
}

/// Why a saga goes back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum Reason {
    /// A step was refused.
    Refused {
        /// The step.
        step: String,
        /// The status of the answer, if there was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
        /// The answer, or what is wrong.
        body: Value,
    },
    /// What became of a step is not known.
    Unknown {
        /// The step.
        step: String,
        /// What happened last.
        error: String,
    },
    /// The deadline has passed.
    Deadline,
    /// Somebody asked for it.
    Cancelled,
}

/// How a saga ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// Every step is done.
    Done {
        /// What the definition's `output` says.
        output: Value,
    },
    /// No step has an effect.
    Undone {
        /// Why.
        reason: Reason,
    },
}

/// The longest error or answer that is told.
const TOLD: usize = 200;

impl Event {
    /// The step that it is about, if it is about one.
    pub fn step(&self) -> Option<&str> {
        match self {
            Self::Started { step }
            | Self::Failed { step, .. }
            | Self::Done { step, .. }
            | Self::Skipped { step }
            | Self::Refused { step, .. }
            | Self::Unknown { step, .. }
            | Self::UndoStarted { step }
            | Self::Undone { step }
            | Self::Alert { step, .. }
            | Self::Child { step, .. } => Some(step),
            Self::Undoing { .. } | Self::Event { .. } | Self::Retried | Self::Ended { .. } => None,
        }
    }

    /// In words, without the step.
    pub fn told(&self) -> String {
        match self {
            Self::Started { .. } => "started".to_owned(),
            Self::Failed { undo, attempt, error, .. } => {
                let what = if *undo { "undo" } else { "attempt" };
                format!("{what} {attempt} failed: {}", cut(error))
            }
            Self::Done { .. } => "done".to_owned(),
            Self::Skipped { .. } => "left out".to_owned(),
            Self::Refused { status, body, .. } => format!("refused{}", refusal(*status, body)),
            Self::Unknown { error, .. } => format!("unknown: {}", cut(error)),
            Self::Undoing { reason } => format!("going back: {}", reason.told()),
            Self::UndoStarted { .. } => "undo started".to_owned(),
            Self::Undone { .. } => "undone".to_owned(),
            Self::Alert { error, .. } => format!("alert: {}", cut(error)),
            Self::Event { name, .. } => format!("event {name}"),
            Self::Child { outcome, .. } => format!("its saga is {}", outcome.told()),
            Self::Retried => "tried again by hand".to_owned(),
            Self::Ended { outcome } => outcome.told(),
        }
    }
}

impl Reason {
    /// In words.
    pub fn told(&self) -> String {
        match self {
            Self::Refused { step, status, body } => format!("{step} was refused{}", refusal(*status, body)),
            Self::Unknown { step, error } => format!("nobody knows what became of {step}: {}", cut(error)),
            Self::Deadline => "the deadline has passed".to_owned(),
            Self::Cancelled => "somebody asked for it".to_owned(),
        }
    }
}

impl Outcome {
    /// In words.
    pub fn told(&self) -> String {
        match self {
            Self::Done { .. } => "done".to_owned(),
            Self::Undone { reason } => format!("undone: {}", reason.told()),
        }
    }
}

fn refusal(status: Option<u16>, body: &Value) -> String {
    let status = status.map(|status| format!(" with {status}")).unwrap_or_default();
    if body.is_null() { status } else { format!("{status}: {}", cut(&body.to_string())) }
}

fn cut(text: &str) -> String {
    if text.chars().count() <= TOLD {
        return text.to_owned();
    }
    text.chars().take(TOLD - 1).chain(['…']).collect()
}

/// Appends records to a journal.
pub fn write(records: &[Record], journal: &mut Vec<u8>) {
    for record in records {
        // Plain data with text keys, written into memory: this does not fail.
        if serde_json::to_writer(&mut *journal, record).is_ok() {
            journal.push(b'\n');
        }
    }
}

/// Reads a journal.
///
/// # Errors
/// A line is not a record that this version knows.
pub fn read(journal: &[u8]) -> Result<Vec<Record>, serde_json::Error> {
    journal.split(|b| *b == b'\n').filter(|line| !line.is_empty()).map(serde_json::from_slice).collect()
}

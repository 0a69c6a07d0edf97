//! What a comparison found.

use serde::Serialize;

pub use crate::fault::Place;
pub use crate::rules::{Kind, Severity};

/// An operation, as consumers and people name it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct OperationRef {
    /// `GET /v1/stock/{sku}` of an OpenAPI document, `package.Service/Method` of a `.proto` file.
    pub key: String,
    /// Its `operationId`.
    pub operation_id: Option<String>,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The id of the rule: stable.
    pub rule: String,
    /// What it means for consumers.
    pub severity: Severity,
    /// What it is about.
    pub kind: Kind,
    /// The operation, when it is about one.
    pub operation: Option<OperationRef>,
    /// Where in the operation: `request body: items[].sku`; empty when it is about the whole of it.
    pub location: String,
    /// Where it stands in the old contract; nowhere when it is new.
    pub place_old: Option<Place>,
    /// Where it stands in the new contract; nowhere when it is gone.
    pub place_new: Option<Place>,
    /// What changed, in a sentence without its full stop.
    pub sentence: String,
    /// How to do it without breaking anybody.
    pub hint: String,
}

impl Change {
    pub(crate) fn probe(severity: Severity) -> Self {
        Self {
            rule: String::new(),
            severity,
            kind: Kind::Wire,
            operation: None,
            location: String::new(),
            place_old: None,
            place_new: None,
            sentence: String::new(),
            hint: String::new(),
        }
    }

    /// The place to look at: in the new contract, if it is there.
    pub fn place(&self) -> Option<&Place> {
        self.place_new.as_ref().or(self.place_old.as_ref())
    }
}

/// What all changes mean together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing that a consumer could notice has changed.
    Same,
    /// Every change is safe.
    Safe,
    /// Consumers that keep to the contract can go on; some that rely on more may not.
    Warning,
    /// Something cannot be decided; to be refused like what is breaking.
    Unknown,
    /// Consumers that keep to the old contract can stop working.
    Breaking,
}

impl Verdict {
    /// Whether a gate lets it through by itself.
    pub fn is_acceptable(self) -> bool {
        self < Self::Unknown
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Safe => "safe",
            Self::Warning => "warning",
            Self::Unknown => "unknown",
            Self::Breaking => "breaking",
        }
    }
}

/// What a comparison found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What it means.
    pub verdict: Verdict,
    /// Every change, by operation, the worst first.
    pub changes: Vec<Change>,
}

impl Report {
    pub(crate) fn of(mut changes: Vec<Change>) -> Self {
        fn key(c: &Change) -> (Option<&str>, std::cmp::Reverse<Severity>, &str, &str) {
            let operation = c.operation.as_ref().map(|o| o.key.as_str());
            (operation, std::cmp::Reverse(c.severity), &c.location, &c.rule)
        }
        changes.sort_by(|a, b| key(a).cmp(&key(b)));
        changes.dedup();
        let worst = changes.iter().map(|c| c.severity).max();
        let verdict = match worst {
            None => Verdict::Same,
            Some(Severity::Safe) => Verdict::Safe,
            Some(Severity::Warning) => Verdict::Warning,
            Some(Severity::Unknown) => Verdict::Unknown,
            Some(Severity::Breaking) => Verdict::Breaking,
        };
        Self { verdict, changes }
    }

    /// How many changes are of a severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.changes.iter().filter(|c| c.severity == severity).count()
    }
}

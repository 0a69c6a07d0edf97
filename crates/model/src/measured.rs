//! What services measure themselves.

use serde::{Deserialize, Serialize};

/// What kind of number something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PointKind {
    /// It goes up and down.
    Gauge,
    /// It only grows, since the process began.
    Counter,
    /// The count (`…_count`) or the sum (`…_sum`) of all that was observed of a distribution.
    Distribution,
}

/// The latest of a number that a service measures.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// What is measured.
    pub name: String,
    /// The process that says so, if it says which it is.
    pub replica: Option<String>,
    /// What tells it apart from others of the name.
    pub attributes: Vec<(String, String)>,
    /// The unit, in the words of UCUM; empty where there is none.
    pub unit: String,
    /// What kind of number.
    pub kind: PointKind,
    /// How much it is.
    pub value: f64,
    /// When that was sent, in Unix seconds.
    pub at: u64,
}

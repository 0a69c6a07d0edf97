//! What services measure themselves, over time, as it travels over the admin API.

use std::collections::BTreeMap;

use model::PointKind;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Which number, and how finely.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeasuredQuery {
    /// The service.
    pub service: String,
    /// What it calls what it measures.
    pub name: String,
    /// So many seconds back.
    pub seconds: u64,
    /// At most about so many points.
    pub points: u64,
}

/// A number over time, for each replica and each set of attributes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct MeasuredReport {
    /// The begin, in Unix milliseconds.
    pub from: u64,
    /// The end.
    pub until: u64,
    /// Milliseconds from one point to the next.
    pub step: u64,
    /// All of that name.
    pub series: Vec<MeasuredSeries>,
}

/// One number over time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MeasuredSeries {
    /// The process that says so, if it says which it is.
    #[serde(default)]
    pub replica: Option<String>,
    /// What tells it apart from others of the name.
    pub attributes: BTreeMap<String, String>,
    /// The unit, in the words of UCUM; empty where there is none.
    pub unit: String,
    /// `gauge`; `counter`: it only grows; or `distribution`: the count or the sum of one, which only grows too.
    #[schema(value_type = String)]
    pub kind: PointKind,
    /// In order. Steps in which nothing was sent are left out.
    pub points: Vec<MeasuredPoint>,
}

/// The last value within a step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MeasuredPoint {
    /// The begin of the step.
    pub at: u64,
    /// How much it was.
    pub value: f64,
}

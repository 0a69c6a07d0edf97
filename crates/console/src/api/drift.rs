//! How real requests and answers compare with a contract, as it travels over the admin API.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What was found of a service by looking at about one request of each operation in a second. Shows no value that anybody sent.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct DriftReport {
    /// The release whose contract it is; absent where nothing can be held to one.
    #[serde(default)]
    pub release: Option<String>,
    /// Requests that were to be looked at and were not, since too many waited.
    pub missed: u64,
    /// Why nothing was looked at.
    #[serde(default)]
    pub unreadable: Option<String>,
    /// What of the contract cannot be checked, in sentences.
    pub unchecked: Vec<String>,
    /// The operations that were looked at.
    pub operations: Vec<OperationDrift>,
    /// What the service answers, and its contract does not have.
    pub undocumented: Vec<Undocumented>,
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OperationDrift {
    /// As the contract names it.
    pub operation: String,
    /// Requests that were looked at.
    pub looked_at: u64,
    /// Of these, those with something that is not as the contract says.
    pub faulty: u64,
    /// Findings beyond those that are listed.
    pub more: u64,
    /// What was found, each kind once.
    pub findings: Vec<DriftFinding>,
}

/// Something that is not as the contract says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DriftFinding {
    /// `request` or `answer`.
    pub side: String,
    /// Who sent the request; absent for clients of the gateway, and for answers.
    #[serde(default)]
    pub caller: Option<String>,
    /// Of what: "query parameter `limit`", "request body", "answer 200".
    pub place: String,
    /// Where in it: a JSON Pointer, with `*` for the number of an item; absent for the whole.
    #[serde(default)]
    pub pointer: Option<String>,
    /// What.
    pub detail: String,
    /// How often it was seen.
    pub count: u64,
    /// When it was seen first.
    pub first: u64,
    /// When it was seen last.
    pub last: u64,
    /// The body that it was first seen in, with types and lengths in place of values.
    #[serde(default)]
    pub example: Option<serde_json::Value>,
}

/// A request that is not in the contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Undocumented {
    /// Method and path, with `{}` for segments that name one thing among many.
    pub request: String,
    /// Who asked; absent for clients of the gateway.
    #[serde(default)]
    pub caller: Option<String>,
    /// The status of the last answer.
    pub status: u16,
    /// How often it was noted: not each time.
    pub seen: u64,
    /// When that was last.
    pub last: u64,
}

impl DriftFinding {
    /// Where it is, in one.
    pub fn at(&self) -> String {
        match &self.pointer {
            Some(pointer) => format!("{} {pointer}", self.place),
            None => self.place.clone(),
        }
    }

    /// Whose it is: the caller's, or for an answer the service's.
    pub fn whose<'a>(&'a self, service: &'a str) -> &'a str {
        match self.side.as_str() {
            "answer" => service,
            _ => self.caller.as_deref().unwrap_or("the gateway"),
        }
    }
}

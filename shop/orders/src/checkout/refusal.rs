//! What a customer is told when a checkout came to nothing: made of `$failure`, which says why a saga turned back.

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use service_kit::problem::Problem;

/// What an order says that its customer cancelled.
pub const CANCELLED: &str = "cancelled_by_customer";

/// Why a checkout was turned back, as the engine tells it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum Failure {
    /// A service refused its step for good.
    Refused {
        /// The step.
        step: String,
        /// The status of its answer, if it is an answer.
        #[serde(default)]
        status: Option<u16>,
        /// Its answer.
        #[serde(default)]
        body: Value,
    },
    /// Nobody knows what became of a step.
    Unknown {
        /// The step.
        step: String,
        /// What happened last.
        error: String,
    },
    /// It took too long.
    Deadline,
    /// The customer asked for it.
    Cancelled,
}

impl Failure {
    /// What the customer is told: a rule's refusal as it is; anything else is the shop's own trouble.
    #[must_use]
    pub fn problem(&self) -> Problem {
        match self {
            Self::Refused { status: Some(status @ (402 | 409 | 422)), body, .. } => {
                let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::CONFLICT);
                Problem::from_json(status, body.clone())
            }
            Self::Refused { step, status, body } => {
                tracing::error!(step, status, %body, "a service gave an unexpected answer");
                let detail =
                    "A service gave an unexpected answer, so the order was undone. Nothing was charged.";
                Problem::new(StatusCode::BAD_GATEWAY, "upstream_error", detail)
            }
            Self::Unknown { step, error } => {
                tracing::warn!(step, error, "a step could not be done");
                Problem::unavailable(service_of(step))
            }
            Self::Deadline => {
                let detail = "The checkout could not be finished in time and was undone. Try again.";
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail).retry_after(1)
            }
            Self::Cancelled => {
                Problem::conflict(CANCELLED, "The customer cancelled this order before it was confirmed.")
            }
        }
    }
}

/// The service that a step of the checkout is done by.
fn service_of(step: &str) -> &'static str {
    match step {
        "stock" | "commit" => "inventory",
        "intent" | "authorization" | "capture" => "payments",
        _ => "orders",
    }
}

/// Reads a refusal that was kept with its order.
#[must_use]
pub fn read(text: &str) -> Problem {
    let body: Value = serde_json::from_str(text).unwrap_or(json!({}));
    let status = body["status"].as_u64().and_then(|code| u16::try_from(code).ok());
    let status =
        status.and_then(|code| StatusCode::from_u16(code).ok()).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    let problem = Problem::from_json(status, body);
    if status.is_server_error() { problem.retry_after(1) } else { problem }
}

//! What happened at one moment, as it travels over the admin API.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Which events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventQuery {
    /// Of the last so many seconds.
    pub seconds: u64,
    /// Only of this service.
    pub service: Option<String>,
    /// At most so many.
    pub n: usize,
}

/// What happened, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Events {
    /// The latest of them.
    pub events: Vec<AppEvent>,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AppEvent {
    /// When.
    pub at: u64,
    /// `deploy`, `replica`, `scaling`, `circuit` or `ejection`; there may be more.
    pub kind: String,
    /// To which service; absent where it is of the whole app.
    #[serde(default)]
    pub service: Option<String>,
    /// What, with its reason.
    pub text: String,
}

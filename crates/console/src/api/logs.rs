//! Lines of output, as they travel over the admin API.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One line of output.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub struct LogEntry {
    /// When it was written.
    pub at: u64,
    /// By which service.
    pub service: String,
    /// By which replica; absent for lines about the service as a whole, such as its build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica: Option<String>,
    /// Through what.
    pub stream: LogStream,
    /// The line, without its end.
    pub text: String,
}

/// What a line came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogStream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
    /// Isles itself, about the service.
    Isles,
    /// The service, by OTLP.
    Otlp,
    /// Something this reader does not know.
    #[serde(other)]
    Unknown,
}

/// One line of the stream of `GET /v1/logs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum LogItem {
    /// A line of output.
    Entry(LogEntry),
    /// The reader was too slow: this many lines are missing here.
    Dropped {
        /// How many.
        dropped: u64,
    },
}

/// Which lines are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogQuery {
    /// Of these services; of all when empty.
    pub services: Vec<String>,
    /// With this in them, whatever the case; all when empty.
    pub text: String,
    /// At most this many of the past, the latest.
    pub n: usize,
}

impl LogQuery {
    /// Whether a line is wanted.
    pub fn wants(&self, entry: &LogEntry) -> bool {
        (self.services.is_empty() || self.services.contains(&entry.service))
            && (self.text.is_empty() || entry.text.to_lowercase().contains(&self.text.to_lowercase()))
    }
}

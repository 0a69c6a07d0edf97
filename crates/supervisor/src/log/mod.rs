//! What services wrote: the lines, how they are stored, and how they are read back.

pub(crate) mod lines;
pub(crate) mod record;
mod tail;

use std::path::{Path, PathBuf};

use model::ReplicaId;
use serde::{Deserialize, Serialize};

pub use tail::{search, tail};

/// One line of a replica's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When it was captured: Unix milliseconds.
    pub at: u64,
    /// Whose it is.
    pub replica: ReplicaId,
    /// Where it came from.
    pub stream: Stream,
    /// The line without its end, valid UTF-8, at most 16 KiB.
    pub text: String,
}

/// Where a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// The service's standard output.
    Out,
    /// The service's standard error.
    Err,
    /// Isles itself, about the replica.
    Isles,
    /// The service, by OTLP.
    Otlp,
}

/// `<logs>/<service>/<replica>.log`
pub(crate) fn log_path(logs: &Path, replica: &ReplicaId) -> PathBuf {
    logs.join(replica.service.as_str()).join(format!("{replica}.log"))
}

/// `<file>.<age>`, or the file itself for age 0.
pub(crate) fn aged(file: &Path, age: usize) -> PathBuf {
    if age == 0 {
        return file.to_owned();
    }
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".{age}"));
    PathBuf::from(name)
}

//! What a caller gives to the supervisor, and what it gets when a start fails.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use model::{Health, ReleaseId, ReplicaId, StopPolicy};

use crate::mask::Mask;

/// How a supervisor keeps the output of what it runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder for captured output; made if it is missing, for its owner only.
    pub logs: PathBuf,
    /// Bytes that one log file may have before it is rotated.
    pub log_limit: u64,
    /// How many rotated files are kept beside the current one; at least one always is.
    pub log_files: usize,
    /// What is taken out of every line before it is kept or shown.
    pub mask: Mask,
}

/// Everything that is needed to run one replica.
#[derive(Debug, Clone)]
pub struct ReplicaSpec {
    /// The slot.
    pub id: ReplicaId,
    /// The release it runs.
    pub release: ReleaseId,
    /// Where it was told to listen; probes go there.
    pub address: SocketAddr,
    /// The program and its arguments. A program with a `/` in it is looked up from `dir`, any other in `PATH`.
    pub argv: Vec<String>,
    /// The working folder.
    pub dir: PathBuf,
    /// Variables added to the environment of this process.
    pub env: BTreeMap<String, String>,
    /// How its health is asked.
    pub health: Health,
    /// How it is asked to end.
    pub stop: StopPolicy,
    /// Bytes of memory that its processes may use together; it is killed when it uses more.
    pub memory: Option<u64>,
    /// Thousandths of a processor that its processes may use together, where the kernel can limit it.
    pub cpu: Option<u32>,
}

/// Why a replica could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The slot still has a living process.
    #[error("{replica} already runs as process {pid}; stop it first")]
    Running {
        /// The slot.
        replica: ReplicaId,
        /// Its process.
        pid: u32,
    },
    /// The program could not be run; the message says which, where and what to do.
    #[error("{replica} could not be started: {message}")]
    Spawn {
        /// The slot.
        replica: ReplicaId,
        /// What happened and what to do.
        message: String,
    },
    /// The supervisor is shutting down.
    #[error("{replica} was not started: the supervisor is shutting down")]
    Closed {
        /// The slot.
        replica: ReplicaId,
    },
}

impl StartError {
    /// A stable code for this kind of error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Running { .. } => "replica-running",
            Self::Spawn { .. } => "spawn-failed",
            Self::Closed { .. } => "supervisor-closed",
        }
    }
}

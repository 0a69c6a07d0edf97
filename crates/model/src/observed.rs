//! What is really there: processes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::names::{ReleaseId, ReplicaId};

/// Every replica the supervisor knows, by id.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ObservedState {
    /// The replicas.
    pub replicas: BTreeMap<ReplicaId, ReplicaState>,
}

/// A process that cannot be mistaken for another that got the same pid later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProcessId {
    /// The pid, which is also the id of its process group.
    pub pid: u32,
    /// When it started, in the kernel's ticks since boot (field 22 of `/proc/<pid>/stat`, see proc(5)).
    pub start_time: u64,
}

/// One replica.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplicaState {
    /// Which release it runs.
    pub release: ReleaseId,
    /// Where it was told to listen.
    pub address: SocketAddr,
    /// What it is doing.
    pub phase: Phase,
    /// Its process, while it has one.
    pub process: Option<ProcessId>,
    /// When the present process was started: Unix milliseconds.
    pub started_at: u64,
    /// When `phase` last changed: Unix milliseconds.
    pub since: u64,
    /// How many processes of this slot have ended unasked since it was first started.
    pub restarts: u32,
    /// How many ended unasked in a row without a stable time between them; 0 again once it ran stably.
    pub failures: u32,
    /// Why the last one ended, with its last lines of output.
    pub last_exit: Option<ExitReason>,
    /// What the last failed probe said, while it is failing.
    pub probe_error: Option<String>,
}

/// The life of a replica.
///
/// `Starting -> Ready <-> Unready -> Draining -> Stopped`; a process that ends unasked goes to `Exited`,
/// from where the planner starts it again, at once or after a back-off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Runs, and has not been healthy yet.
    Starting,
    /// Healthy: may get requests.
    Ready,
    /// Was healthy, and its probes fail now.
    Unready,
    /// Gets no new requests and finishes those it has; then it is stopped.
    Draining,
    /// Was asked to stop and is ending.
    Stopping,
    /// Ended unasked; to be started again.
    Exited,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitReason {
    /// The exit code, when it exited and Isles could see it.
    pub code: Option<i32>,
    /// The signal's number, when one killed it and Isles could see it.
    pub signal: Option<i32>,
    /// Why it never ran, when it could not be started; or another explanation for a person.
    pub message: Option<String>,
    /// When: Unix milliseconds.
    pub at: u64,
    /// How long it had run.
    pub ran: Duration,
    /// The last lines it wrote, at most 20.
    pub last_lines: Vec<String>,
}

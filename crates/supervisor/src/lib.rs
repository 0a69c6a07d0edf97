//! Operating-system processes: spawn, probe, capture output, drain, stop, adopt.
//!
//! One [`Supervisor`] holds a set of slots, one for each [`model::ReplicaId`]. Each slot has a task of its own (`replica`)
//! which alone changes that replica's state, by the transitions of `machine`. What it learns goes out as
//! [`model::ObservedState`] through a `watch` channel; nothing here decides *whether* a replica should run.
//!
//! ```text
//! start/adopt/drain/stop ──> replica task ──> machine ──> watch<ObservedState>
//!                             ▲   ▲   └─────> capture thread (notes)
//!             process::life ──┘   └── probe
//! service ──> *.spool files ──> capture thread ──> *.log files, broadcast<LogLine>
//! ```
//!
//! Invariants:
//! - It never restarts a process by itself: the planner decides.
//! - Dropping the supervisor, or killing it, leaves every service running and writing. That is why a service's output goes
//!   to plain files and never to a pipe, and why another supervisor can go on exactly where the last one ended.
//! - A signal is only sent to a process (or its group) whose pid *and* start time are those that were started.
//! - No line is kept or shown that did not pass the [`Mask`]. The spools hold what was written as it was until the process ends.
//! - Only the capture thread touches the log files; it never loses a byte of the spools, and never writes one twice.

mod capture;
pub mod cgroup;
mod clock;
mod launch;
mod limits;
pub mod log;
mod machine;
mod mask;
mod memory;
mod probe;
pub mod process;
mod replica;
mod spec;
mod supervisor;
mod task;

pub use log::{LogLine, Stream};
pub use machine::STABLE_AFTER;
pub use mask::Mask;
pub use spec::{Options, ReplicaSpec, StartError};
pub use supervisor::Supervisor;
pub use task::{Task, TaskError, run_once};

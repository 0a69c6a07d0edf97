//! The life of one replica as a state machine: pure transitions, no clock, no input or output.
//!
//! ```text
//! Starting ──ok──> Ready <──ok / n misses──> Unready
//!     └───────────────┴── drain ──> Draining        any living ── stop ──> Stopping
//! any living ── ended ──> Exited ── started ──> Starting
//! ```

use std::net::SocketAddr;
use std::time::Duration;

use model::{ExitReason, Phase, ProcessId, ReleaseId, ReplicaState};

/// How long a replica must be ready without interruption until its failures are forgotten.
pub const STABLE_AFTER: Duration = Duration::from_secs(10);

/// What can happen to a replica.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// A process was spawned.
    Started(ProcessId),
    /// No process could be spawned, and why.
    SpawnFailed(String),
    /// A probe's result.
    Probed(Result<(), String>),
    /// It was ready for [`STABLE_AFTER`] without interruption.
    Stable,
    /// It is to get no new requests.
    Drain,
    /// It was asked to end.
    Stop,
    /// Its process is gone.
    Ended(Ended),
}

/// What is known of an end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ended {
    pub code: Option<i32>,
    pub signal: Option<i32>,
    pub message: Option<String>,
    pub last_lines: Vec<String>,
}

/// A replica's state and what the transitions need beside it.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    state: ReplicaState,
    misses: u32,
    allowed_misses: u32,
}

impl Machine {
    /// An empty slot, before its first event.
    pub fn new(release: ReleaseId, address: SocketAddr, allowed_misses: u32, now: u64) -> Self {
        let state = ReplicaState {
            release,
            address,
            phase: Phase::Exited,
            process: None,
            started_at: now,
            since: now,
            restarts: 0,
            failures: 0,
            last_exit: None,
            probe_error: None,
        };
        Self::resume(state, allowed_misses)
    }

    /// A slot in a state that was recorded earlier.
    pub fn resume(state: ReplicaState, allowed_misses: u32) -> Self {
        Self { state, misses: 0, allowed_misses: allowed_misses.max(1) }
    }

    /// The same slot for another release or address; counts and last exit stay.
    pub fn retarget(&mut self, release: ReleaseId, address: SocketAddr, allowed_misses: u32) {
        self.state.release = release;
        self.state.address = address;
        self.allowed_misses = allowed_misses.max(1);
    }

    pub fn state(&self) -> &ReplicaState {
        &self.state
    }

    /// Applies `event`, which happened at `now` (Unix milliseconds). True when the state changed.
    pub fn apply(&mut self, event: Event, now: u64) -> bool {
        let before = self.state.clone();
        match event {
            Event::Started(process) => self.started(process, now),
            Event::SpawnFailed(message) => self.spawn_failed(message, now),
            Event::Probed(Ok(())) => self.probe_passed(now),
            Event::Probed(Err(error)) => self.probe_failed(error, now),
            Event::Stable if self.state.phase == Phase::Ready => self.state.failures = 0,
            Event::Drain if self.takes_probes() => self.enter(Phase::Draining, now),
            Event::Stop if self.state.process.is_some() => self.enter(Phase::Stopping, now),
            Event::Ended(ended) if self.state.process.is_some() => self.ended(ended, now),
            Event::Stable | Event::Drain | Event::Stop | Event::Ended(_) => {}
        }
        self.state != before
    }

    /// Whether probes mean anything in this phase.
    pub fn takes_probes(&self) -> bool {
        matches!(self.state.phase, Phase::Starting | Phase::Ready | Phase::Unready)
    }

    fn enter(&mut self, phase: Phase, now: u64) {
        if self.state.phase != phase {
            self.state.phase = phase;
            self.state.since = now;
        }
    }

    fn started(&mut self, process: ProcessId, now: u64) {
        self.state.process = Some(process);
        self.state.started_at = now;
        self.state.probe_error = None;
        self.misses = 0;
        self.enter(Phase::Starting, now);
    }

    fn spawn_failed(&mut self, message: String, now: u64) {
        self.state.failures = self.state.failures.saturating_add(1);
        self.state.probe_error = None;
        self.state.since = now;
        self.state.phase = Phase::Exited;
        self.state.last_exit = Some(ExitReason {
            code: None,
            signal: None,
            message: Some(message),
            at: now,
            ran: Duration::ZERO,
            last_lines: Vec::new(),
        });
    }

    fn probe_passed(&mut self, now: u64) {
        if self.takes_probes() {
            self.misses = 0;
            self.state.probe_error = None;
            self.enter(Phase::Ready, now);
        }
    }

    fn probe_failed(&mut self, error: String, now: u64) {
        if !self.takes_probes() {
            return;
        }
        self.state.probe_error = Some(error);
        if self.state.phase == Phase::Ready {
            self.misses += 1;
            if self.misses >= self.allowed_misses {
                self.enter(Phase::Unready, now);
            }
        }
    }

    fn ended(&mut self, ended: Ended, now: u64) {
        if self.state.phase != Phase::Stopping {
            self.state.restarts = self.state.restarts.saturating_add(1);
            self.state.failures = self.state.failures.saturating_add(1);
        }
        self.state.process = None;
        self.state.probe_error = None;
        self.state.last_exit = Some(ExitReason {
            code: ended.code,
            signal: ended.signal,
            message: ended.message,
            at: now,
            ran: Duration::from_millis(now.saturating_sub(self.state.started_at)),
            last_lines: ended.last_lines,
        });
        self.enter(Phase::Exited, now);
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;

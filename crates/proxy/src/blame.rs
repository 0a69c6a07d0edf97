//! Whose failure it was: a service whose own call for the same trace has just failed only passes the failure on.
//!
//! A trace is the only thing that joins a request to the calls that are made because of it, so a service has to copy
//! `traceparent` to its calls for this to work. Only failures are written and looked up here.

use std::sync::{Mutex, OnceLock, PoisonError};

use model::TraceId;

/// How long a failed call explains a failure, in milliseconds: longer than a request takes.
const EXPLAINS: u64 = 30_000;
/// Traces that are remembered, a newer one in place of an older one with the same place. A power of two.
const PLACES: usize = 1024;

/// The traces in which calls of one service failed.
#[derive(Debug, Default)]
pub(crate) struct Blame(OnceLock<Mutex<Traces>>);

/// Trace ids, and when a call of each failed, in milliseconds on the process's clock.
type Traces = Box<[(u128, u64)]>;

impl Blame {
    /// A call that the service made failed. `now` is the process's clock in milliseconds.
    pub(crate) fn remember(&self, trace: TraceId, now: u64) {
        let table = self.0.get_or_init(|| Mutex::new(vec![(0, 0); PLACES].into_boxed_slice()));
        table.lock().unwrap_or_else(PoisonError::into_inner)[place(trace)] = (trace.0, now);
    }

    /// Whether a call of the service failed in this trace a short while ago.
    pub(crate) fn explains(&self, trace: TraceId, now: u64) -> bool {
        let Some(table) = self.0.get() else { return false };
        let (known, at) = table.lock().unwrap_or_else(PoisonError::into_inner)[place(trace)];
        known == trace.0 && now.saturating_sub(at) <= EXPLAINS
    }
}

/// Trace ids are random, but not all of their bits need be.
fn place(trace: TraceId) -> usize {
    let folded = (trace.0 >> 64) as u64 ^ trace.0 as u64;
    (folded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54) as usize % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_explained_by_a_call_of_the_same_trace_for_a_while() {
        let blame = Blame::default();
        let (one, other) = (TraceId(7), TraceId(8));
        assert!(!blame.explains(one, 0));
        blame.remember(one, 1_000);
        assert!(blame.explains(one, 1_000) && blame.explains(one, 31_000));
        assert!(!blame.explains(one, 31_001) && !blame.explains(other, 1_000));
    }

    #[test]
    fn many_traces_are_remembered_at_a_time() {
        let blame = Blame::default();
        fastrand::seed(3);
        let traces: Vec<_> = (0..200).map(|_| TraceId(fastrand::u128(1..))).collect();
        traces.iter().for_each(|trace| blame.remember(*trace, 5));
        let known = traces.iter().filter(|trace| blame.explains(**trace, 6)).count();
        assert!(known >= 150, "{known}");
    }
}

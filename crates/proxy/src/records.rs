//! Counts and latencies with one writer per worker, made when a worker first has something to count.

use std::array;
use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use http::StatusCode;
use model::histogram::{BUCKETS, bucket_of};
use model::{Histogram, Outcomes, Tally};

/// Statuses that gRPC knows.
const GRPC: usize = 17;

/// Something of each worker's own. Nothing is allocated for a worker that never writes, which most are for most pairs of
/// services.
#[derive(Debug)]
pub(crate) struct PerWorker<T>(Box<[OnceLock<Box<T>>]>);

impl<T: Default> PerWorker<T> {
    pub(crate) fn new(workers: usize) -> Self {
        Self((0..workers.max(1)).map(|_| OnceLock::new()).collect())
    }

    /// What is a worker's own, which alone may write to it.
    pub(crate) fn of(&self, worker: usize) -> &T {
        self.0[worker % self.0.len()].get_or_init(Box::default)
    }

    /// That of all workers that wrote something.
    pub(crate) fn all(&self) -> impl Iterator<Item = &T> {
        self.0.iter().filter_map(OnceLock::get).map(Box::as_ref)
    }
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Success,
    Redirect,
    ClientError,
    ServerError,
    Unanswered,
    Cancelled,
}

const OUTCOMES: usize = 6;

impl Outcome {
    pub(crate) fn of(status: StatusCode) -> Self {
        match status.as_u16() {
            ..300 => Self::Success,
            300..400 => Self::Redirect,
            400..500 => Self::ClientError,
            500.. => Self::ServerError,
        }
    }
}

/// One worker's counts of calls of one kind. What was counted is never taken back; 32 bits of a bucket may begin anew,
/// which costs a reader that looks every second one second of that bucket.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Record {
    outcomes: [AtomicU64; OUTCOMES],
    failed: AtomicU64,
    passed_on: AtomicU64,
    sum: AtomicU64,
    grpc: OnceLock<Box<[AtomicU64; GRPC]>>,
    buckets: [AtomicU32; BUCKETS],
}

impl Default for Record {
    fn default() -> Self {
        Self {
            outcomes: Default::default(),
            failed: AtomicU64::new(0),
            passed_on: AtomicU64::new(0),
            sum: AtomicU64::new(0),
            grpc: OnceLock::new(),
            buckets: array::from_fn(|_| AtomicU32::new(0)),
        }
    }
}

impl Record {
    pub(crate) fn ended(&self, outcome: Outcome) {
        add(&self.outcomes[outcome as usize]);
    }

    pub(crate) fn took(&self, time: Duration) {
        let bucket = &self.buckets[bucket_of(time)];
        bucket.store(bucket.load(Relaxed).wrapping_add(1), Relaxed);
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.sum.store(self.sum.load(Relaxed).saturating_add(micros), Relaxed);
    }

    /// A call failed; `passed_on` says that the callee is not to blame.
    pub(crate) fn failed(&self, passed_on: bool) {
        add(&self.failed);
        if passed_on {
            add(&self.passed_on);
        }
    }

    pub(crate) fn grpc(&self, status: u8) {
        let counts = self.grpc.get_or_init(|| Box::new(array::from_fn(|_| AtomicU64::new(0))));
        // What gRPC does not know is UNKNOWN.
        add(counts.get(usize::from(status)).unwrap_or(&counts[2]));
    }
}

/// The records of all workers.
pub(crate) type Records = PerWorker<Record>;

impl PerWorker<Record> {
    /// What all workers counted.
    pub(crate) fn tally(&self) -> Tally {
        let (mut counts, mut sum) = ([0; BUCKETS], 0_u64);
        let (mut outcomes, mut grpc) = (Outcomes::default(), BTreeMap::new());
        for record in self.all() {
            let [success, redirect, client_error, server_error, unanswered, cancelled] =
                array::from_fn(|at| record.outcomes[at].load(Relaxed));
            outcomes.success += success;
            outcomes.redirect += redirect;
            outcomes.client_error += client_error;
            outcomes.server_error += server_error;
            outcomes.unanswered += unanswered;
            outcomes.cancelled += cancelled;
            outcomes.failed += record.failed.load(Relaxed);
            outcomes.passed_on += record.passed_on.load(Relaxed);
            for (status, count) in record.grpc.get().iter().flat_map(|counts| counts.iter().enumerate()) {
                let count = count.load(Relaxed);
                if count > 0 {
                    // There are 17.
                    *grpc.entry(status as u8).or_default() += count;
                }
            }
            record.add_counts(&mut counts);
            sum = sum.saturating_add(record.sum.load(Relaxed));
        }
        Tally { outcomes, latency: Histogram::from_counts(&counts, sum), grpc }
    }

    /// Adds the counts of all buckets.
    pub(crate) fn add_counts(&self, counts: &mut [u64; BUCKETS]) {
        self.all().for_each(|record| record.add_counts(counts));
    }
}

impl Record {
    fn add_counts(&self, counts: &mut [u64; BUCKETS]) {
        for (count, bucket) in counts.iter_mut().zip(&self.buckets) {
            *count += u64::from(bucket.load(Relaxed));
        }
    }
}

/// Adds one. With one writer, a load and a store do what a locked addition would, for less.
pub(crate) fn add(counter: &AtomicU64) {
    counter.store(counter.load(Relaxed).wrapping_add(1), Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_workers_count_adds_up() {
        let records = Records::new(2);
        assert!(records.tally().is_empty());
        assert_eq!(records.all().count(), 0, "nothing is made for nothing");
        for (worker, status) in [(0, 101), (1, 204), (0, 302), (1, 404), (0, 500), (1, 599)] {
            records.of(worker).ended(Outcome::of(StatusCode::from_u16(status).unwrap()));
        }
        records.of(0).ended(Outcome::Unanswered);
        records.of(0).failed(false);
        records.of(1).failed(true);
        records.of(1).took(Duration::from_millis(10));
        records.of(0).took(Duration::from_millis(20));
        records.of(0).grpc(14);
        records.of(1).grpc(99);
        let tally = records.tally();
        let outcomes = Outcomes {
            success: 2,
            redirect: 1,
            client_error: 1,
            server_error: 2,
            unanswered: 1,
            cancelled: 0,
            failed: 2,
            passed_on: 1,
        };
        assert_eq!((tally.outcomes, tally.grpc), (outcomes, [(2, 1), (14, 1)].into()));
        assert_eq!(tally.latency.mean(), Some(Duration::from_millis(15)));
    }
}

//! What is known about a service, whoever calls it; it outlives the table.

use model::Upstream;

use crate::blame::Blame;
use crate::bulkhead::Bulkhead;
use crate::learner::Learner;
use crate::outlier::Outliers;
use crate::table::Target;

/// A service as all its callers share it.
#[derive(Debug)]
pub(crate) struct Service {
    pub outliers: Outliers,
    pub bulkhead: Bulkhead,
    /// The traces in which its own calls failed.
    pub blame: Blame,
    learner: Learner,
}

impl Service {
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            outliers: Outliers::default(),
            bulkhead: Bulkhead::new(workers),
            blame: Blame::default(),
            learner: Learner::default(),
        }
    }

    /// Follows a new table, in which it is this and has these replicas. `now` is the process's clock in milliseconds.
    pub(crate) fn follow(&self, targets: &[Target], upstream: &Upstream, now: u64) {
        self.outliers.follow(targets, now);
        self.bulkhead.set_limit(upstream.in_flight);
        self.learner.follow(targets, &self.bulkhead, upstream.patient);
    }

    /// Learns from the latencies since the last time how many requests it can take.
    pub(crate) fn learn(&self, targets: &[Target]) {
        self.learner.learn(targets, &self.bulkhead);
    }
}

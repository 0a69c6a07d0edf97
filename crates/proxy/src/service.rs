//! What is known about a service, whoever calls it; it outlives the table.

use crate::bulkhead::Bulkhead;
use crate::outlier::Outliers;

/// A service as all its callers share it.
#[derive(Debug)]
pub(crate) struct Service {
    pub outliers: Outliers,
    pub bulkhead: Bulkhead,
}

impl Service {
    pub(crate) fn new(workers: usize) -> Self {
        Self { outliers: Outliers::default(), bulkhead: Bulkhead::new(workers) }
    }
}

//! What is known about a service, whoever calls it; it outlives the table.

use crate::outlier::Outliers;

/// A service as all its callers share it.
#[derive(Debug, Default)]
pub(crate) struct Service {
    pub outliers: Outliers,
}

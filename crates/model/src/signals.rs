//! What the data plane saw of the calls between services: counts, outcomes, latencies.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::histogram::Histogram;

/// How calls ended. Each is counted in exactly one of the fields up to `cancelled`; the rest says more about some of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcomes {
    /// Answers with a status below 300, whatever gRPC says in them.
    pub success: u64,
    /// Answers with a status of 300 to 399.
    pub redirect: u64,
    /// Answers with a status of 400 to 499.
    pub client_error: u64,
    /// Answers with a status of 500 and above.
    pub server_error: u64,
    /// No answer of a replica: the data plane refused, could not connect, or waited too long.
    pub unanswered: u64,
    /// The caller left before an answer began.
    pub cancelled: u64,
    /// Those that failed: a status of 500 and above, a status of gRPC that blames the server, no answer, or one that broke
    /// off. What the caller did wrong does not count.
    pub failed: u64,
    /// Failures that the callee only passed on: a call that it made for the same trace had failed shortly before.
    pub passed_on: u64,
}

impl Outcomes {
    /// All calls.
    pub fn all(&self) -> u64 {
        self.success
            + self.redirect
            + self.client_error
            + self.server_error
            + self.unanswered
            + self.cancelled
    }

    /// The part that failed, 0 to 1; none if there were no calls.
    pub fn error_share(&self) -> Option<f64> {
        let all = self.all();
        (all > 0).then(|| self.failed as f64 / all as f64)
    }

    fn zip(&self, other: &Self, with: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            success: with(self.success, other.success),
            redirect: with(self.redirect, other.redirect),
            client_error: with(self.client_error, other.client_error),
            server_error: with(self.server_error, other.server_error),
            unanswered: with(self.unanswered, other.unanswered),
            cancelled: with(self.cancelled, other.cancelled),
            failed: with(self.failed, other.failed),
            passed_on: with(self.passed_on, other.passed_on),
        }
    }
}

/// Calls of one kind: since the data plane began, or within a window.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// How they ended.
    pub outcomes: Outcomes,
    /// The times to the head of an answer: of answers with a status below 500, and of those that did not come in time. Quick
    /// failures are not in here: they would make a sick service look fast.
    pub latency: Histogram,
    /// Calls of gRPC by status.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", with = "pairs")]
    pub grpc: BTreeMap<u8, u64>,
}

impl Tally {
    /// Adds another tally.
    pub fn add(&mut self, other: &Self) {
        self.outcomes = self.outcomes.zip(&other.outcomes, u64::saturating_add);
        self.latency.add(&other.latency);
        add_counts(&mut self.grpc, &other.grpc);
    }

    /// What was added since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            outcomes: self.outcomes.zip(&earlier.outcomes, u64::saturating_sub),
            latency: self.latency.since(&earlier.latency),
            grpc: counts_since(&self.grpc, &earlier.grpc),
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Adds counts by key.
pub fn add_counts<K: Ord + Clone>(to: &mut BTreeMap<K, u64>, other: &BTreeMap<K, u64>) {
    for (key, count) in other {
        *to.entry(key.clone()).or_default() += count;
    }
}

/// The counts that were added since `earlier`, without those that stayed the same.
pub fn counts_since<K: Ord + Clone>(now: &BTreeMap<K, u64>, earlier: &BTreeMap<K, u64>) -> BTreeMap<K, u64> {
    let added =
        now.iter().map(|(key, count)| (key.clone(), count.saturating_sub(*earlier.get(key).unwrap_or(&0))));
    added.filter(|(_, count)| *count > 0).collect()
}

/// Whether a status of gRPC says that the server failed, as OpenTelemetry's conventions for servers see it: UNKNOWN,
/// DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS
/// (<https://opentelemetry.io/docs/specs/semconv/rpc/grpc/>).
pub fn grpc_failed(status: u8) -> bool {
    matches!(status, 2 | 4 | 12 | 13 | 14 | 15)
}

/// A circuit breaker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Circuit {
    /// Requests pass.
    #[default]
    Closed,
    /// Requests are refused.
    Open,
    /// One request at a time tries whether all is well again.
    HalfOpen,
}

/// Statuses and counts as a list: keys of a JSON object would be text, which not every reader turns back into numbers.
mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        map: &BTreeMap<u8, u64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<u8, u64>, D::Error> {
        Ok(Vec::<(u8, u64)>::deserialize(from)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_add_up_and_come_apart() {
        let outcomes = Outcomes { success: 3, server_error: 1, failed: 1, ..Outcomes::default() };
        let early = Tally { outcomes, grpc: [(0, 2)].into(), ..Tally::default() };
        let late = Tally { grpc: [(0, 1), (14, 1)].into(), ..early.clone() };
        let mut both = early.clone();
        both.add(&late);
        assert_eq!((both.outcomes.all(), both.outcomes.error_share()), (8, Some(0.25)));
        assert_eq!(both.grpc, [(0, 3), (14, 1)].into());
        assert_eq!(both.since(&early), late);
        assert!(early.since(&both).is_empty());
        assert_eq!(Outcomes::default().error_share(), None);
    }
}

//! Times of one kind of step, and what people want to know about them.

use std::time::Duration;

use serde::Serialize;

/// Recorded times of one kind of step.
#[derive(Debug, Default, Clone)]
pub struct Times(Vec<u64>);

/// What the times look like, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Summary {
    /// How many were recorded.
    pub count: usize,
    /// Half of them were faster.
    pub p50_ms: f64,
    /// 99 in 100 were faster.
    pub p99_ms: f64,
    /// The slowest.
    pub max_ms: f64,
}

impl Times {
    /// Records one.
    pub fn add(&mut self, time: Duration) {
        self.0.push(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    /// Adds another's records to these.
    pub fn join(&mut self, other: &Self) {
        self.0.extend_from_slice(&other.0);
    }

    /// The summary; all zero when nothing was recorded.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let at = |hundredths: usize| {
            let rank = (sorted.len() * hundredths).div_ceil(100).saturating_sub(1);
            sorted.get(rank).map_or(0.0, |micros| Duration::from_micros(*micros).as_secs_f64() * 1e3)
        };
        Summary { count: sorted.len(), p50_ms: at(50), p99_ms: at(99), max_ms: at(100) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_the_nearest() {
        let mut times = Times::default();
        for n in (1..=200).rev() {
            times.add(Duration::from_millis(n));
        }
        let summary = times.summary();
        assert_eq!(
            (summary.count, summary.p50_ms, summary.p99_ms, summary.max_ms),
            (200, 100.0, 198.0, 200.0)
        );
        assert_eq!(Times::default().summary().max_ms, 0.0);
    }
}

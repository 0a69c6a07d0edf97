//! A distribution of latencies, as counts by bucket.

use std::collections::BTreeMap;
use std::time::Duration;

/// Counts by the time that stands for their bucket.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Latencies(BTreeMap<Duration, u64>);

impl Latencies {
    /// Counts answers that took about `time`.
    pub fn record(&mut self, time: Duration, count: u64) {
        if count > 0 {
            *self.0.entry(time).or_default() += count;
        }
    }

    /// Adds all of another one.
    pub fn add(&mut self, other: &Self) {
        other.0.iter().for_each(|(bound, count)| self.record(*bound, *count));
    }

    /// How many answers there are.
    pub fn count(&self) -> u64 {
        self.0.values().sum()
    }

    /// How many took longer than `bound`, as far as their buckets tell.
    pub fn over(&self, bound: Duration) -> u64 {
        self.0.iter().rev().take_while(|(time, _)| **time > bound).map(|(_, count)| count).sum()
    }

    /// What this part of the answers took longer than; none without any answer.
    pub fn beyond(&self, part: f64) -> Option<Duration> {
        let wanted = (self.count() as f64 * part).floor();
        let mut over = 0.0;
        for (bound, count) in self.0.iter().rev() {
            over += *count as f64;
            if over > wanted {
                return Some(*bound);
            }
        }
        None
    }
}

impl FromIterator<(Duration, u64)> for Latencies {
    fn from_iter<T: IntoIterator<Item = (Duration, u64)>>(buckets: T) -> Self {
        let mut latencies = Self::default();
        buckets.into_iter().for_each(|(bound, count)| latencies.record(bound, count));
        latencies
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_and_what_is_beyond() {
        let ms = Duration::from_millis;
        let latencies: Latencies =
            [(ms(1), 50), (ms(2), 40), (ms(10), 9), (ms(100), 1)].into_iter().collect();
        assert_eq!(latencies.count(), 100);
        let at = |part| latencies.beyond(part).unwrap();
        assert_eq!([at(0.5), at(0.1), at(0.01), at(0.0)], [ms(1), ms(2), ms(10), ms(100)]);
        assert_eq!(latencies.over(ms(1)), 50);
        assert_eq!(latencies.over(ms(2)), 10);
        assert_eq!(latencies.over(ms(5)), 10);
        assert_eq!(Latencies::default().beyond(0.5), None);
    }
}

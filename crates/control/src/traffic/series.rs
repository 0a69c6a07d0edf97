//! Counts that only grow, as what was added second by second: a bounded history.

use std::collections::VecDeque;
use std::time::Duration;

use model::Tally;

/// How far back the history goes.
pub const HISTORY: Duration = Duration::from_secs(300);
/// The most entries: one for each second, which may be a little short.
const ENTRIES: usize = 340;

/// The history of one tally. Seconds in which nothing happened take no room.
#[derive(Debug, Default)]
pub struct Series {
    /// The counts as they were last read.
    seen: Tally,
    /// When they were read, in milliseconds, and what had been added then.
    added: VecDeque<(u64, Tally)>,
}

impl Series {
    /// Takes counts in. `begins` says that they do not go on from those that were read before: nothing is known of when
    /// they were counted.
    /// Gives what was added, if it is known when.
    pub fn take(&mut self, now: Tally, at: u64, begins: bool) -> Option<Tally> {
        if now.outcomes.all() < self.seen.outcomes.all() {
            // It left the routing table and came back: counted anew.
            self.restart();
        }
        let added = now.since(&self.seen);
        self.seen = now;
        let old = |(then, _): &(u64, Tally)| then + millis(HISTORY) <= at;
        while self.added.front().is_some_and(old) || self.added.len() > ENTRIES {
            self.added.pop_front();
        }
        if begins || added.is_empty() {
            return None;
        }
        let fresh = Some(added.clone());
        match self.added.back_mut() {
            // Read more often than every second: entries must not become more.
            Some((then, last)) if *then + 900 > at => last.add(&added),
            _ => self.added.push_back((at, added)),
        }
        fresh
    }

    /// Another data plane counts from now on, from zero.
    pub fn restart(&mut self) {
        self.seen = Tally::default();
    }

    /// What was added after `from` (milliseconds).
    pub fn since(&self, from: u64) -> Tally {
        let mut sum = Tally::default();
        self.added.iter().filter(|(at, _)| *at > from).for_each(|(_, added)| sum.add(added));
        sum
    }

    /// Whether nothing is left of its history at `at`.
    pub fn is_over(&self, at: u64) -> bool {
        self.added.back().is_none_or(|(then, _)| then + millis(HISTORY) <= at)
    }
}

pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(success: u64) -> Tally {
        let mut tally = Tally::default();
        tally.outcomes.success = success;
        tally
    }

    #[test]
    fn a_window_holds_what_was_added_in_it() {
        let mut series = Series::default();
        series.take(counted(1000), 0, true);
        for (at, total) in [(1_000, 1_010), (2_000, 1_010), (3_000, 1_040)] {
            series.take(counted(total), at, false);
        }
        for (from, added) in [(0, 40), (1_000, 30), (2_999, 30), (3_000, 0)] {
            assert_eq!(series.since(from).outcomes.all(), added, "from {from}");
        }
        series.take(counted(5), 4_000, false);
        assert_eq!(series.since(0).outcomes.all(), 45, "counted anew");
        series.restart();
        series.take(counted(6), 5_000, false);
        assert_eq!(series.since(0).outcomes.all(), 51);
    }

    #[test]
    fn the_history_is_bounded_in_time_and_in_entries() {
        let mut series = Series::default();
        for n in 1..=10_000 {
            series.take(counted(n), n * 100, false);
        }
        assert!(series.added.len() <= ENTRIES + 1, "{}", series.added.len());
        let kept = series.since(0).outcomes.all();
        assert!((2_900..=3_020).contains(&kept), "{kept}: five minutes of ten a second");
        assert!(!series.is_over(1_000_000));
        series.take(counted(10_000), 2_000_000, false);
        assert!(series.is_over(2_000_000) && series.added.is_empty());
    }
}

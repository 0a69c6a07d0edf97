//! What a client's connection is doing, and how long it may go on with that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::patience::Patience;

/// What a connection is doing. Written by one thread; atomic because an upgraded connection may be sent to others.
#[derive(Debug)]
pub(crate) struct Activity {
    clock: Instant,
    patience: Patience,
    requests: AtomicU32,
    /// Whether bytes between requests begin one, as in HTTP/1.1. In HTTP/2 they may be about anything.
    one_by_one: bool,
    /// The first bytes of a request's head have come.
    receiving: AtomicBool,
    /// When the present phase began, in milliseconds on `clock`.
    since: AtomicU64,
    /// Since when nothing could be written, in milliseconds on `clock`, plus one; 0 while all goes well.
    stuck: AtomicU64,
    /// The time for a head is over.
    expired: AtomicBool,
}

/// A request of a connection, until dropped.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Activity>);

/// What a connection has a limited time for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// A head has begun to come.
    Head,
    /// Nothing is asked.
    Idle,
    /// The client takes nothing of what is written.
    Stuck,
}

impl Activity {
    /// Of a connection that has just begun.
    pub(crate) fn new(patience: Patience, one_by_one: bool) -> Arc<Self> {
        Arc::new(Self {
            clock: Instant::now(),
            patience,
            requests: AtomicU32::new(0),
            one_by_one,
            receiving: AtomicBool::new(one_by_one),
            since: AtomicU64::new(0),
            stuck: AtomicU64::new(0),
            expired: AtomicBool::new(false),
        })
    }

    pub(crate) fn begin(self: &Arc<Self>) -> Busy {
        self.requests.store(self.requests.load(Relaxed) + 1, Relaxed);
        self.receiving.store(false, Relaxed);
        Busy(Arc::clone(self))
    }

    /// The phase that ends first, and when; none while requests are served and their answers are taken.
    pub(crate) fn limit(&self) -> Option<(Phase, Instant)> {
        let after = |millis: u64, allowed| self.clock + Duration::from_millis(millis) + allowed;
        let stuck = match self.stuck.load(Relaxed) {
            0 => None,
            since => Some((Phase::Stuck, after(since - 1, self.patience.write))),
        };
        if self.requests.load(Relaxed) > 0 {
            return stuck;
        }
        let (phase, allowed) = match self.receiving.load(Relaxed) {
            true => (Phase::Head, self.patience.head),
            false => (Phase::Idle, self.patience.idle),
        };
        let waiting = Some((phase, after(self.since.load(Relaxed), allowed)));
        [stuck, waiting].into_iter().flatten().min_by_key(|(_, end)| *end)
    }

    /// The time for a head is over: the client is told so, and then the connection ends.
    pub(crate) fn expire(&self) {
        self.expired.store(true, Relaxed);
    }

    pub(crate) fn is_expired(&self) -> bool {
        self.expired.load(Relaxed)
    }

    /// How long a connection may be open without a request.
    pub(crate) fn idle(&self) -> Duration {
        self.patience.idle
    }

    pub(crate) fn received(&self) {
        if self.one_by_one && self.requests.load(Relaxed) == 0 && !self.receiving.load(Relaxed) {
            self.receiving.store(true, Relaxed);
            self.touch();
        }
    }

    /// Something was written, or could not be.
    pub(crate) fn wrote(&self, progress: bool) {
        match (progress, self.stuck.load(Relaxed)) {
            (true, 0) => {}
            (true, _) => self.stuck.store(0, Relaxed),
            (false, 0) => self.stuck.store(self.millis() + 1, Relaxed),
            (false, _) => {}
        }
    }

    fn touch(&self) {
        self.since.store(self.millis(), Relaxed);
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.clock.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.requests.store(self.0.requests.load(Relaxed).saturating_sub(1), Relaxed);
        self.0.touch();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_phase_has_its_time_and_a_request_has_no_limit_but_that_of_writing() {
        let activity = Activity::new(Patience::default(), true);
        let phase = || activity.limit().map(|(phase, _)| phase);
        assert_eq!(phase(), Some(Phase::Head));
        let (first, second) = (activity.begin(), activity.begin());
        drop(first);
        assert_eq!(phase(), None);
        activity.wrote(false);
        let (_, end) = activity.limit().unwrap();
        activity.wrote(false);
        assert_eq!(activity.limit(), Some((Phase::Stuck, end)), "from the first time on");
        activity.wrote(true);
        assert_eq!(phase(), None);
        drop(second);
        assert_eq!(phase(), Some(Phase::Idle));
        activity.received();
        assert_eq!(phase(), Some(Phase::Head));
        activity.wrote(false);
        assert_eq!(phase(), Some(Phase::Head), "what ends first");

        let multiplexed = Activity::new(Patience::default(), false);
        multiplexed.received();
        assert_eq!(multiplexed.limit().map(|(phase, _)| phase), Some(Phase::Idle));
    }
}

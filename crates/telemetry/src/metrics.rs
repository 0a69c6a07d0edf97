//! The calls of edges over time: what came lately in memory, all else in the store.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::{Histogram, ServiceName, Tally};

use crate::TIERS;
use crate::alerts::Calls;
use crate::events::{Event, Wanted};
use crate::store::{Store, StoreError};

/// Who calls whom.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// Who; none is the gateway.
    pub caller: Option<ServiceName>,
    /// Whom.
    pub callee: ServiceName,
}

/// Calls within one step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Point {
    /// All of them.
    pub requests: u64,
    /// Those that failed.
    pub failed: u64,
    /// How long they took to the head of the answer.
    pub latency: Histogram,
}

/// What the store may need.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes on disk, about: the oldest of the finest steps goes first.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 256 << 20 }
    }
}

/// From when until when, in Unix seconds, and into how many points at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The begin.
    pub from: u64,
    /// The end, which is not part of it.
    pub until: u64,
    /// Points.
    pub points: u64,
}

/// The calls of an edge over time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Which edge.
    pub edge: Edge,
    /// By the begin of the step, in Unix seconds; steps without calls are left out.
    pub points: BTreeMap<u64, Point>,
}

/// A tier's number and the begin of a step, in Unix seconds.
pub(crate) type Slot = (usize, u64);

/// What is not written down yet.
pub(crate) type Due = BTreeMap<(Edge, Slot), Point>;

/// The calls of all edges.
#[derive(Debug)]
pub struct Metrics {
    store: Mutex<Store>,
    due: Mutex<Due>,
    /// Events that are not written down yet.
    happened: Mutex<Vec<Event>>,
}

impl Point {
    /// What a tally says.
    pub fn of(tally: &Tally) -> Self {
        let outcomes = &tally.outcomes;
        Self { requests: outcomes.all(), failed: outcomes.failed, latency: tally.latency.clone() }
    }

    /// Adds other calls.
    pub fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.failed += other.failed;
        self.latency.add(&other.latency);
    }
}

impl Span {
    /// The tier that goes back far enough at `now`, and the length of a point in seconds: whole steps of the tier.
    pub fn steps(&self, now: u64) -> (usize, u64) {
        self.steps_from(0, now)
    }

    /// The same where there is nothing finer than the tier `finest`.
    pub(crate) fn steps_from(&self, finest: usize, now: u64) -> (usize, u64) {
        let age = now.saturating_sub(self.from);
        let tier = TIERS.iter().skip(finest).position(|tier| tier.keep >= age);
        let tier = tier.map_or(TIERS.len() - 1, |tier| tier + finest);
        let step = TIERS[tier].step;
        let wanted = self.until.saturating_sub(self.from).div_ceil(self.points.max(1));
        (tier, wanted.div_ceil(step).max(1) * step)
    }
}

impl Metrics {
    /// Opens the store, and makes it when there is none.
    ///
    /// # Errors
    /// It cannot be opened, or is none.
    pub fn open(path: &Path, limits: Limits) -> Result<Self, StoreError> {
        Ok(Self {
            store: Mutex::new(Store::open(path, limits)?),
            due: Mutex::default(),
            happened: Mutex::default(),
        })
    }

    /// Calls of an edge that were counted at `at` (Unix seconds). Touches no disk.
    pub fn add(&self, edge: &Edge, at: u64, calls: &Point) {
        let mut due = lock(&self.due);
        for (number, tier) in TIERS.iter().enumerate() {
            let slot = (number, at / tier.step * tier.step);
            due.entry((edge.clone(), slot)).or_default().add(calls);
        }
    }

    /// Something happened. Touches no disk; while nothing can be written, the first ones are kept.
    pub fn happened(&self, event: Event) {
        let mut happened = lock(&self.happened);
        if happened.len() < MOST_EVENTS {
            happened.push(event);
        }
    }

    /// What happened, newest first. Blocks.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn events(&self, wanted: &Wanted) -> Result<Vec<Event>, StoreError> {
        let mut found = lock(&self.store).events(wanted)?;
        found.extend(lock(&self.happened).iter().filter(|event| wanted.takes(event)).cloned());
        found.sort_by_key(|event| std::cmp::Reverse(event.at));
        found.truncate(wanted.most);
        Ok(found)
    }

    /// Writes down what came since the last time, and forgets what is too old at `now` (Unix seconds) or too much. Blocks.
    ///
    /// # Errors
    /// The disk is full or broken; what was to be written stays, up to a bound, for the next time.
    pub fn flush(&self, now: u64) -> Result<(), StoreError> {
        // Readers wait, so that nobody sees what is on its way neither here nor there.
        let mut store = lock(&self.store);
        let due = std::mem::take(&mut *lock(&self.due));
        let happened = std::mem::take(&mut *lock(&self.happened));
        if let Err(error) = store.write(&due, &happened) {
            lock(&self.happened).splice(0..0, happened);
            let mut waiting = lock(&self.due);
            for (key, point) in due.into_iter().take(MOST_DUE) {
                waiting.entry(key).or_default().add(&point);
            }
            return Err(error);
        }
        store.forget(now)
    }

    /// All calls to each service since a time, until `now` (both Unix seconds), in the coarsest steps that say it well enough. Blocks.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn sums(&self, since: u64, now: u64) -> Result<BTreeMap<ServiceName, Calls>, StoreError> {
        // A step of the beginning that is only partly within is off by a thirtieth of the window at most.
        let window = now.saturating_sub(since);
        let tier = TIERS.iter().rposition(|tier| tier.step * 30 <= window).unwrap_or(0);
        let store = lock(&self.store);
        let mut sums = store.sums(tier, since)?;
        let due = lock(&self.due);
        let within = due.iter().filter(|((_, (of, at)), _)| *of == tier && *at >= since);
        for ((edge, _), point) in within {
            let sum = sums.entry(edge.callee.clone()).or_default();
            sum.requests += point.requests;
            sum.failed += point.failed;
        }
        Ok(sums)
    }

    /// The calls of the edges to `callee`, or of all edges, at `now` (Unix seconds). Gives the seconds of a point with them. Blocks.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn read(&self, callee: Option<&str>, span: Span, now: u64) -> Result<(u64, Vec<Line>), StoreError> {
        let (tier, step) = span.steps(now);
        let mut lines = BTreeMap::<Edge, BTreeMap<u64, Point>>::new();
        let mut take = |edge: Edge, at: u64, point: &Point| {
            if (span.from..span.until).contains(&at) {
                lines.entry(edge).or_default().entry(at / step * step).or_default().add(point);
            }
        };
        let store = lock(&self.store);
        store.read(callee, tier, span, &mut take)?;
        for ((edge, (of, at)), point) in lock(&self.due).iter() {
            if *of == tier && callee.is_none_or(|callee| edge.callee.as_str() == callee) {
                take(edge.clone(), *at, point);
            }
        }
        Ok((step, lines.into_iter().map(|(edge, points)| Line { edge, points }).collect()))
    }
}

/// Events that are kept for the next time where they cannot be written.
const MOST_EVENTS: usize = 1_000;
/// Points that are kept for the next time where they cannot be written.
const MOST_DUE: usize = 50_000;

/// What is behind it is whole after every step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn edge(caller: &str, callee: &str) -> Edge {
        Edge { caller: caller.parse().ok(), callee: callee.parse().unwrap() }
    }

    fn calls(requests: u64, failed: u64, millis: u64) -> Point {
        let mut counts = [0; model::histogram::BUCKETS];
        counts[model::histogram::bucket_of(Duration::from_millis(millis))] = requests;
        Point { requests, failed, latency: Histogram::from_counts(&counts, requests * millis * 1000) }
    }

    fn total(lines: &[Line]) -> Point {
        let mut sum = Point::default();
        lines.iter().flat_map(|line| line.points.values()).for_each(|point| sum.add(point));
        sum
    }

    fn last(seconds: u64, points: u64) -> Span {
        Span { from: NOW - seconds, until: NOW + 1, points }
    }

    #[test]
    fn steps_get_longer_with_age_and_with_few_points() {
        for (seconds, points, steps) in [
            (60, 60, (0, 2)),
            (3_600, 3_601, (0, 1)),
            (3_600, 120, (0, 31)),
            (3_601, 10_000, (1, 10)),
            (86_400, 288, (1, 310)),
            (30 * 86_400, 720, (2, 3_900)),
            (300 * 86_400, 1, (2, 25_920_300)),
        ] {
            assert_eq!(last(seconds, points).steps(NOW), steps, "{seconds} {points}");
        }
        assert_eq!(Span { from: NOW, until: NOW, points: 0 }.steps(NOW), (0, 1));
    }

    #[test]
    fn sums_of_any_window_are_those_of_all_callers() {
        let folder = tempfile::tempdir().unwrap();
        let metrics = Metrics::open(&folder.path().join("metrics.db"), Limits::default()).unwrap();
        for (age, failed) in [(200_000, 1), (20_000, 2), (3_000, 4), (200, 8), (1, 16)] {
            metrics.add(&edge("orders", "stock"), NOW - age, &calls(100, failed, 5));
            metrics.add(&edge("", "stock"), NOW - age, &calls(100, failed, 5));
        }
        metrics.add(&edge("", "orders"), NOW, &calls(7, 0, 5));
        for state in ["waiting", "written"] {
            for (window, requests, failed) in
                [(300, 400, 48), (3_600, 600, 56), (21_600, 800, 60), (259_200, 1_000, 62)]
            {
                let sums = metrics.sums(NOW - window, NOW).unwrap();
                let stock = sums.iter().find(|(name, _)| name.as_str() == "stock").unwrap().1;
                assert_eq!((stock.requests, stock.failed), (requests, failed), "{state}: {window}");
                assert_eq!(sums.len(), 2);
            }
            metrics.flush(NOW).unwrap();
        }
    }

    #[test]
    fn what_is_kept_outlives_its_process_and_is_read_whole_while_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.db");
        let open = || Metrics::open(&path, Limits::default()).unwrap();
        let (stock, orders) = (edge("orders", "stock"), edge("", "orders"));
        let metrics = open();
        metrics.add(&stock, NOW - 1, &calls(10, 1, 5));
        metrics.add(&orders, NOW - 1, &calls(3, 0, 50));
        assert_eq!(
            total(&metrics.read(None, last(60, 60), NOW).unwrap().1).requests,
            13,
            "before it is written"
        );
        metrics.flush(NOW).unwrap();
        // The same second again, as after a restart in the middle of it.
        metrics.add(&stock, NOW - 1, &calls(5, 0, 5));
        let (step, lines) = metrics.read(Some("stock"), last(60, 61), NOW).unwrap();
        assert_eq!((step, total(&lines).requests, total(&lines).failed), (1, 15, 1));
        metrics.flush(NOW).unwrap();
        drop(metrics);

        let metrics = open();
        for seconds in [60, 7_200, 10 * 86_400] {
            let lines = metrics.read(None, last(seconds, 100), NOW).unwrap().1;
            assert_eq!(
                lines.iter().map(|line| line.edge.clone()).collect::<Vec<_>>(),
                [orders.clone(), stock.clone()]
            );
            assert_eq!(total(&lines).requests, 18, "{seconds}");
            let slow = lines[0].points.values().next().unwrap().latency.quantile(0.5).unwrap();
            assert!((0.047..0.053).contains(&slow.as_secs_f64()), "{slow:?}");
        }
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn what_is_old_goes_and_so_does_the_finest_where_there_is_too_much() {
        let folder = tempfile::tempdir().unwrap();
        let metrics = Metrics::open(&folder.path().join("a.db"), Limits::default()).unwrap();
        let stock = edge("orders", "stock");
        for age in [10, 4_000, 100_000, 31 * 86_400] {
            metrics.add(&stock, NOW - age, &calls(1, 0, 1));
        }
        metrics.flush(NOW).unwrap();
        let seen = |tier: usize| {
            let store = lock(&metrics.store);
            store.rows(tier).unwrap()
        };
        assert_eq!((seen(0), seen(1), seen(2)), (1, 2, 3));

        let small = Metrics::open(&folder.path().join("b.db"), Limits { bytes: 200_000 }).unwrap();
        for at in NOW - 3_000..NOW {
            small.add(&stock, at, &calls(at % 7 + 1, 0, at % 900));
            if at % 500 == 0 {
                small.flush(at).unwrap();
            }
        }
        small.flush(NOW).unwrap();
        let store = lock(&small.store);
        assert!(store.bytes().unwrap() <= 200_000, "{}", store.bytes().unwrap());
        assert!(store.rows(0).unwrap() < 3_000 && store.rows(1).unwrap() >= 300, "{:?}", store.rows(1));
    }

    #[test]
    fn what_happened_is_told_newest_first_and_outlives_its_process() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.db");
        let event = |age: u64, service: &str, text: &str| Event {
            at: (NOW - age) * 1000,
            kind: "deploy".to_owned(),
            service: Some(service.to_owned()).filter(|service| !service.is_empty()),
            text: text.to_owned(),
        };
        let metrics = Metrics::open(&path, Limits::default()).unwrap();
        metrics.happened(event(31 * 86_400, "orders", "long ago"));
        metrics.happened(event(100, "orders", "first"));
        metrics.happened(event(50, "", "of all"));
        metrics.flush(NOW).unwrap();
        metrics.happened(event(10, "orders", "last"));
        let wanted =
            |service: Option<&str>, most| Wanted { from: 0, service: service.map(str::to_owned), most };
        let texts = |metrics: &Metrics, wanted: &Wanted| -> Vec<String> {
            metrics.events(wanted).unwrap().into_iter().map(|event| event.text).collect()
        };
        assert_eq!(texts(&metrics, &wanted(None, 9)), ["last", "of all", "first"]);
        metrics.flush(NOW).unwrap();
        drop(metrics);
        let metrics = Metrics::open(&path, Limits::default()).unwrap();
        assert_eq!(texts(&metrics, &wanted(Some("orders"), 9)), ["last", "first"]);
        assert_eq!(texts(&metrics, &Wanted { from: (NOW - 60) * 1000, ..wanted(None, 1) }), ["last"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        /// However it comes, is written and is asked for, nothing is counted twice and nothing is lost.
        #[test]
        fn every_call_is_in_exactly_one_point(
            added in proptest::collection::vec((0..3_000_u64, 1..50_u64, any::<bool>()), 1..60),
            points in 1..500_u64,
            window in prop_oneof![Just(3_600_u64), Just(80_000), Just(2_000_000)],
        ) {
            let folder = tempfile::tempdir().unwrap();
            let metrics = Metrics::open(&folder.path().join("a.db"), Limits::default()).unwrap();
            let mut sum = 0;
            for (age, requests, flush) in added {
                metrics.add(&edge("a", "b"), NOW - age, &calls(requests, 0, age));
                sum += requests;
                if flush {
                    metrics.flush(NOW).unwrap();
                }
            }
            let (step, lines) = metrics.read(Some("b"), last(window, points), NOW).unwrap();
            let read = total(&lines);
            prop_assert_eq!((read.requests, read.latency.count()), (sum, sum));
            prop_assert!(lines[0].points.len() as u64 <= points + 2, "{} of {}", lines[0].points.len(), points);
            prop_assert!(lines[0].points.keys().all(|at| at % step == 0));
        }
    }
}

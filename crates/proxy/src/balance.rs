//! Which replica gets an attempt: the better of two drawn at random, by latency and load.
//!
//! Two draws keep requests from running all at once to whichever replica looked best a moment ago.

use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;

use crate::latency::GRAIN;
use crate::quarantine::Ticket;
use crate::split::Split;
use crate::table::{Lane, Target};
use crate::worker::Moment;

/// How long a new replica takes to get its full share, in milliseconds.
const WARM_UP: u64 = 10_000;
/// The part of its share with which it begins.
const FIRST_SHARE: f64 = 0.1;
/// Latencies that differ by less than this factor are the same: what is busier decides.
const NOISE: f64 = 2.0;

/// What is known about a replica that was drawn.
#[derive(Debug, Clone, Copy)]
struct Standing {
    /// Microseconds; none while unknown.
    latency: Option<f64>,
    in_flight: u64,
    /// Whether it takes part in this draw: a new one does so more and more often.
    warm: bool,
}

/// A replica that was drawn.
#[derive(Debug)]
pub(crate) struct Pick {
    /// Its index in the lane.
    pub target: usize,
    /// It is out, and this request tries whether it is well again.
    pub ticket: Option<Ticket>,
}

/// Draws a target. `except` is an endpoint that has just failed: it is drawn only if there is no other. `safe` says
/// that the request can be repeated. `user` is the number of whose it is, where users are held to one release.
pub(crate) fn pick(
    lane: &Lane,
    moment: Moment,
    except: Option<u64>,
    safe: bool,
    user: Option<u64>,
) -> Option<Pick> {
    let count = lane.targets.len();
    if count < 2 {
        return (count == 1).then_some(Pick { target: 0, ticket: None });
    }
    let draw = Draw { lane, moment, except, safe, user };
    let drawn = match &lane.split {
        None => draw.within(0..count),
        Some(split) => draw.of(split),
    };
    // Nothing is good: from a random place on, anything but the exception.
    let other = |index: &usize| Some(lane.targets[*index].endpoint.id) != except;
    let any = || {
        let first = fastrand::usize(..count);
        (first..count).chain(0..first).find(other).unwrap_or(first)
    };
    Some(drawn.unwrap_or_else(|| Pick { target: any(), ticket: None }))
}

/// One draw.
#[derive(Clone, Copy)]
struct Draw<'a> {
    lane: &'a Lane,
    moment: Moment,
    except: Option<u64>,
    safe: bool,
    user: Option<u64>,
}

impl Draw<'_> {
    /// From the release whose turn it is; where it has nothing good, from another. A request that has just failed at one
    /// release goes to another.
    fn of(self, split: &Split) -> Option<Pick> {
        let failed = |id| self.lane.targets.iter().position(|target| target.endpoint.id == id);
        match self.except.and_then(failed) {
            Some(target) => split.after(target).find_map(|group| self.within(group.targets.clone())),
            None => {
                let number = self.user.unwrap_or_else(|| self.lane.edge.turns.next(self.moment.worker));
                split.by(number).find_map(|group| self.within(group.targets.clone()))
            }
        }
    }

    /// The better of two from a range that is not empty; none where none is good.
    fn within(self, range: Range<usize>) -> Option<Pick> {
        let Self { lane, moment, except, safe, .. } = self;
        let (targets, count) = (lane.targets.as_slice(), range.len());
        let first = fastrand::usize(..count);
        let at = |offset: usize| range.start + offset % count;
        let drawn = &targets[at(first)].endpoint;
        if drawn.health.is_ejected()
            && Some(drawn.id) != except
            && let Some(ticket) = lane.service_state.outliers.enter(drawn, moment.now, safe)
        {
            return Some(Pick { target: at(first), ticket: Some(ticket) });
        }
        let usable = |index: usize| is_usable(&targets[index], moment.now, except);
        if count == 1 {
            return usable(at(first)).then_some(Pick { target: at(first), ticket: None });
        }
        let second = first + fastrand::usize(1..count);
        let target = match (usable(at(first)), usable(at(second))) {
            (true, true) if second_is_better(&targets[at(first)], &targets[at(second)], moment) => at(second),
            (true, _) => at(first),
            (false, true) => at(second),
            // Two bad draws: look at all, from a random place on.
            (false, false) => (first..first + count).map(at).find(|index| usable(*index))?,
        };
        Some(Pick { target, ticket: None })
    }
}

fn is_usable(target: &Target, now: u64, except: Option<u64>) -> bool {
    let endpoint = &target.endpoint;
    Some(endpoint.id) != except && endpoint.avoid_until.load(Relaxed) <= now && !endpoint.health.is_ejected()
}

fn second_is_better(first: &Target, second: &Target, moment: Moment) -> bool {
    let share = |target: &Target| share(moment.now.saturating_sub(target.endpoint.born));
    let standing = |target: &Target, warm: bool| Standing {
        latency: target.endpoint.latency.value(moment.worker, moment.now),
        in_flight: target.endpoint.counters.in_flight(),
        warm,
    };
    let (a, b) = (share(first), share(second));
    // Measured by the older of the two: where all are new, none is held back.
    let warm = |own: f64| own >= a.max(b) || fastrand::f64() * a.max(b) < own;
    is_better(standing(second, warm(b)), standing(first, warm(a)))
}

/// The part of its full share that a replica of this age gets.
fn share(age: u64) -> f64 {
    if age >= WARM_UP { 1.0 } else { (age as f64 / WARM_UP as f64).max(FIRST_SHARE) }
}

/// Whether `a` should be asked and not `b`.
fn is_better(a: Standing, b: Standing) -> bool {
    if a.warm != b.warm {
        return a.warm;
    }
    // What nobody has asked yet is asked rather than what is known to be slow, but by one request, not by a crowd.
    let latency = |of: Standing| of.latency.or((of.in_flight == 0).then_some(GRAIN));
    if let (Some(mine), Some(other)) = (latency(a), latency(b)) {
        let (mine, other) = (mine.max(GRAIN), other.max(GRAIN));
        if mine > other * NOISE || other > mine * NOISE {
            let cost = |latency: f64, in_flight: u64| latency * (in_flight as f64 + 1.0);
            return cost(mine, a.in_flight) < cost(other, b.in_flight);
        }
    }
    a.in_flight < b.in_flight
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::Compiler;
    use crate::table::Table;
    use crate::testing::{source_of, table_of};

    fn drawn(lane: &Lane, now: u64, except: Option<u64>) -> Vec<u32> {
        let mut indices: Vec<u32> = (0..200)
            .filter_map(|_| pick(lane, Moment { worker: 0, now }, except, true, None))
            .map(|pick| lane.targets[pick.target].endpoint.replica.index)
            .collect();
        indices.sort_unstable();
        indices.dedup();
        indices
    }

    #[test]
    fn all_are_drawn_the_busiest_never() {
        let table = table_of(3);
        let lane = &table.lanes[0];
        assert_eq!(drawn(lane, 0, None), [1, 2, 3]);
        lane.targets[1].endpoint.counters.slot(0).begin();
        assert_eq!(drawn(lane, 0, None), [1, 3]);
    }

    #[test]
    fn the_failed_one_is_drawn_only_if_alone() {
        let table = table_of(2);
        let lane = &table.lanes[0];
        let first = lane.targets[0].endpoint.id;
        assert_eq!(drawn(lane, 0, Some(first)), [2]);
        lane.targets[1].endpoint.avoid(100);
        assert_eq!(drawn(lane, 50, None), [1]);
        assert_eq!(drawn(lane, 50, Some(first)), [2]);
        assert_eq!(drawn(lane, 100, None), [1, 2]);
        let alone = table_of(1);
        let only = alone.lanes[0].targets[0].endpoint.id;
        assert_eq!(drawn(&alone.lanes[0], 0, Some(only)), [1]);
        assert!(drawn(&table_of(0).lanes[0], 0, None).is_empty());
    }

    #[test]
    fn one_that_is_out_is_drawn_for_trials_only_one_at_a_time() {
        let table = table_of(2);
        let lane = &table.lanes[0];
        let outliers = &lane.service_state.outliers;
        (0..5).for_each(|_| {
            outliers.learn(&lane.targets, 0, crate::outlier::Grade::Bad, Moment { worker: 0, now: 0 })
        });
        assert_eq!(drawn(lane, 29_999, None), [2]);
        let second = lane.targets[1].endpoint.id;
        assert_eq!(drawn(lane, 29_999, Some(second)), [1], "rather than the one that just failed");
        let picks = (0..100).filter_map(|_| pick(lane, Moment { worker: 0, now: 30_000 }, None, true, None));
        let (trials, others): (Vec<_>, Vec<_>) = picks.partition(|pick| pick.ticket.is_some());
        assert_eq!((trials.len(), trials[0].target), (1, 0));
        assert!(others.iter().all(|pick| pick.target == 1));
    }

    /// Two replicas of `old`, one of `new`, and a stray one.
    fn divided(new: u32) -> Table {
        let mut source = source_of(1..=4);
        let upstream = source.upstreams.get_mut("s").unwrap();
        for (endpoint, release) in upstream.endpoints.iter_mut().zip(["new", "old", "stray", "old"]) {
            endpoint.release = model::ReleaseId(release.to_owned());
        }
        let share =
            |release: &str, weight| model::Share { release: model::ReleaseId(release.into()), weight };
        upstream.shares = vec![share("old", 10_000 - new), share("new", new)];
        Compiler::new(1).compile(&source, 0)
    }

    fn shares(table: &Table, except: Option<&str>) -> Vec<(String, usize)> {
        let lane = &table.lanes[0];
        let of = |name: &str| lane.targets.iter().find(|t| t.endpoint.release.0 == name).unwrap().endpoint.id;
        let mut counts = std::collections::BTreeMap::new();
        for _ in 0..10_000 {
            let pick = pick(lane, Moment { worker: 0, now: 50 }, except.map(of), true, None).unwrap();
            *counts.entry(lane.targets[pick.target].endpoint.release.0.clone()).or_insert(0) += 1;
        }
        counts.into_iter().collect()
    }

    #[test]
    fn releases_get_their_shares_and_strays_nothing() {
        let table = divided(100);
        let counts = shares(&table, None);
        assert_eq!(counts.len(), 2, "{counts:?}");
        assert!(counts[0].0 == "new" && counts[0].1.abs_diff(100) <= 3, "{counts:?}");
        assert_eq!(drawn(&table.lanes[0], 50, None).len(), 3, "both old ones take part");
        // With no share at all it gets nothing ...
        assert_eq!(shares(&divided(0), None).len(), 1);
        // ... and what failed at one release is sent to another.
        assert_eq!(shares(&table, Some("new")), [("old".to_owned(), 10_000)]);
        assert_eq!(shares(&table, Some("old")), [("new".to_owned(), 10_000)]);
    }

    #[test]
    fn a_release_that_cannot_take_its_share_leaves_it_to_the_others() {
        let table = divided(5_000);
        let avoid = |release: &str, until| {
            let targets = table.lanes[0].targets.iter().filter(|t| t.endpoint.release.0 == release);
            targets.for_each(|t| t.endpoint.avoid(until));
        };
        avoid("new", 100);
        assert_eq!(shares(&table, None), [("old".to_owned(), 10_000)]);
        avoid("old", 100);
        assert_eq!(shares(&table, None), [("stray".to_owned(), 10_000)]);
        avoid("new", 0);
        assert_eq!(shares(&table, None), [("new".to_owned(), 10_000)]);
    }

    #[test]
    fn the_better_of_two() {
        let of = |latency: Option<f64>, in_flight, warm| Standing { latency, in_flight, warm };
        let (ms, secs) = (|n: f64| Some(n * 1e3), |n: f64| Some(n * 1e6));
        for (a, b, expected) in [
            (of(None, 0, true), of(None, 1, true), true),
            (of(None, 1, true), of(None, 0, true), false),
            (of(None, 0, true), of(secs(1.0), 0, true), true),
            (of(secs(1.0), 0, true), of(None, 0, true), false),
            (of(None, 1, true), of(secs(1.0), 0, true), false),
            (of(ms(10.0), 0, true), of(ms(25.0), 0, true), true),
            (of(ms(10.0), 2, true), of(ms(25.0), 0, true), false),
            (of(ms(10.0), 1, true), of(ms(25.0), 0, true), true),
            // As good as equal: the load decides.
            (of(ms(10.0), 1, true), of(ms(19.0), 0, true), false),
            (of(ms(0.01), 1, true), of(ms(0.9), 0, true), false),
            // A new replica waits its turn, whatever else is true of it.
            (of(ms(1.0), 0, false), of(ms(900.0), 9, true), false),
            (of(ms(900.0), 9, true), of(ms(1.0), 0, false), true),
        ] {
            assert_eq!(is_better(a, b), expected, "{a:?} {b:?}");
        }
    }

    fn share_of_first(table: &Table, now: u64) -> f64 {
        let lane = &table.lanes[0];
        let pick = || pick(lane, Moment { worker: 0, now }, None, true, None).unwrap().target;
        let first = (0..4000).filter(|_| pick() == 0).count();
        first as f64 / 4000.0
    }

    #[test]
    fn a_slow_replica_gets_little_until_its_slowness_is_forgotten() {
        let table = table_of(2);
        let lane = &table.lanes[0];
        let ms = std::time::Duration::from_millis;
        for (target, took) in [(0, ms(500)), (1, ms(2))] {
            lane.targets[target].endpoint.latency.learn(Moment { worker: 0, now: 20_000 }, took, false);
        }
        assert_eq!(share_of_first(&table, 20_000), 0.0);
        // The others being very busy, it helps.
        (0..300).for_each(|_| lane.targets[1].endpoint.counters.slot(0).begin());
        assert_eq!(share_of_first(&table, 20_000), 1.0);
    }

    #[test]
    fn a_new_replica_gets_its_share_little_by_little() {
        fastrand::seed(7);
        for (age, least, most) in [(0, 0.02, 0.13), (5_000, 0.2, 0.3), (10_000, 0.47, 0.53)] {
            let (mut compiler, born) = (Compiler::new(1), 100_000);
            compiler.compile(&source_of(2..=2), 0);
            let table = compiler.compile(&source_of(1..=2), born);
            let share = share_of_first(&table, born + age);
            assert!((least..=most).contains(&share), "{share} at {age}");
        }
        let (mut compiler, born) = (Compiler::new(1), 100_000);
        let table = compiler.compile(&source_of(1..=2), born);
        let share = share_of_first(&table, born);
        assert!((0.47..=0.53).contains(&share), "all are new: {share}");
    }

    proptest::proptest! {
        #[test]
        fn of_two_one_is_at_most_better_and_of_any_number_one_is_drawn(
            standings in proptest::array::uniform2(
                (proptest::option::of(0.0f64..1e7), 0u64..1000, proptest::bool::ANY)),
            count in 1u16..6,
            now in 0u64..30_000,
            except in proptest::option::of(0u64..7),
        ) {
            let [a, b] = standings.map(|(latency, in_flight, warm)| Standing { latency, in_flight, warm });
            proptest::prop_assert!(!(is_better(a, b) && is_better(b, a)));
            let table = table_of(count);
            let lane = &table.lanes[0];
            let target = pick(lane, Moment { worker: 3, now }, except, true, None).unwrap().target;
            proptest::prop_assert!(count == 1 || Some(lane.targets[target].endpoint.id) != except);
        }
    }
}

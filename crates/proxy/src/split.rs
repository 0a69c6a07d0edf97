//! How the requests of a lane are divided among releases: exactly by weight, without anything that threads share.
//!
//! Each thread walks the Weyl sequence of the golden ratio, which fills the unit interval as evenly as a sequence can:
//! of any N requests in a row, a release with the share p gets N·p, give or take two or so (H. Niederreiter, "Random
//! Number Generation and Quasi-Monte Carlo Methods", 1992, theorem 3.3). Drawn at random it would be off by √N.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// 2^64 divided by the golden ratio.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Where each thread is in the sequence. Outlives the table, so that a small share gets its turn also where tables
/// change often.
#[derive(Debug)]
pub(crate) struct Turns(Box<[Turn]>);

/// One thread's place; a cache line of its own.
#[derive(Debug)]
#[repr(align(128))]
struct Turn(AtomicU64);

impl Turns {
    pub(crate) fn new(workers: usize) -> Self {
        // Each from another place, so that the first requests of all threads do not go to the same release.
        Self((0..workers.max(1)).map(|_| Turn(AtomicU64::new(fastrand::u64(..)))).collect())
    }

    /// The next number of this thread; all are equally likely.
    pub(crate) fn next(&self, worker: usize) -> u64 {
        let Turn(place) = &self.0[worker % self.0.len()];
        let next = place.load(Relaxed).wrapping_add(STEP);
        place.store(next, Relaxed);
        next
    }
}

/// The releases of a lane. Its targets are in the order of its groups.
#[derive(Debug)]
pub(crate) struct Split {
    /// Those with a weight, in the order in which their shares were given; after them those that get what nobody else can
    /// take.
    groups: Vec<Group>,
}

/// The targets of one release.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub targets: Range<usize>,
    /// A number up to here, and above that of the group before, is this group's; none where it has no weight.
    upto: Option<u64>,
}

impl Split {
    /// Of groups of targets given as (count, weight), those without a weight last, all counts above 0. A number that belongs to
    /// the last group goes on doing so while its weight grows. None where every target counts
    /// the same: with one group only, or without any weight.
    pub(crate) fn new(groups: &[(usize, u32)]) -> Option<Self> {
        let total: u64 = groups.iter().map(|(_, weight)| u64::from(*weight)).sum();
        if groups.len() < 2 || total == 0 {
            return None;
        }
        let (mut start, mut sum) = (0, 0);
        let group = |(count, weight): &(usize, u32)| {
            let targets = start..start + count;
            start += count;
            sum += u64::from(*weight);
            // The last one with a weight ends at the very end of the numbers.
            let upto = u128::from(sum) * u128::from(u64::MAX) / u128::from(total);
            Group { targets, upto: (*weight > 0).then(|| u64::try_from(upto).unwrap_or(u64::MAX)) }
        };
        Some(Self { groups: groups.iter().map(group).collect() })
    }

    /// The groups in the order in which they are to be asked, for a number from [`Turns`].
    pub(crate) fn by(&self, number: u64) -> impl Iterator<Item = &Group> {
        let drawn = self.groups.iter().position(|g| g.upto.is_some_and(|upto| number <= upto)).unwrap_or(0);
        let others = self.groups.iter().enumerate().filter(move |(i, _)| *i != drawn).map(|(_, g)| g);
        self.groups.get(drawn).into_iter().chain(others)
    }

    /// The groups in the order in which they are to be asked by a request that has just failed at `target`.
    pub(crate) fn after(&self, target: usize) -> impl Iterator<Item = &Group> {
        let own = move |g: &&Group| g.targets.contains(&target);
        let weighty = |g: &&Group| g.upto.is_some();
        let others = self.groups.iter().filter(move |g| weighty(g) && !own(g));
        let rest = self.groups.iter().filter(move |g| !weighty(g) || own(g));
        others.chain(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(split: &Split, turns: &Turns, requests: usize) -> Vec<usize> {
        let mut counts = vec![0; split.groups.len()];
        for _ in 0..requests {
            let group = split.by(turns.next(0)).next().unwrap();
            counts[split.groups.iter().position(|g| g.targets == group.targets).unwrap()] += 1;
        }
        counts
    }

    proptest::proptest! {
        #[test]
        fn a_share_is_exact_in_any_run_of_requests(
            weights in proptest::collection::vec(1u32..10_000, 2..4), before in 0usize..5_000, requests in 1usize..20_000,
        ) {
            let mut weights = weights;
            weights.sort_by_key(|w| std::cmp::Reverse(*w));
            let split = Split::new(&weights.iter().map(|w| (1, *w)).collect::<Vec<_>>()).unwrap();
            let turns = Turns::new(1);
            counts(&split, &turns, before);
            let total: u32 = weights.iter().sum();
            for (count, weight) in counts(&split, &turns, requests).iter().zip(&weights) {
                let expected = requests as f64 * f64::from(*weight) / f64::from(total);
                proptest::prop_assert!((*count as f64 - expected).abs() < 5.0, "{count} for {expected}");
            }
        }
    }

    #[test]
    fn who_got_the_new_release_keeps_it_while_its_share_grows() {
        let group = |weight: u32, number: u64| {
            let split = Split::new(&[(1, 10_000 - weight), (1, weight)]).unwrap();
            split.by(number).next().unwrap().targets.start
        };
        let turns = Turns::new(1);
        for number in (0..10_000).map(|_| turns.next(0)) {
            let got: Vec<usize> = [1, 100, 1_000, 5_000, 9_900].map(|weight| group(weight, number)).into();
            assert!(got.is_sorted(), "{number}: {got:?}");
        }
    }

    #[test]
    fn one_percent_is_one_in_a_hundred() {
        let split = Split::new(&[(3, 9900), (1, 100)]).unwrap();
        let counts = counts(&split, &Turns::new(1), 100_000);
        assert!(counts[1].abs_diff(1000) <= 2, "{counts:?}");
    }

    #[test]
    fn no_weight_is_the_last_resort() {
        let split = Split::new(&[(1, 7), (2, 0)]).unwrap();
        for number in [0, 1, u64::MAX / 2, u64::MAX] {
            let order: Vec<_> = split.by(number).map(|g| g.targets.clone()).collect();
            assert_eq!(order, [0..1, 1..3]);
        }
        assert!(Split::new(&[(1, 7)]).is_none() && Split::new(&[(1, 0), (1, 0)]).is_none());
        let split = Split::new(&[(1, 9), (1, 1), (1, 0)]).unwrap();
        let after = |target| split.after(target).map(|g| g.targets.start).collect::<Vec<_>>();
        assert_eq!((after(0), after(1)), (vec![1, 0, 2], vec![0, 1, 2]));
    }
}

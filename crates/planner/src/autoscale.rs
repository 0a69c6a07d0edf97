//! How many replicas a service needs for the requests that it has. Pure.
//!
//! After Knative's autoscaler (<https://knative.dev/docs/serving/autoscaling/>): requests in flight, averaged over a *stable* window,
//! divided by what one replica should have. A *panic* window of a tenth of it sees a sudden crowd: when that needs twice the replicas
//! that are ready, the short window counts, and nothing is taken away until the crowd is gone for as long as the stable window.
//!
//! What is different: `concurrency` is what a replica should have, not its limit, so no part of it is kept free; and fewer replicas are
//! decided on only once the stable window is full, since a control plane that just began has not seen what came before.

use std::collections::VecDeque;
use std::time::Duration;

use model::Scale;

use crate::millis;

/// Buckets of the stable window.
const BUCKETS: u32 = 60;
/// The panic window is the stable one divided by this.
const PANIC_PART: u32 = 10;
/// So many times the ready replicas begin a panic.
const PANIC: f64 = 2.0;
/// What a service counts as in flight where requests came, but none at a moment of looking.
const SOME: f64 = 0.01;

/// What is seen of a service at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Requests in flight, those that wait for a replica included.
    pub in_flight: u64,
    /// Whether any came since the moment before.
    pub came: bool,
}

/// A number of replicas that is other than the present one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// How many there are to be.
    pub replicas: u32,
    /// Why, for a person.
    pub reason: String,
}

/// The memory of one service's load. Times are in milliseconds of any clock that does not go back.
#[derive(Debug, Clone, Default)]
pub struct Autoscaler {
    /// Oldest first.
    buckets: VecDeque<Bucket>,
    began: Option<u64>,
    panic: Option<Panic>,
    /// What was enough, and when, as far back as the delay asks for.
    enough: VecDeque<(u64, u32)>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    at: u64,
    sum: f64,
    samples: u32,
}

#[derive(Debug, Clone, Copy)]
struct Panic {
    /// When the crowd was seen last.
    seen: u64,
    /// The most replicas that it needed.
    most: u32,
}

impl Autoscaler {
    /// Remembers what was seen at `now`.
    pub fn observe(&mut self, scale: &Scale, load: Load, now: u64) {
        let width = (millis(scale.pace.window) / u64::from(BUCKETS)).max(1);
        let (at, value) = (now - now % width, load.in_flight as f64);
        let value = if load.came { value.max(SOME) } else { value };
        self.began.get_or_insert(now);
        match self.buckets.back_mut().filter(|last| last.at >= at) {
            Some(last) => {
                last.sum += value;
                last.samples += 1;
            }
            None => self.buckets.push_back(Bucket { at, sum: value, samples: 1 }),
        }
        let oldest = now.saturating_sub(millis(scale.pace.window));
        while self.buckets.front().is_some_and(|bucket| bucket.at + width <= oldest) {
            self.buckets.pop_front();
        }
    }

    /// Decides how many replicas there are to be, where that is another number than `wanted`; `ready` are there now.
    /// Nothing is decided where replicas are set by hand, or nothing was seen.
    pub fn decide(&mut self, scale: &Scale, ready: u32, wanted: u32, now: u64) -> Option<Decision> {
        let target = f64::from(scale.concurrency?);
        let window = millis(scale.pace.window);
        let stable = self.average(now, window)?;
        let crowd = self.average(now, window / u64::from(PANIC_PART)).unwrap_or(stable);
        let there = ready.max(1);
        let need = |average: f64| (average / target).ceil().min(f64::from(u32::MAX)) as u32;
        let reachable = |replicas: u32| {
            let most = there.saturating_mul(scale.pace.up_rate);
            replicas.clamp((there / scale.pace.down_rate.max(1)).min(most), most)
        };
        let mut replicas = reachable(need(stable));
        let panics = self.panics(f64::from(need(crowd)) >= PANIC * f64::from(there), window, now);
        if let Some(panic) = panics {
            panic.most = panic.most.max(replicas).max(reachable(need(crowd)));
            replicas = panic.most;
        }
        let in_panic = self.panic.is_some();
        replicas = self.after_delay(replicas, millis(scale.pace.down_delay), now).clamp(scale.min, scale.max);
        let full = self.began.is_some_and(|began| now.saturating_sub(began) >= window);
        if replicas == wanted || (replicas < wanted && !full) {
            return None;
        }
        let (average, over) =
            if in_panic { (crowd, window / u64::from(PANIC_PART)) } else { (stable, window) };
        Some(Decision { replicas, reason: reason(average, over, scale, replicas) })
    }

    /// The panic, if there is one: it begins with a crowd, and ends when none was seen for a whole window.
    fn panics(&mut self, crowd: bool, window: u64, now: u64) -> Option<&mut Panic> {
        if crowd {
            self.panic.get_or_insert(Panic { seen: now, most: 0 }).seen = now;
        } else if self.panic.is_some_and(|panic| now.saturating_sub(panic.seen) >= window) {
            self.panic = None;
        }
        self.panic.as_mut()
    }

    /// The most that was needed within the delay.
    fn after_delay(&mut self, replicas: u32, delay: u64, now: u64) -> u32 {
        self.enough.push_back((now, replicas));
        while self.enough.len() > 1 && self.enough.front().is_some_and(|(at, _)| at + delay < now) {
            self.enough.pop_front();
        }
        self.enough.iter().map(|(_, replicas)| *replicas).max().unwrap_or(replicas)
    }

    fn average(&self, now: u64, window: u64) -> Option<f64> {
        let from = now.saturating_sub(window);
        // At least the latest, however rarely it is looked.
        let latest = self.buckets.back()?.at;
        let within = self.buckets.iter().filter(|bucket| bucket.at > from || bucket.at == latest);
        let (sum, count) = within.fold((0.0, 0_u32), |(sum, count), bucket| {
            (sum + bucket.sum / f64::from(bucket.samples), count + 1)
        });
        Some(sum / f64::from(count.max(1)))
    }
}

fn reason(average: f64, over: u64, scale: &Scale, replicas: u32) -> String {
    let window = Duration::from_millis(over);
    if average <= 0.0 {
        return format!("no request for {window:?}");
    }
    let target = scale.concurrency.unwrap_or_default();
    let bound = match replicas {
        n if n == scale.max => ", which is the most",
        n if n == scale.min => ", which is the least",
        _ => "",
    };
    format!(
        "{average:.1} requests in flight on average over {window:?}, and {target} for each: {replicas} replicas{bound}"
    )
}

#[cfg(test)]
mod tests {
    use model::Pace;
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1000;

    fn scale(min: u32, max: u32, concurrency: u32) -> Scale {
        Scale { min, max, concurrency: Some(concurrency), pace: Pace::default() }
    }

    /// A service whose replicas are ready one second after they are wanted.
    struct Sim {
        scale: Scale,
        scaler: Autoscaler,
        now: u64,
        ready: u32,
        wanted: u32,
    }

    impl Sim {
        fn new(scale: Scale) -> Self {
            let first = scale.initial();
            Self { scale, scaler: Autoscaler::default(), now: 1_000_000, ready: first, wanted: first }
        }

        /// A second with so many requests in flight.
        fn second(&mut self, in_flight: u64) -> u32 {
            self.now += SECOND;
            self.ready = self.wanted;
            self.scaler.observe(&self.scale, Load { in_flight, came: in_flight > 0 }, self.now);
            if let Some(decision) = self.scaler.decide(&self.scale, self.ready, self.wanted, self.now) {
                assert_ne!(decision.replicas, self.wanted, "{}", decision.reason);
                self.wanted = decision.replicas;
            }
            self.wanted
        }

        fn seconds(&mut self, seconds: u64, in_flight: u64) -> Vec<u32> {
            (0..seconds).map(|_| self.second(in_flight)).collect()
        }
    }

    #[test]
    fn a_steady_load_gets_what_it_needs_and_no_more() {
        for (in_flight, expected) in [(0, 1), (1, 1), (10, 1), (11, 2), (35, 4), (1000, 8)] {
            let mut sim = Sim::new(scale(1, 8, 10));
            sim.seconds(300, in_flight);
            assert_eq!(sim.wanted, expected, "{in_flight}");
        }
    }

    #[test]
    fn a_crowd_is_met_at_once_and_what_it_got_stays_for_a_window_after_it() {
        let mut sim = Sim::new(scale(1, 50, 10));
        sim.seconds(120, 5);
        assert_eq!(sim.wanted, 1);
        let met = sim.seconds(8, 200);
        assert!(met[0] >= 2 && met[7] == 20, "{met:?}");
        let after = sim.seconds(60, 5);
        assert!(after[..50].iter().all(|n| *n == 20), "{after:?}");
        sim.seconds(120, 5);
        assert_eq!(sim.wanted, 1);
    }

    #[test]
    fn a_small_rise_is_met_by_the_stable_window_without_a_panic() {
        let mut sim = Sim::new(scale(1, 50, 10));
        sim.seconds(120, 35);
        assert_eq!(sim.wanted, 4);
        let steps = sim.seconds(60, 55);
        assert_eq!(steps.last(), Some(&6));
        assert!(sim.scaler.panic.is_none());
    }

    #[test]
    fn it_goes_to_zero_after_an_idle_window_only_where_it_may_and_comes_back_at_the_first_request() {
        let mut sim = Sim::new(scale(0, 4, 10));
        sim.seconds(5, 1);
        let idle = sim.seconds(90, 0);
        let zero = idle.iter().position(|n| *n == 0);
        assert!(zero.is_some_and(|at| (55..=61).contains(&at)), "{idle:?}");
        assert_eq!(sim.second(1), 1, "the request is waiting");

        let mut kept = Sim::new(scale(1, 4, 10));
        kept.seconds(300, 0);
        assert_eq!(kept.wanted, 1);
    }

    #[test]
    fn requests_that_nobody_saw_in_flight_keep_a_replica() {
        let mut sim = Sim::new(scale(0, 4, 10));
        for n in 0..200_u64 {
            sim.now += SECOND;
            let load = Load { in_flight: 0, came: n % 30 == 0 };
            sim.scaler.observe(&sim.scale, load, sim.now);
            assert_eq!(sim.scaler.decide(&sim.scale, 1, 1, sim.now), None);
        }
    }

    #[test]
    fn a_control_plane_that_just_began_takes_nothing_away_and_may_add() {
        let mut sim = Sim::new(scale(1, 8, 10));
        (sim.ready, sim.wanted) = (4, 4);
        assert!(sim.seconds(59, 0).iter().all(|n| *n == 4));
        sim.seconds(5, 0);
        assert!(sim.wanted < 4);
        let mut busy = Sim::new(scale(1, 8, 10));
        assert_eq!(busy.second(60), 6);
    }

    #[test]
    fn steps_and_delay_are_those_that_are_asked_for() {
        let mut pace = Pace { up_rate: 2, ..Pace::default() };
        let mut sim = Sim::new(Scale { pace, ..scale(1, 50, 1) });
        assert_eq!(sim.seconds(6, 40), [2, 4, 8, 16, 32, 40]);
        assert_eq!(sim.scaler.clone().decide(&sim.scale, 40, 40, sim.now), None);

        pace = Pace { down_delay: Duration::from_secs(30), ..Pace::default() };
        let mut slow = Sim::new(Scale { pace, ..scale(1, 50, 1) });
        let mut quick = Sim::new(scale(1, 50, 1));
        let last = |sim: &mut Sim| {
            sim.seconds(100, 8);
            sim.seconds(300, 1).iter().position(|n| *n == 1).unwrap()
        };
        let (a, b) = (last(&mut slow), last(&mut quick));
        assert!(a >= b + 28, "{a} {b}");
    }

    #[test]
    fn by_hand_nothing_is_decided() {
        let mut scaler = Autoscaler::default();
        let fixed = Scale::fixed(2);
        scaler.observe(&fixed, Load { in_flight: 1000, came: true }, 5000);
        assert_eq!(scaler.decide(&fixed, 2, 2, 5000), None);
        assert_eq!(Autoscaler::default().decide(&scale(1, 2, 1), 1, 1, 5000), None, "nothing was seen");
    }

    proptest! {
        #[test]
        fn it_stays_in_bounds_settles_and_never_takes_away_in_a_panic(
            min in 0_u32..3,
            more in 0_u32..20,
            target in 1_u32..20,
            phases in proptest::collection::vec((1_u64..80, 0_u64..400), 1..8),
        ) {
            let mut sim = Sim::new(scale(min, (min + more).max(1), target));
            for (seconds, in_flight) in &phases {
                for _ in 0..*seconds {
                    let before = (sim.wanted, sim.scaler.panic.is_some());
                    let wanted = sim.second(*in_flight);
                    prop_assert!((sim.scale.min..=sim.scale.max).contains(&wanted));
                    let panics = before.1 && sim.scaler.panic.is_some();
                    prop_assert!(!panics || wanted >= before.0.min(sim.scale.max));
                }
            }
            let last = phases[phases.len() - 1].1;
            sim.seconds(600, last);
            let needed = u32::try_from(last.div_ceil(u64::from(target))).unwrap();
            prop_assert_eq!(sim.wanted, needed.clamp(sim.scale.min, sim.scale.max));
        }
    }
}

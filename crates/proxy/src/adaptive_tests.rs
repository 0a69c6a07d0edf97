//! The limit against services that are simulated window by window: what waits at a full server, and what is just slow.

use model::histogram::{BUCKETS, bucket_of};

use super::*;

/// A window, in seconds.
const WINDOW: f64 = 0.25;

/// A service that works at so many requests at a time; more of them wait in turn.
struct Server {
    slots: f64,
    /// The time for one request that has a slot, in seconds, for a random number between 0 and 1.
    work: fn(f64) -> f64,
    most: u32,
    replicas: u32,
    gradient: Gradient,
}

/// What one window showed.
#[derive(Debug, Clone, Copy)]
struct Seen {
    limit: u32,
    shed: bool,
    /// Seconds.
    p99: f64,
    /// Answers per second.
    goodput: f64,
}

impl Server {
    fn new(slots: f64, work: fn(f64) -> f64) -> Self {
        Self { slots, work, most: 512, replicas: 1, gradient: Gradient::default() }
    }

    fn bounds(&self) -> Bounds {
        Bounds { most: self.most, replicas: self.replicas }
    }

    /// Windows in which `clients` always have one request under way each, or are refused.
    fn run(&mut self, windows: usize, clients: f64) -> Seen {
        (0..windows).map(|_| self.window(clients)).last().unwrap()
    }

    fn window(&mut self, clients: f64) -> Seen {
        let limit = self.gradient.limit(self.bounds());
        let waiting = clients.min(f64::from(limit));
        let mean = (0..1000).map(|n| (self.work)(f64::from(n) / 1000.0)).sum::<f64>() / 1000.0;
        let goodput = waiting.min(self.slots) / mean;
        let queued = (waiting - self.slots).max(0.0) / goodput;
        let (mut counts, mut sum) = ([0; BUCKETS], 0.0);
        for _ in 0..((goodput * WINDOW) as usize).max(SAMPLES as usize) {
            let took = (self.work)(fastrand::f64()) + queued * (0.8 + 0.4 * fastrand::f64());
            counts[bucket_of(Duration::from_secs_f64(took))] += 1;
            sum += took;
        }
        let latency = Histogram::from_counts(&counts, (sum * 1e6) as u64);
        self.gradient.learn(&latency, waiting as u64, self.bounds());
        let p99 = latency.quantile(0.99).unwrap().as_secs_f64();
        Seen { limit: self.gradient.limit(self.bounds()), shed: clients > f64::from(limit), p99, goodput }
    }
}

fn ten_ms(random: f64) -> f64 {
    0.010 * (0.8 + 0.4 * random)
}

#[test]
fn nothing_is_shed_at_low_load_however_latency_varies() {
    fastrand::seed(1);
    let wild: fn(f64) -> f64 = |random| 0.001 * (random * 9.0).exp();
    for clients in [1.0, 5.0, 19.0] {
        let mut server = Server::new(1000.0, wild);
        assert!((0..2000).all(|_| !server.window(clients).shed), "{clients}");
        assert_eq!(server.gradient.limit(server.bounds()), 512);
    }
}

#[test]
fn a_queue_is_seen_and_kept_short_and_everything_that_can_be_done_is_done() {
    fastrand::seed(2);
    let mut server = Server::new(50.0, ten_ms);
    assert_eq!(server.run(40, 20.0).limit, 512);
    let without = 0.010 * 400.0 / 50.0;
    let mut last = server.window(400.0);
    assert!(last.p99 > without * 0.8, "nothing is known yet: {last:?}");
    last = server.run(60, 400.0);
    assert!(last.shed && (40..=120).contains(&last.limit), "{last:?}");
    assert!(last.p99 < 0.030, "{last:?}");
    assert!(last.goodput > 4900.0, "{last:?}");
    // For an hour: what is usual does not creep up.
    for _ in 0..14_400 {
        let seen = server.window(400.0);
        assert!(seen.p99 < 0.035 && seen.goodput > 3900.0, "{seen:?}");
    }
}

#[test]
fn half_of_the_capacity_lost_and_found_again() {
    fastrand::seed(3);
    let mut server = Server::new(100.0, ten_ms);
    server.run(40, 60.0);
    let whole = server.run(80, 300.0);
    server.slots = 50.0;
    let half = server.run(80, 300.0);
    assert!(half.limit * 10 < whole.limit * 8, "{whole:?} {half:?}");
    assert!(half.p99 < 0.035 && half.goodput > 4900.0, "{half:?}");
    server.slots = 100.0;
    let again = server.run(200, 300.0);
    assert!(again.goodput > 9900.0 && again.limit >= 100, "{again:?}");
    // With less load nothing is refused, and the limit is forgotten.
    let calm = server.run(100, 10.0);
    assert!(!calm.shed && calm.limit == 512, "{calm:?}");
}

#[test]
fn two_kinds_of_requests_do_not_make_the_limit_collapse() {
    fastrand::seed(4);
    // Fast and slow differ by a factor of a thousand; there is always a free slot.
    let mixes: [fn(f64) -> f64; 4] = [
        |random| if random < 0.5 { 0.001 } else { 1.0 },
        |random| if random < 0.9 { 0.001 } else { 1.0 },
        |random| if random < 0.99 { 0.001 } else { 1.0 },
        |random| if random < 0.1 { 0.001 } else { 1.0 },
    ];
    for (nth, mix) in mixes.into_iter().enumerate() {
        let mut server = Server::new(1000.0, mix);
        let shed = (0..4000).filter(|_| server.window(100.0).shed).count();
        assert!(shed < 40, "mix {nth}: {shed} of 4000 windows");
    }
}

#[test]
fn more_slow_requests_than_before_are_no_queue() {
    fastrand::seed(5);
    let mut server = Server::new(1000.0, |random| if random < 0.8 { 0.002 } else { 0.5 });
    server.run(100, 200.0);
    server.work = |random| if random < 0.3 { 0.002 } else { 0.5 };
    let shed = (0..1000).filter(|_| server.window(200.0).shed).count();
    assert_eq!(shed, 0);
}

#[test]
fn a_service_that_became_slower_but_has_no_queue_is_soon_left_alone() {
    fastrand::seed(6);
    for clients in [25.0, 60.0, 400.0] {
        let mut server = Server::new(1000.0, ten_ms);
        server.run(100, clients);
        server.work = |random| 3.0 * ten_ms(random);
        let shed = (0..4000).filter(|_| server.window(clients).shed).count();
        let last = server.run(1, clients);
        assert!(!last.shed && shed < 1200, "{clients}: shed in {shed} windows, {last:?}");
    }
}

#[test]
fn cold_at_first_is_not_a_queue() {
    fastrand::seed(7);
    let mut server = Server::new(1000.0, |random| 20.0 * ten_ms(random));
    server.run(20, 100.0);
    server.work = ten_ms;
    assert!((0..400).all(|_| !server.window(100.0).shed));
}

#[test]
fn the_limit_grows_and_shrinks_with_the_replicas_and_has_bounds() {
    let mut gradient = Gradient { limit: Some(60.0), replicas: 2, ..Gradient::default() };
    let of = |replicas, most| Bounds { most, replicas };
    for (replicas, most, limit) in [
        (4, 512, 120),
        (4, 100, 100),
        (1, 512, 30),
        (0, 512, 30),
        (2, 512, 60),
        (8, 512, 240),
        (20, 512, 512),
    ] {
        gradient.scale(of(replicas, most));
        assert_eq!(gradient.limit(of(replicas, most)), limit, "{replicas} of {most}");
    }
    let mut small = Server { most: 3, ..Server::new(1.0, ten_ms) };
    assert_eq!(small.run(200, 50.0).limit, 3, "the manifest's limit may be below the least that is learned");
}

proptest::proptest! {
    #[test]
    fn whatever_is_seen_the_limit_stays_within_its_bounds(
        windows in proptest::collection::vec(
            (proptest::collection::vec(0u64..5_000_000, 0..20), 0u64..2000, 0u32..6, 1u32..600), 1..80),
    ) {
        let mut gradient = Gradient::default();
        for (times, peak, replicas, most) in windows {
            let mut counts = [0; BUCKETS];
            times.iter().for_each(|micros| counts[bucket_of(Duration::from_micros(*micros))] += 1);
            let bounds = Bounds { most, replicas };
            gradient.learn(&Histogram::from_counts(&counts, times.iter().sum()), peak, bounds);
            let limit = gradient.limit(bounds);
            proptest::prop_assert!(limit <= most && limit >= most.min(LEAST), "{}", limit);
        }
    }
}

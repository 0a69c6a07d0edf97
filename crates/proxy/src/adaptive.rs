//! How many requests a service can take at one time, learned from its latencies. Pure.
//!
//! After the Gradient2 limit of Netflix's concurrency-limits
//! (<https://github.com/Netflix/concurrency-limits>): a latency that rises over its long-term average is the sign of a queue,
//! and the limit follows the gradient of the two. Tolerance, smoothing, long window and least limit are its own. What is
//! different, so that services are not harmed that have no queue:
//!
//! - **Two measures must rise together**: the geometric mean, which a few very slow requests move little, and the time of
//!   the quickest tenth. In a queue everybody waits, the quickest too; when there are just more slow operations than before,
//!   the quickest are as quick as ever.
//! - **Few requests at a time are never a queue**: nothing is concluded while fewer wait than the least limit.
//! - **A limit that is far above what is used says nothing**, so it first comes down to twice of that, which refuses nobody.
//! - **Shedding must pay**: if the limit fell by three tenths and latency did not fall with it, there was no queue. Then
//!   what is measured is the new normal.

use std::time::Duration;

use model::Histogram;

/// Rises of latency up to this factor are normal.
const TOLERANCE: f64 = 1.5;
/// How much of the new limit counts at once.
const SMOOTHING: f64 = 0.2;
/// No window takes more than this part of the limit, before smoothing.
const STEEPEST: f64 = 0.5;
/// Windows of the long-term average.
const LONG: f64 = 600.0;
/// Windows at the beginning that are averaged evenly.
const WARM_UP: u32 = 10;
/// The least limit for one replica.
pub(crate) const LEAST: u32 = 20;
/// The least queue that is always allowed.
const QUEUE: f64 = 4.0;
/// A window with fewer answers is joined with the next.
pub(crate) const SAMPLES: u64 = 30;
/// How far the limit must have fallen before it is asked whether that helped.
const FALLEN: f64 = 0.7;
/// The part by which latency must have fallen then, of the part by which the requests that wait did. At a full service it
/// is all of it.
const HELPED: f64 = 0.5;
/// A latency that is higher by this factor than when the limit began to fall is still rising.
const STILL_RISES: f64 = 1.1;
/// Windows, one after the other, that must say that it did not help.
const SURE: u32 = 4;
/// Up to this part of the least limit, the limit is as low as it gets.
const LOW: f64 = 1.1;
/// How much of its size a limit grows in a window in which it is not needed.
const RELAX: f64 = 1.05;

/// What a service is allowed and has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// The manifest's limit.
    pub most: u32,
    /// Ready replicas.
    pub replicas: u32,
}

/// The limit of one service.
#[derive(Debug, Default)]
pub(crate) struct Gradient {
    /// None: nothing was learned that would be less than the manifest's.
    limit: Option<f64>,
    replicas: u32,
    typical: Baseline,
    quick: Baseline,
    /// Where the present fall began: requests that waited, and the typical latency.
    falling_from: Option<(f64, f64)>,
    /// Windows, one after the other, in which that had not helped.
    fruitless: u32,
}

/// A long-term average.
#[derive(Debug, Default, Clone, Copy)]
struct Baseline {
    value: f64,
    windows: u32,
}

impl Baseline {
    /// The part of the present latency that is normal: 1 if it is not above what is usual.
    fn gradient(&self, now: f64) -> f64 {
        if self.windows < WARM_UP || now <= 0.0 {
            return 1.0;
        }
        (TOLERANCE * self.value / now).clamp(STEEPEST, 1.0)
    }

    fn learn(&mut self, now: f64) {
        if self.windows < WARM_UP {
            self.windows += 1;
            self.value += (now - self.value) / f64::from(self.windows);
            return;
        }
        self.value += (now - self.value) * 2.0 / (LONG + 1.0);
        if self.value > now * 2.0 {
            // Became much quicker: what is usual must not stay behind.
            self.value *= 0.95;
        }
    }
}

impl Gradient {
    /// The limit now.
    pub(crate) fn limit(&self, bounds: Bounds) -> u32 {
        // Within what a u32 holds.
        self.limit.map_or(bounds.most, |limit| limit.round() as u32).min(bounds.most)
    }

    /// The number of replicas changed: each can take what it could before.
    pub(crate) fn scale(&mut self, bounds: Bounds) {
        if let Some(limit) = &mut self.limit
            && bounds.replicas > 0
            && self.replicas > 0
        {
            *limit = (*limit * f64::from(bounds.replicas) / f64::from(self.replicas)).max(floor(bounds));
        }
        if bounds.replicas > 0 {
            if self.replicas != bounds.replicas {
                self.falling_from = None;
            }
            self.replicas = bounds.replicas;
        }
    }

    /// What runs is another program now: what was usual is not known of it.
    pub(crate) fn forget_baseline(&mut self) {
        self.typical = Baseline::default();
        self.quick = Baseline::default();
        self.falling_from = None;
    }

    /// Learns from the answers of a window; `peak` is how many requests waited at most at one time.
    pub(crate) fn learn(&mut self, latency: &Histogram, peak: u64, bounds: Bounds) {
        let (Some(typical), Some(quick)) = (latency.typical(), latency.quantile(0.1)) else { return };
        let (typical, quick) = (seconds(typical), seconds(quick));
        self.scale(bounds);
        let (most, floor, peak) = (f64::from(bounds.most), floor(bounds), peak as f64);
        let limit = self.limit.unwrap_or(most);
        let gradient = self.typical.gradient(typical).max(self.quick.gradient(quick));
        let at_limit = peak >= limit * 0.9;
        // While the limit keeps latency where it is, that must not become what is usual, or the limit would creep up.
        if !at_limit || limit <= floor * LOW || typical < self.typical.value || self.typical.windows < WARM_UP
        {
            self.typical.learn(typical);
            self.quick.learn(quick);
        }
        let next = if peak < floor {
            self.falling_from = None;
            limit * RELAX
        } else if gradient >= 1.0 {
            self.falling_from = None;
            if peak * 2.0 < limit { limit } else { limit + SMOOTHING * queue(limit) }
        } else {
            self.fall(limit.min(peak * 2.0), floor, gradient, (peak, typical, quick))
        };
        let next = next.clamp(floor.min(most), most);
        self.limit = (next < most).then_some(next);
    }

    fn fall(
        &mut self,
        limit: f64,
        floor: f64,
        gradient: f64,
        (peak, typical, quick): (f64, f64, f64),
    ) -> f64 {
        // Where latency still rises, more happened than this limit is the answer to: what helps is measured from here.
        let from = self.falling_from.filter(|(_, before)| typical <= before * STILL_RISES);
        let (from, before) = from.unwrap_or((peak, typical));
        self.falling_from = Some((from, before));
        let fallen = 1.0 - peak / from;
        let judged = peak < from && peak <= (from * FALLEN).max(floor * LOW);
        let helped = typical <= before * (1.0 - fallen * HELPED);
        self.fruitless = if judged && !helped { self.fruitless + 1 } else { 0 };
        if self.fruitless >= SURE {
            self.falling_from = None;
            self.fruitless = 0;
            let windows = WARM_UP;
            self.typical = Baseline { value: typical, windows };
            self.quick = Baseline { value: quick, windows };
            return limit.max(from * 2.0);
        }
        limit * (1.0 - SMOOTHING) + SMOOTHING * (limit * gradient + queue(limit))
    }
}

/// What may wait though nothing is known to be free: more where more is done at a time.
fn queue(limit: f64) -> f64 {
    limit.sqrt().max(QUEUE)
}

fn floor(bounds: Bounds) -> f64 {
    f64::from(LEAST) * f64::from(bounds.replicas.max(1))
}

fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}

#[cfg(test)]
#[path = "adaptive_tests.rs"]
mod tests;

//! Feeds the adaptive limit of a service: the latencies that its replicas showed since the last time.

use std::array;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use model::histogram::BUCKETS;
use model::{Histogram, ReleaseId};

use crate::adaptive::{Bounds, Gradient, SAMPLES};
use crate::bulkhead::Bulkhead;
use crate::table::Target;

/// What was learned about one service. The coordinator's alone: requests read only the limit that comes of it.
#[derive(Debug, Default)]
pub(crate) struct Learner(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    gradient: Gradient,
    endpoints: Vec<u64>,
    releases: BTreeSet<ReleaseId>,
    /// What all endpoints had counted at the beginning of the window.
    seen: Option<Box<[u64; BUCKETS]>>,
    peak: u64,
    /// Latencies say nothing here.
    off: bool,
}

impl Learner {
    /// Follows a new table.
    pub(crate) fn follow(&self, targets: &[Target], bulkhead: &Bulkhead, off: bool) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.off = off;
        if off {
            return bulkhead.set_learned(u32::MAX);
        }
        if targets.is_empty() {
            // Whoever waits now waits for a replica to start, which says nothing about how many it can take.
            state.gradient = Gradient::default();
        }
        let bounds = bounds(targets, bulkhead);
        state.gradient.scale(bounds);
        bulkhead.set_learned(learned(&state.gradient, bounds));
        let releases: BTreeSet<_> = targets.iter().map(|target| target.endpoint.release.clone()).collect();
        if !releases.is_empty() && !releases.is_subset(&state.releases) {
            state.gradient.forget_baseline();
        }
        if !releases.is_empty() {
            state.releases = releases;
        }
    }

    /// Learns from what was counted since the last window, if that is enough.
    pub(crate) fn learn(&self, targets: &[Target], bulkhead: &Bulkhead) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *state;
        state.peak = state.peak.max(bulkhead.crowd().take_peak());
        if state.off || targets.iter().all(|target| target.endpoint.records.all().next().is_none()) {
            return;
        }
        let mut now = [0; BUCKETS];
        targets.iter().for_each(|target| target.endpoint.records.add_counts(&mut now));
        let endpoints = targets.iter().map(|target| target.endpoint.id);
        let Some(seen) =
            state.seen.as_mut().filter(|_| endpoints.clone().eq(state.endpoints.iter().copied()))
        else {
            // Other replicas: their counts do not go on where these ended.
            state.endpoints = endpoints.collect();
            state.seen = Some(Box::new(now));
            state.peak = 0;
            return;
        };
        let window: [u64; BUCKETS] = array::from_fn(|at| now[at].saturating_sub(seen[at]));
        if window.iter().sum::<u64>() < SAMPLES {
            return;
        }
        **seen = now;
        let bounds = bounds(targets, bulkhead);
        let peak = std::mem::take(&mut state.peak);
        state.gradient.learn(&Histogram::from_counts(&window, 0), peak, bounds);
        bulkhead.set_learned(learned(&state.gradient, bounds));
    }
}

/// No limit of its own where it is the manifest's: that one counts streams too, and says so in its refusals.
fn learned(gradient: &Gradient, bounds: Bounds) -> u32 {
    let limit = gradient.limit(bounds);
    if limit < bounds.most { limit } else { u32::MAX }
}

fn bounds(targets: &[Target], bulkhead: &Bulkhead) -> Bounds {
    let replicas = u32::try_from(targets.len()).unwrap_or(u32::MAX);
    Bounds { most: bulkhead.limit(), replicas }
}

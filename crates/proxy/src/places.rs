//! How many connections a listener has at one time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use tracing::warn;

use crate::crowd::Crowd;

/// The places of one listener; it outlives the table.
#[derive(Debug)]
pub(crate) struct Places {
    limit: AtomicU32,
    taken: Crowd,
    refused: AtomicU64,
}

/// A connection's place, until dropped. Never leaves the thread of its connection.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    worker: usize,
}

impl Places {
    pub(crate) fn new(workers: usize) -> Self {
        Self { limit: AtomicU32::new(u32::MAX), taken: Crowd::new(workers), refused: AtomicU64::new(0) }
    }

    pub(crate) fn set_limit(&self, limit: u32) {
        self.limit.store(limit, Relaxed);
    }

    /// A place, if there is one left.
    pub(crate) fn enter(self: &Arc<Self>, worker: usize) -> Option<Place> {
        let limit = self.limit.load(Relaxed);
        if self.taken.enter(worker, limit.into()).is_some() {
            return Some(Place { places: Arc::clone(self), worker });
        }
        let refused = self.refused.fetch_add(1, Relaxed) + 1;
        // The first, and then ever more rarely: a flood must not flood the log.
        if refused.is_power_of_two() {
            warn!(limit, refused, "a listener has as many connections as it may have: more are closed");
        }
        None
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken.leave(self.worker);
    }
}

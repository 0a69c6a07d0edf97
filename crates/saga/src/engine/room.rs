//! How many calls a service gets at one time: fewer as soon as it is overloaded, and slowly more while it is not (additive increase,
//! multiplicative decrease: Chiu and Jain, "Analysis of the Increase and Decrease Algorithms", 1989).
//!
//! The data plane refuses what a service cannot take. Without this the engine would go on to offer as much, and what is refused would come
//! again much later.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// It never becomes narrower.
const LEAST: usize = 4;
/// What comes back within this time was sent before it became narrower.
const REACTION: Duration = Duration::from_millis(100);

/// The room for calls of one service.
pub struct Room {
    most: usize,
    permits: Semaphore,
    state: Mutex<State>,
}

struct State {
    /// Calls at one time.
    limit: usize,
    /// Permits that are to go as soon as they come back.
    owed: usize,
    /// Calls that went well since it last became wider.
    good: usize,
    narrowed: Option<Instant>,
}

/// One call's place.
pub struct Place<'r> {
    room: &'r Room,
    permit: Option<SemaphorePermit<'r>>,
}

impl Room {
    pub fn new(most: usize) -> Self {
        let state = State { limit: most, owed: 0, good: 0, narrowed: None };
        Self { most, permits: Semaphore::new(most), state: Mutex::new(state) }
    }

    /// Waits for a place.
    pub async fn enter(&self) -> Place<'_> {
        // It is never closed; if it were, no bound would be better than no call.
        Place { room: self, permit: self.permits.acquire().await.ok() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every step leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn widen(&self) {
        let mut state = self.state();
        state.good += 1;
        if state.good < state.limit || state.limit >= self.most {
            return;
        }
        state.good = 0;
        state.limit += 1;
        match state.owed {
            0 => self.permits.add_permits(1),
            _ => state.owed -= 1,
        }
    }

    fn narrow(&self) {
        let mut state = self.state();
        let now = Instant::now();
        if state.narrowed.is_some_and(|then| now < then + REACTION) {
            return;
        }
        let limit = (state.limit * 3 / 4).max(LEAST.min(self.most));
        let fewer = state.limit - limit;
        (state.limit, state.good, state.narrowed) = (limit, 0, Some(now));
        state.owed += fewer - self.permits.forget_permits(fewer);
    }
}

impl Place<'_> {
    /// The call has ended; `overloaded` says that the service, or the data plane for it, had too much to do.
    pub fn leave(self, overloaded: bool) {
        if overloaded { self.room.narrow() } else { self.room.widen() }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.room.state();
        if state.owed > 0
            && let Some(permit) = self.permit.take()
        {
            state.owed -= 1;
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limit(room: &Room) -> usize {
        room.state().limit
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_narrower_after_a_refusal_once_and_wider_after_many_calls_that_went_well() {
        let room = Room::new(64);
        for _ in 0..10 {
            room.enter().await.leave(true);
        }
        assert_eq!(limit(&room), 48, "all of them were on their way");
        tokio::time::advance(REACTION).await;
        room.enter().await.leave(true);
        assert_eq!((limit(&room), room.permits.available_permits()), (36, 36));
        for _ in 0..36 {
            room.enter().await.leave(false);
        }
        assert_eq!((limit(&room), room.permits.available_permits()), (37, 37));
        for _ in 0..100 {
            tokio::time::advance(REACTION).await;
            room.enter().await.leave(true);
        }
        assert_eq!(limit(&room), LEAST);
        for _ in 0..10_000 {
            room.enter().await.leave(false);
        }
        assert_eq!((limit(&room), room.permits.available_permits()), (64, 64));
    }

    proptest! {
        /// Whatever comes in whichever order, places and permits add up to the limit.
        #[test]
        fn no_place_is_lost_and_none_is_made_twice(
            most in 1..40_usize,
            steps in proptest::collection::vec((0..3_u8, any::<bool>(), 0..200_u64), 1..300),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            runtime.block_on(async {
                let room = Room::new(most);
                let mut inside = Vec::new();
                for (step, overloaded, millis) in steps {
                    tokio::time::advance(Duration::from_millis(millis)).await;
                    if step < 2 && room.permits.available_permits() > 0 {
                        inside.push(room.enter().await);
                    } else if let Some(place) = inside.pop() {
                        place.leave(overloaded);
                    }
                    let state = room.state();
                    assert!((LEAST.min(most)..=most).contains(&state.limit));
                    assert_eq!(room.permits.available_permits() + inside.len(), state.limit + state.owed);
                }
            });
        }
    }
}

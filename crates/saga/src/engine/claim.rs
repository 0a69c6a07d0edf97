//! What the engine does besides running sagas: it takes up those that are due, says that it lives, and removes old ones.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Shared, lock, now, task};
use crate::state::State;
use crate::store::{StoreError, Stored};

/// As many are claimed at a time.
const CLAIMS: usize = 256;
/// How often old sagas are removed, and how many at a time.
const PRUNE_EVERY: Duration = Duration::from_secs(30);
const PRUNE: usize = 500;

/// Runs until the engine is told to stop and every saga is put down.
pub async fn work(shared: Arc<Shared>) {
    let renewing = async {
        let Some(every) = shared.store.renew_every() else { return std::future::pending().await };
        loop {
            tokio::time::sleep(every).await;
            if let Err(error) = renew(&shared).await {
                tracing::warn!("the saga engine could not renew its lease: {error}");
            }
        }
    };
    tokio::select! {
        () = claiming(&shared) => {}
        () = renewing => {}
        () = pruning(&shared) => {}
        () = shared.stop.cancelled() => {}
    }
    while !lock(&shared.active).is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Says that this engine lives.
pub async fn renew(shared: &Shared) -> Result<(), StoreError> {
    let until = match shared.store.renew().await? {
        None => u64::MAX,
        Some(until) => {
            let after = until.saturating_duration_since(shared.began);
            u64::try_from(after.as_millis()).unwrap_or(u64::MAX)
        }
    };
    if !shared.holds_lease() {
        shared.term.fetch_add(1, Ordering::Relaxed);
    }
    shared.lease.store(until, Ordering::Relaxed);
    Ok(())
}

async fn claiming(shared: &Arc<Shared>) {
    loop {
        let claimed = claim(shared).await.unwrap_or_else(|error| {
            tracing::warn!("the saga engine could not look for work: {error}");
            0
        });
        match shared.store.signalled().await {
            Ok(ids) => ids
                .iter()
                .filter_map(|id| lock(&shared.active).get(id).cloned())
                .for_each(|r| r.signal.notify_one()),
            Err(error) => tracing::warn!("the saga engine could not look for signals: {error}"),
        }
        if claimed < CLAIMS {
            let _ = tokio::time::timeout(shared.options.poll, shared.poke.notified()).await;
        }
    }
}

/// Takes up what is due. Gives how many there were.
async fn claim(shared: &Arc<Shared>) -> Result<usize, StoreError> {
    let room = shared.options.active.saturating_sub(lock(&shared.active).len()).min(CLAIMS);
    if room == 0 || !shared.holds_lease() {
        return Ok(0);
    }
    let term = shared.term();
    let claimed = shared.store.claim(now(), room).await?;
    let count = claimed.len();
    for stored in claimed {
        take_up(shared, stored, term).await;
    }
    Ok(count)
}

async fn take_up(shared: &Arc<Shared>, stored: Stored, term: u64) {
    let plan = match shared.plan(&stored.plan).await {
        Ok(plan) => plan,
        // It stays ours and is tried again by the next engine; everybody else goes on.
        Err(error) => return tracing::error!(saga = stored.id, "a saga cannot be taken up: {error}"),
    };
    let state = State::replay(&stored.id, &plan, stored.input, stored.started_at, &stored.journal);
    // One that was given up while its task still ends is taken up anew all the same.
    let Some(running) = shared.register(&stored.id) else {
        return tracing::error!(saga = stored.id, "there is no room for a saga that was claimed");
    };
    let Stored { id, epoch, trace, parent, seen, .. } = stored;
    let saga = task::Saga { id, plan, state, epoch, trace, parent, running, seen, term };
    tokio::spawn(task::run(shared.clone(), saga, true));
}

async fn pruning(shared: &Shared) {
    loop {
        let keep = u64::try_from(shared.options.keep.as_millis()).unwrap_or(u64::MAX);
        match shared.store.prune(now().saturating_sub(keep), PRUNE).await {
            Ok(PRUNE) => tokio::task::yield_now().await,
            Ok(_) => tokio::time::sleep(PRUNE_EVERY).await,
            Err(error) => {
                tracing::warn!("old sagas could not be removed: {error}");
                tokio::time::sleep(PRUNE_EVERY).await;
            }
        }
    }
}

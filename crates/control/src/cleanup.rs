//! Ends what a control plane that is gone has left behind.

use std::collections::BTreeSet;
use std::time::Duration;

use model::{ProcessId, StopPolicy, StopSignal};
use supervisor::process;

use crate::lock::{Lock, LockError};
use crate::paths::Paths;
use crate::store::{Store, StoreError};
use crate::world::now;

/// What could not be cleaned up.
#[derive(Debug, thiserror::Error)]
pub enum CleanUpError {
    /// A control plane runs: it is the one to ask.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The database is unusable; the processes are gone all the same.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Ends every process of an app without a control plane, and gives how many there were.
///
/// They are found by the mark in their environment, so those are found too that nobody recorded.
pub async fn clean_up(paths: &Paths) -> Result<usize, CleanUpError> {
    if !paths.state().exists() {
        return Ok(0);
    }
    let _lock = Lock::take_soon(&paths.lock()).await?;
    let count = end_marked(paths, &BTreeSet::new(), Duration::from_secs(10)).await;
    if paths.database().exists() {
        Store::open(&paths.database())?.forget_run(now())?;
    }
    Ok(count)
}

/// Ends the marked processes of an app but for those in the process groups to `spare` and what descends from their
/// leaders: first asked, and killed after `grace`.
pub async fn end_marked(paths: &Paths, spare: &BTreeSet<u32>, grace: Duration) -> usize {
    let stop = StopPolicy { signal: StopSignal::Term, grace };
    let marked: Vec<ProcessId> = process::marked(paths.state())
        .into_iter()
        .filter(|p| !spare.contains(&group(p)) && !process::descends(p, spare))
        .collect();
    futures_util::future::join_all(marked.iter().map(|p| process::terminate(*p, stop))).await;
    marked.len()
}

fn group(process: &ProcessId) -> u32 {
    let pid = i32::try_from(process.pid).ok().and_then(rustix::process::Pid::from_raw);
    let group = pid.and_then(|pid| rustix::process::getpgid(Some(pid)).ok());
    group.and_then(|g| u32::try_from(g.as_raw_nonzero().get()).ok()).unwrap_or(process.pid)
}

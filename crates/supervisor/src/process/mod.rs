//! Processes of the operating system: who they are, whether they live, how they end.

mod group;
mod life;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;
#[cfg(target_os = "linux")]
use linux as os;
#[cfg(not(target_os = "linux"))]
use other as os;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use model::{ProcessId, StopPolicy};

pub use crate::launch::without_secrets;
pub(crate) use group::KillOnDrop;
pub(crate) use life::{End, Leader, live};
pub(crate) use os::identify_even_dead;

/// How often a mark is looked for.
const LOOKS: u32 = 20;
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);
/// How far ancestors are followed: a loop that a reused pid could make must end.
const DEEPEST: usize = 256;

/// True when exactly this process, not a later one with the same pid, runs. A zombie does not.
pub fn alive(p: &ProcessId) -> bool {
    identify(p.pid) == Some(*p)
}

/// The running process that has this pid now.
pub fn identify(pid: u32) -> Option<ProcessId> {
    os::identify(pid)
}

/// Ends a process that is not our child, with its whole group if it leads one: the policy's signal, its grace, then SIGKILL.
/// Returns when none of them is left; at once when the process does not live.
pub async fn terminate(p: ProcessId, stop: StopPolicy) {
    let Some(leader) = Leader::find(p) else { return };
    let (order, ordered) = tokio::sync::oneshot::channel();
    // The receiver is in the very next line.
    let _ = order.send(stop);
    live(p, leader, ordered).await;
}

/// Returns when this very process has ended, whoever its parent is; at once when it does not live.
pub async fn gone(p: &ProcessId) {
    if let Some(mut leader) = Leader::find(*p) {
        leader.ended(*p).await;
    }
}

/// Kills what a leader that died unwatched left of its group. Only where a member carries the mark of Isles: since nobody
/// watched, the number may mean another group by now.
pub(crate) async fn sweep(leader: ProcessId) {
    for _ in 0..LOOKS {
        if os::group_is_marked(leader.pid) {
            return group::end(leader).await;
        }
        if !os::group_lives(leader.pid) {
            return;
        }
        // While a process becomes another program (execve), its environment cannot be read.
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}

/// Every process of this user, but this one, whose environment has `ISLES_DATA=<something below state>`.
/// Empty on systems without `/proc`.
pub fn marked(state: &Path) -> Vec<ProcessId> {
    os::marked(state)
}

/// Whether one of `ancestors` started this process, directly or through others that live. Never where there is no `/proc`.
pub fn descends(p: &ProcessId, ancestors: &BTreeSet<u32>) -> bool {
    std::iter::successors(os::parent(p.pid), |pid| os::parent(*pid))
        .take(DEEPEST)
        .any(|pid| ancestors.contains(&pid))
}

/// Bytes of memory that the process has resident: its proportional share where the kernel tells it, else all its pages.
pub fn memory(p: &ProcessId) -> Option<u64> {
    if alive(p) { os::memory(p.pid) } else { None }
}

/// Whether all of these (`NAME=value`) are in the environment of a process; it has to be there, and this user's.
pub(crate) fn has_variables(pid: u32, variables: &[String]) -> bool {
    os::has_variables(pid, variables)
}

/// Bytes that the members of a group have resident together. What they share is counted once where it matters, which is
/// where it would be more than `limit` otherwise; 0 where nothing is known.
pub(crate) fn group_memory(leader: ProcessId, limit: u64) -> u64 {
    if !alive(&leader) {
        return 0;
    }
    let sum = |of: fn(u32) -> Option<u64>| os::members(leader.pid).filter_map(of).sum::<u64>();
    let pages = sum(os::resident);
    if pages > limit { sum(os::memory) } else { pages }
}

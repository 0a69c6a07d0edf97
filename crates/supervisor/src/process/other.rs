//! Where there is no `/proc`: enough for development. A start time is not known, so a pid alone is the identity.

use std::path::Path;

use model::ProcessId;
use rustix::process::{Pid, test_kill_process, test_kill_process_group};

pub(super) fn identify(pid: u32) -> Option<ProcessId> {
    let raw = Pid::from_raw(i32::try_from(pid).ok()?)?;
    test_kill_process(raw).ok().map(|()| ProcessId { pid, start_time: 0 })
}

pub(crate) fn identify_even_dead(pid: u32) -> Option<ProcessId> {
    identify(pid)
}

pub(super) fn group_lives(group: u32) -> bool {
    i32::try_from(group).ok().and_then(Pid::from_raw).is_some_and(|raw| test_kill_process_group(raw).is_ok())
}

pub(super) fn group_is_marked(_group: u32) -> bool {
    false
}

/// Not known.
pub(super) fn parent(_pid: u32) -> Option<u32> {
    None
}

pub(super) fn marked(_state: &Path) -> Vec<ProcessId> {
    Vec::new()
}

pub(super) fn has_variables(_pid: u32, _variables: &[String]) -> bool {
    false
}

pub(super) fn members(_group: u32) -> impl Iterator<Item = u32> {
    std::iter::empty()
}

pub(super) fn memory(_pid: u32) -> Option<u64> {
    None
}

pub(super) fn resident(_pid: u32) -> Option<u64> {
    None
}

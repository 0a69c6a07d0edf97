//! What `/proc` tells; see proc(5).

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use model::ProcessId;

/// The few fields of `/proc/<pid>/stat` that matter here.
struct Stat {
    process: ProcessId,
    parent: u32,
    group: u32,
    dead: bool,
}

impl Stat {
    fn read(pid: u32) -> Option<Self> {
        Self::parse(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The second field is the command in parentheses, and may itself have spaces and parentheses.
    fn parse(pid: u32, stat: &str) -> Option<Self> {
        let (_, after_command) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = after_command.split_ascii_whitespace().collect();
        let state = *fields.first()?;
        let parent = fields.get(1)?.parse().ok()?;
        let group = fields.get(2)?.parse().ok()?;
        let start_time = fields.get(19)?.parse().ok()?;
        let dead = matches!(state, "Z" | "X" | "x");
        Some(Self { process: ProcessId { pid, start_time }, parent, group, dead })
    }
}

pub(super) fn identify(pid: u32) -> Option<ProcessId> {
    Stat::read(pid).filter(|stat| !stat.dead).map(|stat| stat.process)
}

/// Also tells of a zombie: a child that ended before anybody looked has still been a process.
pub(crate) fn identify_even_dead(pid: u32) -> Option<ProcessId> {
    Stat::read(pid).map(|stat| stat.process)
}

/// The process that started it, or that took it over.
pub(super) fn parent(pid: u32) -> Option<u32> {
    Stat::read(pid).map(|stat| stat.parent)
}

/// True while a process of the group is left that is not a zombie.
pub(super) fn group_lives(group: u32) -> bool {
    members(group).next().is_some()
}

/// True when a living process of the group has a data folder from Isles.
pub(super) fn group_is_marked(group: u32) -> bool {
    members(group).any(|pid| data_folder(&environment(pid)).is_some())
}

pub(super) fn members(group: u32) -> impl Iterator<Item = u32> {
    pids().filter(move |pid| Stat::read(*pid).is_some_and(|stat| stat.group == group && !stat.dead))
}

pub(super) fn marked(state: &Path) -> Vec<ProcessId> {
    let canonical = fs::canonicalize(state).unwrap_or_else(|_| state.to_owned());
    let user = rustix::process::geteuid().as_raw();
    let own = std::process::id();
    pids()
        .filter(|pid| *pid != own)
        .filter(|pid| fs::metadata(format!("/proc/{pid}")).is_ok_and(|found| found.uid() == user))
        .filter(|pid| {
            data_folder(&environment(*pid))
                .is_some_and(|data| data.starts_with(state) || data.starts_with(&canonical))
        })
        .filter_map(identify)
        .collect()
}

/// Empty for a process that is gone, or is somebody else's.
fn environment(pid: u32) -> Vec<u8> {
    fs::read(format!("/proc/{pid}/environ")).unwrap_or_default()
}

pub(super) fn has_variables(pid: u32, variables: &[String]) -> bool {
    let environment = environment(pid);
    let has =
        |variable: &String| environment.split(|byte| *byte == 0).any(|entry| entry == variable.as_bytes());
    variables.iter().all(has)
}

fn data_folder(environment: &[u8]) -> Option<&Path> {
    let value = environment.split(|byte| *byte == 0).find_map(|entry| entry.strip_prefix(b"ISLES_DATA="))?;
    Some(Path::new(std::ffi::OsStr::from_bytes(value)))
}

pub(super) fn memory(pid: u32) -> Option<u64> {
    field_in_kib(&format!("/proc/{pid}/smaps_rollup"), "Pss:").or_else(|| resident(pid))
}

/// All pages, those that it shares with others included: known at once.
pub(super) fn resident(pid: u32) -> Option<u64> {
    field_in_kib(&format!("/proc/{pid}/status"), "VmRSS:")
}

fn field_in_kib(path: &str, field: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(field))?;
    value.split_ascii_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

fn pids() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let line = "7 (a) Z (b) c) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2 3";
        let stat = Stat::parse(7, line).unwrap();
        assert_eq!((stat.process.start_time, stat.parent, stat.group, stat.dead), (987_654, 1, 42, false));
        assert!(Stat::parse(7, &line.replace(") S ", ") Z ")).unwrap().dead);
        for torn in ["", "7", "7 (x) S 1", "7 (x S 1 2 3"] {
            assert!(Stat::parse(7, torn).is_none(), "{torn:?}");
        }
    }

    #[test]
    fn this_process_is_identified_and_has_memory() {
        let me = identify(std::process::id()).unwrap();
        assert!(super::super::alive(&me));
        assert!(!super::super::alive(&ProcessId { start_time: me.start_time + 1, ..me }));
        assert!(memory(me.pid).unwrap() > 100 * 1024);
    }

    #[test]
    fn the_data_folder_is_a_whole_variable() {
        let environment = b"XISLES_DATA=/no\0A=1\0ISLES_DATA=/state/data/orders\0";
        assert_eq!(data_folder(environment), Some(Path::new("/state/data/orders")));
        assert_eq!(data_folder(b"XISLES_DATA=/no\0"), None);
        assert_eq!(data_folder(b""), None);
    }
}

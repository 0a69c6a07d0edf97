//! What `/proc` tells of a process; see proc(5).

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;

use model::ProcessId;

/// The few fields of `/proc/<pid>/stat` that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    pub process: ProcessId,
    pub parent: u32,
    pub group: u32,
}

pub(super) fn stat(pid: u32) -> Option<Stat> {
    parse(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The second field is the command in parentheses, and may itself have spaces and parentheses.
fn parse(pid: u32, stat: &str) -> Option<Stat> {
    let (_, after_command) = stat.rsplit_once(')')?;
    let mut fields = after_command.split_ascii_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    let start_time = fields.nth(16)?.parse().ok()?;
    Some(Stat { process: ProcessId { pid, start_time }, parent, group })
}

/// The name of its program, as the kernel has it.
pub(super) fn name(pid: u32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.trim_end().chars().filter(|c| !c.is_control()).collect()
}

/// The inodes among `wanted` that a process holds a socket of; none for a process that may not be looked at.
pub(super) fn holds(pid: u32, wanted: &HashSet<u32>) -> Vec<u32> {
    let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    open.flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .filter_map(|link| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok())
        .filter(|inode| wanted.contains(inode))
        .collect()
}

/// Whether a process of the app runs for this service, by what it was started with.
pub(super) fn is_marked(pid: u32, app: &str, service: &str) -> bool {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let value = |name: &[u8]| {
        environment.split(|byte| *byte == 0).find_map(|entry| entry.strip_prefix(name)?.strip_prefix(b"="))
    };
    value(b"ISLES_APP") == Some(app.as_bytes()) && value(b"ISLES_SERVICE") == Some(service.as_bytes())
}

/// Whether it sees another numbering of processes than this one, as in a container. A process that does not let this be
/// read has nothing said against it.
pub(super) fn is_contained(pid: u32) -> bool {
    let space = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    match (space("self"), space(&pid.to_string())) {
        (Some(own), Some(other)) => own != other,
        _ => true,
    }
}

/// Every process of a user.
pub(super) fn of_user(uid: u32) -> impl Iterator<Item = u32> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    all.filter_map(move |entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        (entry.metadata().ok()?.uid() == uid).then_some(pid)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let line = "7 (a) Z (b) c) S 1 42 43 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2 3";
        let process = ProcessId { pid: 7, start_time: 987_654 };
        assert_eq!(parse(7, line), Some(Stat { process, parent: 1, group: 42 }));
        for torn in ["", "7", "7 (x) S 1", "7 (x S 1 2 3"] {
            assert!(parse(7, torn).is_none(), "{torn:?}");
        }
        assert_eq!(stat(std::process::id()).unwrap().parent, std::os::unix::process::parent_id());
    }
}

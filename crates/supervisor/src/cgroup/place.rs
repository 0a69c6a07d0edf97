//! Where this process is among the control groups; see cgroups(7) and proc(5).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::{OWN, Unavailable};
use crate::process;

/// The group below which others are made.
pub(super) struct Place {
    base: PathBuf,
    /// Whether the kernel forbids it to have processes beside limited groups: every group but the first.
    keeps_no_processes: bool,
}

impl Place {
    pub fn find() -> Result<Self, Unavailable> {
        let own = own().ok_or(Unavailable::NoGroups)?;
        let moved = own.file_name().is_some_and(|name| name == OWN);
        let base = own.parent().filter(|_| moved).unwrap_or(&own);
        // Only the first group of the machine lacks this file.
        Ok(Self::at(base, base.join("cgroup.type").exists()))
    }

    pub fn at(base: &Path, keeps_no_processes: bool) -> Self {
        Self { base: base.to_owned(), keeps_no_processes }
    }

    pub fn base(&self) -> &Path {
        &self.base
    }

    pub fn keeps_no_processes(&self) -> bool {
        self.keeps_no_processes
    }

    /// Whether groups can be made here, and processes moved.
    pub fn may_be_changed(&self) -> Result<(), Unavailable> {
        for name in ["", "cgroup.subtree_control", "cgroup.procs"] {
            access(self.base.join(name), Access::WRITE_OK)
                .map_err(|error| Unavailable::Rights(self.base.clone(), error.to_string()))?;
        }
        Ok(())
    }

    /// The processes in this very group.
    pub fn processes(&self) -> Vec<u32> {
        processes(&self.base)
    }

    /// One of them that neither is this process nor comes from it.
    pub fn stranger(&self) -> Option<u32> {
        let own = std::process::id();
        let ours = |pid: u32| {
            pid == own || process::identify(pid).is_none_or(|p| process::descends(&p, &BTreeSet::from([own])))
        };
        self.processes().into_iter().find(|pid| !ours(*pid))
    }
}

/// The group of this process.
pub(super) fn own() -> Option<PathBuf> {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    group_of(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup")).filter(|path| path.is_dir())
}

/// The processes in this very group, not those below it.
pub(super) fn processes(group: &Path) -> Vec<u32> {
    let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// The folder of the group of version 2 of which `cgroup` (`/proc/<pid>/cgroup`) tells.
pub(super) fn group_of(mountinfo: &str, cgroup: &str) -> Option<PathBuf> {
    let own = cgroup.lines().find_map(|line| line.strip_prefix("0::"))?;
    let mounted = mountinfo.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        kind.starts_with("cgroup2 ").then(|| fields.next().zip(fields.next())).flatten()
    });
    let (root, at) = mounted?;
    // Not below what is mounted: a group outside of this container.
    let below = Path::new(own).strip_prefix(root).ok().filter(|path| !path.starts_with(".."))?;
    Some(Path::new(at).join(below))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "24 1 0:22 / /proc rw - proc proc rw\n\
        31 24 0:27 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

    #[test]
    fn the_own_group_is_found_below_where_groups_are_mounted() {
        let at = |mounts: &str, cgroup: &str| group_of(mounts, cgroup);
        let found = at(MOUNTS, "0::/user.slice/a.scope\n");
        assert_eq!(found, Some(PathBuf::from("/sys/fs/cgroup/user.slice/a.scope")));
        let hybrid = "4:memory:/x\n0::/y\n";
        assert_eq!(at(MOUNTS, hybrid), Some(PathBuf::from("/sys/fs/cgroup/y")));
        let container = MOUNTS.replace("0:27 / ", "0:27 /docker/1 ");
        assert_eq!(at(&container, "0::/docker/1/a\n"), Some(PathBuf::from("/sys/fs/cgroup/a")));
        for (mounts, cgroup) in [
            (MOUNTS, "4:memory:/x\n"),
            (MOUNTS, ""),
            ("", "0::/y\n"),
            (MOUNTS, "0::/../y\n"),
            (&container, "0::/y\n"),
        ] {
            assert_eq!(at(mounts, cgroup), None, "{cgroup:?}");
        }
    }
}

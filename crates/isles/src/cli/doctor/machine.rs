//! What the machine gives: limits, room, tools of the system.

use std::path::Path;

use rustix::fs::statvfs;
use rustix::process::{Resource, getrlimit};
use supervisor::cgroup;

use super::Finding;
use super::project::find_program;
use crate::cli::show::text::bytes;

/// Every connection through the data plane takes two, and every replica some more.
const FEW_FILES: u64 = 4_096;
const TOO_FEW_FILES: u64 = 256;

const MEGABYTE: u64 = 1024 * 1024;
const LITTLE_ROOM: u64 = 2 * 1024 * MEGABYTE;
const TOO_LITTLE_ROOM: u64 = 200 * MEGABYTE;

/// Which limits the manifest has.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    /// Some service has `limits.memory`.
    pub memory: bool,
    /// Some service has `limits.cpu`.
    pub cpu: bool,
}

/// Looks at the machine on which the app below `root` is to run.
pub fn look(root: &Path, wanted: Wanted) -> Vec<Finding> {
    vec![git(), open_files(), room(root), processes(), callers(), memory(wanted.memory), cpu(wanted.cpu)]
}

fn git() -> Finding {
    match find_program(root_dir(), "git") {
        Some(path) => Finding::ok("git", path.display().to_string()),
        None => Finding::warn(
            "git",
            "not found in PATH; what belongs to a release cannot be asked of it",
            "install git, or give every service an `artifact`",
        ),
    }
}

fn open_files() -> Finding {
    let topic = "open files";
    let limit = getrlimit(Resource::Nofile);
    let (Some(current), maximum) = (limit.current, limit.maximum) else {
        return Finding::ok(topic, "no limit");
    };
    let found = format!("at most {current} for one process");
    let fix = match maximum {
        Some(maximum) if maximum <= current => {
            "raise the hard limit: `nofile` in /etc/security/limits.conf".to_owned()
        }
        Some(maximum) => format!("`ulimit -n {}` before `isles up`", maximum.min(65_536)),
        None => "`ulimit -n 65536` before `isles up`".to_owned(),
    };
    match current {
        0..TOO_FEW_FILES => Finding::fail(topic, found, fix),
        TOO_FEW_FILES..FEW_FILES => Finding::warn(topic, found, fix),
        _ => Finding::ok(topic, found),
    }
}

fn room(root: &Path) -> Finding {
    let topic = "disk";
    let fix = "make room: releases, logs and data of the app are in .isles/";
    match statvfs(root) {
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            let found = format!("{} free", bytes(free));
            match free {
                0..TOO_LITTLE_ROOM => Finding::fail(topic, found, fix),
                TOO_LITTLE_ROOM..LITTLE_ROOM => Finding::warn(topic, found, fix),
                _ => Finding::ok(topic, found),
            }
        }
        Err(e) => Finding::warn(
            topic,
            format!("the free space cannot be read: {e}"),
            "check that the disk is mounted",
        ),
    }
}

/// Processes are told apart by what /proc says about them.
fn processes() -> Finding {
    let topic = "/proc";
    match supervisor::process::identify(std::process::id()) {
        Some(_) => Finding::ok(topic, "processes can be told apart and found again"),
        None => Finding::fail(
            topic,
            "this process cannot be found in it",
            "mount it: `mount -t proc proc /proc`; Isles runs on Linux",
        ),
    }
}

/// An edge is for its caller alone.
fn callers() -> Finding {
    let topic = "callers";
    match proxy::can_verify() {
        Ok(()) => Finding::ok(topic, "connections to an edge can be told to be its caller's"),
        Err(e) => Finding::warn(
            topic,
            format!("this system does not tell whose a connection is: {e}; `verify_callers` has no effect"),
            "use a Linux whose sandbox, if there is one, allows `sock_diag`",
        ),
    }
}

/// Limits of memory are kept by the kernel, or by looking, which needs a system that tells.
fn memory(wanted: bool) -> Finding {
    let topic = "memory";
    if cgroup::look().is_ok_and(|controllers| controllers.memory) {
        return Finding::ok(topic, "`limits.memory` is kept by control groups");
    }
    if Path::new("/proc/self/status").exists() {
        let found = "`limits.memory` is looked at every second, and kept by killing; not by control groups";
        return Finding::ok(topic, found);
    }
    let found = "this system does not tell how much memory a process has";
    unkept(topic, found, "limits.memory", wanted)
}

/// Limits of processors are kept by the kernel alone.
fn cpu(wanted: bool) -> Finding {
    let topic = "cpu";
    match cgroup::cpu_trouble() {
        None => Finding::ok(topic, "`limits.cpu` is kept by control groups"),
        Some(found) => unkept(topic, &found, "limits.cpu", wanted),
    }
}

fn unkept(topic: &str, found: &str, limit: &str, wanted: bool) -> Finding {
    if wanted {
        let fix =
            "use Linux with control groups of version 2, below one that Isles may change: docs/scaling.md";
        Finding::warn(topic, format!("{found}; `{limit}` has no effect"), fix)
    } else {
        Finding::ok(topic, format!("{found}; not needed, as no service has `{limit}`"))
    }
}

fn root_dir() -> &'static Path {
    Path::new("/")
}

//! Control groups of the kernel (cgroup v2): they hold a replica to its memory and its share of the processors.
//!
//! Groups are made below the one in which Isles was started, where that is its own to change (delegation, as in
//! systemd's "Control Group APIs and Delegation"). The kernel lets no group have both processes and limited groups below
//! it, so that Isles' own processes first move into the group [`OWN`] beside those of the replicas.

mod group;
mod place;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use model::ReplicaId;

pub(crate) use group::Group;
use place::Place;

/// The group of Isles' own processes. A unit of systemd names it as its `DelegateSubgroup`.
pub const OWN: &str = "isles";
/// How often the processes that keep a group from having groups below it are moved.
const MOVES: usize = 10;

/// What the kernel can limit in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Controllers {
    /// Time on processors.
    pub cpu: bool,
    /// Memory.
    pub memory: bool,
}

impl Controllers {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap_or_default();
        let has = |name| text.split_ascii_whitespace().any(|word| word == name);
        Self { cpu: has("cpu"), memory: has("memory") }
    }

    fn none(self) -> bool {
        !self.cpu && !self.memory
    }

    fn within(self, other: Self) -> bool {
        (!self.cpu || other.cpu) && (!self.memory || other.memory)
    }

    /// As `cgroup.subtree_control` wants it.
    fn switched_on(self) -> String {
        let words = [(self.cpu, "+cpu"), (self.memory, "+memory")];
        words.iter().filter(|(has, _)| *has).map(|(_, word)| *word).collect::<Vec<_>>().join(" ")
    }
}

/// Why there are no groups. Each is a sentence that ends with what to do, where something can be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// Not Linux, or an old or bare one.
    #[error("this system has no control groups of version 2")]
    NoGroups,
    /// They are there, and have nothing to limit with.
    #[error(
        "the control group `{0}` can limit neither cpu nor memory: control groups of version 1 may have them, or nobody passed them on"
    )]
    NoControllers(PathBuf),
    /// It is somebody else's.
    #[error("the control group `{0}` is not Isles' to change ({1}): {START}")]
    Rights(PathBuf, String),
    /// Other processes were started in the same group.
    #[error("the control group `{0}` has other processes in it, such as {1}: {START}")]
    Shared(PathBuf, u32),
}

/// There are groups, and they cannot limit this.
pub(crate) const NO_CPU: &str = "its control group has no controller `cpu`";
const START: &str = "start it in one of its own, with `systemd-run --user --scope -p Delegate=yes isles up`";

/// What could be limited here; changes nothing.
///
/// # Errors
/// When no group can be made, with the reason.
pub fn look() -> Result<Controllers, Unavailable> {
    look_at(&Place::find()?)
}

/// Why `limits.cpu` cannot be kept here; `None` where it can.
pub fn cpu_trouble() -> Option<String> {
    match look() {
        Ok(controllers) if controllers.cpu => None,
        Ok(_) => Some(NO_CPU.to_owned()),
        Err(why) => Some(why.to_string()),
    }
}

fn look_at(place: &Place) -> Result<Controllers, Unavailable> {
    let base = place.base();
    let here = Controllers::read(&base.join("cgroup.controllers"));
    if here.none() {
        return Err(Unavailable::NoControllers(base.to_owned()));
    }
    place.may_be_changed()?;
    if place.keeps_no_processes()
        && !here.within(Controllers::read(&base.join("cgroup.subtree_control")))
        && let Some(stranger) = place.stranger()
    {
        return Err(Unavailable::Shared(base.to_owned(), stranger));
    }
    Ok(here)
}

/// Where the groups of one app's replicas are made.
#[derive(Debug)]
pub(crate) struct Groups {
    base: PathBuf,
    /// How the names of the app's groups begin.
    prefix: String,
    controllers: Controllers,
    made: AtomicU64,
}

impl Groups {
    /// Moves Isles' processes aside and lets groups below have limits. `app` tells apps apart that run in one place.
    pub fn prepare(app: &str) -> Result<Self, Unavailable> {
        let place = Place::find()?;
        let controllers = look_at(&place)?;
        let base = place.base().to_owned();
        let refused = |error: io::Error| Unavailable::Rights(base.clone(), error.to_string());
        if place.keeps_no_processes() {
            move_aside(&place).map_err(refused)?;
        }
        fs::write(base.join("cgroup.subtree_control"), controllers.switched_on()).map_err(refused)?;
        Ok(Self::below(base, app, controllers))
    }

    fn below(base: PathBuf, app: &str, controllers: Controllers) -> Self {
        let groups = Self { base, prefix: format!("{OWN}-{app}-"), controllers, made: AtomicU64::new(0) };
        groups.clear();
        groups
    }

    pub fn controllers(&self) -> Controllers {
        self.controllers
    }

    /// Makes an empty group with these limits: thousandths of a processor, bytes.
    pub fn make(&self, id: &ReplicaId, cpu: Option<u32>, memory: Option<u64>) -> io::Result<Group> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        // Those of a former control plane have its pid in their names.
        let name = format!("{}{id}-{}-{number}", self.prefix, std::process::id());
        let cpu = cpu.filter(|_| self.controllers.cpu);
        let memory = memory.filter(|_| self.controllers.memory);
        Group::make(self.base.join(name), cpu, memory)
    }

    /// Takes away what a former control plane left. The kernel keeps every group that has a process.
    fn clear(&self) {
        for entry in fs::read_dir(&self.base).into_iter().flatten().flatten() {
            if entry.file_name().to_str().is_some_and(|name| name.starts_with(&self.prefix)) {
                // Not empty: its replica lives, and is about to be adopted.
                let _ = fs::remove_dir(entry.path());
            }
        }
    }
}

/// A process may start another one while they are moved.
fn move_aside(place: &Place) -> io::Result<()> {
    let own = place.base().join(OWN);
    for _ in 0..MOVES {
        let here = place.processes();
        if here.is_empty() {
            break;
        }
        fs::create_dir_all(&own)?;
        for pid in here {
            match fs::write(own.join("cgroup.procs"), pid.to_string()) {
                // It has ended.
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {}
                moved => moved?,
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(controllers: &str) -> tempfile::TempDir {
        let base = tempfile::tempdir().unwrap();
        fs::write(base.path().join("cgroup.controllers"), controllers).unwrap();
        fs::write(base.path().join("cgroup.subtree_control"), "").unwrap();
        fs::write(base.path().join("cgroup.procs"), "").unwrap();
        base
    }

    #[test]
    fn what_a_place_can_limit_is_what_its_controllers_are() {
        let found = |controllers: &str| {
            let base = base(controllers);
            look_at(&Place::at(base.path(), true)).map_err(|e| matches!(e, Unavailable::NoControllers(_)))
        };
        assert_eq!(found("cpuset cpu io memory pids\n"), Ok(Controllers { cpu: true, memory: true }));
        assert_eq!(found("memory pids\n"), Ok(Controllers { cpu: false, memory: true }));
        assert_eq!(found("cpuset pids\n"), Err(true));
        assert_eq!(found(""), Err(true));
    }

    #[test]
    fn processes_of_others_are_left_where_they_are_unless_they_are_in_no_way() {
        let base = base("cpu memory");
        let place = |keeps_none| Place::at(base.path(), keeps_none);
        let procs = |pids: &str| fs::write(base.path().join("cgroup.procs"), pids).unwrap();
        procs(&format!("{}\n", std::process::id()));
        assert!(look_at(&place(true)).is_ok(), "its own process");
        procs(&format!("1\n{}\n", std::process::id()));
        let shared = look_at(&place(true)).unwrap_err();
        assert_eq!(shared, Unavailable::Shared(base.path().to_owned(), 1));
        assert!(shared.to_string().contains("Delegate=yes"), "{shared}");
        assert!(look_at(&place(false)).is_ok(), "the root has processes and groups");
        fs::write(base.path().join("cgroup.subtree_control"), "memory cpu").unwrap();
        assert!(look_at(&place(true)).is_ok(), "nothing is to be moved any more");
    }

    #[test]
    fn a_group_has_the_limits_that_its_place_can_keep() {
        let limits = |controllers| {
            let base = base("");
            let groups = Groups::below(base.path().to_owned(), "app", controllers);
            let id = "web-1".parse().unwrap();
            let made = groups.make(&id, Some(1500), Some(64_000_000)).unwrap();
            assert_ne!(made.path(), groups.make(&id, None, None).unwrap().path());
            let read = |name| fs::read_to_string(made.path().join(name)).ok();
            (read("cpu.max"), read("memory.max"), read("memory.oom.group"))
        };
        let both = limits(Controllers { cpu: true, memory: true });
        assert_eq!(both, (Some("150000 100000".into()), Some("64000000".into()), Some("1".into())));
        assert_eq!(limits(Controllers { cpu: false, memory: true }).0, None);
        assert_eq!(limits(Controllers { cpu: true, memory: false }).1, None);
    }
}

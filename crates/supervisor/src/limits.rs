//! Holds the processes of a replica to what they may use: by a control group where there can be one, else by looking.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use model::ProcessId;

use crate::cgroup::{Group, Groups, NO_CPU, Unavailable};
use crate::memory::Overuse;
use crate::spec::ReplicaSpec;

/// The control groups of an app; none is asked for before a replica has a limit.
#[derive(Clone)]
pub(crate) struct Keeper {
    app: Arc<str>,
    groups: Arc<OnceLock<Result<Groups, Unavailable>>>,
}

/// A group that waits for its process.
pub(crate) struct Prepared {
    group: Option<Group>,
    /// By which what the process starts is known.
    marks: Vec<String>,
    /// Which limit cannot be kept, and why.
    pub trouble: Option<String>,
}

impl Keeper {
    /// `logs` is the app's own folder, by which it is told from others.
    pub fn new(logs: &Path) -> Self {
        let mut hasher = DefaultHasher::new();
        logs.hash(&mut hasher);
        Self { app: format!("{:016x}", hasher.finish()).into(), groups: Arc::default() }
    }

    /// To be called before the process is started.
    pub async fn prepare(&self, spec: &ReplicaSpec) -> Prepared {
        if spec.cpu.is_none() && spec.memory.is_none() {
            return Prepared { group: None, marks: Vec::new(), trouble: None };
        }
        let (keeper, id, cpu, memory) = (self.clone(), spec.id.clone(), spec.cpu, spec.memory);
        let made = blocking(move || {
            let groups = keeper.groups.get_or_init(|| Groups::prepare(&keeper.app)).as_ref();
            let groups = groups.map_err(ToString::to_string)?;
            let group =
                groups.make(&id, cpu, memory).map_err(|e| format!("no control group can be made: {e}"))?;
            Ok::<_, String>((group, groups.controllers().cpu))
        });
        let (group, why_no_cpu) =
            match made.await.unwrap_or_else(|| Err("the control plane is ending".into())) {
                Ok((group, true)) => (Some(group), None),
                Ok((group, false)) => (Some(group), Some(NO_CPU.to_owned())),
                Err(why) => (None, Some(why)),
            };
        let why = why_no_cpu.filter(|_| cpu.is_some());
        let mark = |name: &str| spec.env.get(name).map(|value| format!("{name}={value}"));
        // Both, since the folder is that of all replicas of a service, and another app may have the same names.
        let marks = mark("ISLES_DATA").zip(mark("ISLES_REPLICA"));
        let marks = marks.map_or_else(Vec::new, |(data, replica)| vec![data, replica]);
        Prepared { group, marks, trouble: why.map(|why| format!("`limits.cpu` has no effect: {why}")) }
    }
}

impl Prepared {
    /// No process came of it.
    pub fn discard(self) {
        if let Some(group) = self.group {
            group.discard();
        }
    }

    /// Holds the process that was just started to the limits.
    pub async fn hold(self, process: ProcessId, memory: Option<u64>) -> io::Result<Limits> {
        let Some(group) = self.group else { return Ok(Limits::by_looking(process, memory)) };
        let entered = blocking(move || {
            let entered = group.enter(process, &self.marks);
            (group, entered)
        });
        let Some((group, entered)) = entered.await else { return Ok(Limits::by_looking(process, memory)) };
        entered.inspect_err(|_| group.discard())?;
        Ok(Limits::by_group(group, process, memory))
    }
}

/// What keeps the limits of one process group.
pub(crate) struct Limits {
    group: Option<Group>,
    overuse: Overuse,
}

impl Limits {
    pub fn by_looking(process: ProcessId, memory: Option<u64>) -> Self {
        Self { group: None, overuse: Overuse::watch(process, memory) }
    }

    fn by_group(group: Group, process: ProcessId, memory: Option<u64>) -> Self {
        let overuse = if group.limits_memory() { Overuse::none() } else { Overuse::watch(process, memory) };
        Self { group: Some(group), overuse }
    }

    /// Of a process that a former control plane started.
    pub fn adopted(process: ProcessId, memory: Option<u64>) -> Self {
        match Group::find(process, memory) {
            Some(group) => Self::by_group(group, process, memory),
            None => Self::by_looking(process, memory),
        }
    }

    /// What is to be said once the processes were seen to use too much memory, and are to be ended. Cancel-safe.
    pub async fn found(&mut self) -> String {
        self.overuse.found().await
    }

    /// Takes the group away after the end; says so where it was the kernel that ended it.
    pub async fn end(self) -> Option<String> {
        let group = self.group?;
        let said = group.ran_out();
        group.remove().await;
        said
    }
}

/// The kernel may take a while to move a process. `None` while the runtime ends.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

//! The control group of one replica.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use model::ProcessId;
use rustix::io::Errno;

use super::OWN;
use super::place::{self, processes};
use crate::process;

/// Microseconds over which the time on processors is counted: the kernel's own default.
const PERIOD: u64 = 100_000;
/// The kernel takes no shorter time in a period.
const SHORTEST: u64 = 1_000;
/// How long killed processes may take to leave the group.
const REAP: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(10);

/// A group, from being made to being taken away.
#[derive(Debug)]
pub(crate) struct Group {
    path: PathBuf,
    memory: Option<u64>,
}

impl Group {
    pub(super) fn make(path: PathBuf, cpu: Option<u32>, memory: Option<u64>) -> io::Result<Self> {
        fs::create_dir(&path)?;
        let group = Self { path, memory };
        group.limit(cpu).inspect_err(|_| group.discard())?;
        Ok(group)
    }

    fn limit(&self, cpu: Option<u32>) -> io::Result<()> {
        if let Some(thousandths) = cpu {
            let time = (u64::from(thousandths) * PERIOD / 1000).max(SHORTEST);
            self.write("cpu.max", &format!("{time} {PERIOD}"))?;
        }
        if let Some(bytes) = self.memory {
            self.write("memory.max", &bytes.to_string())?;
            // What is left of a service after a part of it was killed is of no use.
            self.write("memory.oom.group", "1")?;
            // Else it would only become slow. A system without swap has no such file.
            let _ = self.write("memory.swap.max", "0");
        }
        Ok(())
    }

    /// The group in which a former control plane put this process.
    pub fn find(p: ProcessId, memory: Option<u64>) -> Option<Self> {
        let read = |path: String| fs::read_to_string(path).ok();
        let path = place::group_of(
            &read("/proc/self/mountinfo".into())?,
            &read(format!("/proc/{}/cgroup", p.pid))?,
        )?;
        let made_by_isles = path.file_name()?.to_str()?.strip_prefix(OWN)?.starts_with('-');
        let memory = memory.filter(|_| path.join("memory.events").exists());
        made_by_isles.then_some(Self { path, memory })
    }

    #[cfg(test)]
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Whether the kernel keeps the limit of memory.
    pub fn limits_memory(&self) -> bool {
        self.memory.is_some()
    }

    /// Puts a process that was just started, and what it has started by now, into the group. `marks` are the variables
    /// (`NAME=value`) by which its children are known that have lost their parent.
    ///
    /// It is moved rather than born there, which nothing in the standard library does. What it starts once it has been
    /// moved is born in the group, and what it started before is still where this process is.
    pub fn enter(&self, leader: ProcessId, marks: &[String]) -> io::Result<()> {
        self.take(leader.pid)?;
        let Some(here) = place::own() else { return Ok(()) };
        let ancestors = BTreeSet::from([leader.pid]);
        let is_its_own = |pid: u32| {
            process::identify(pid).is_some_and(|p| process::descends(&p, &ancestors))
                || (!marks.is_empty() && process::has_variables(pid, marks))
        };
        for _ in 0..super::MOVES {
            let strays: Vec<u32> = processes(&here).into_iter().filter(|pid| is_its_own(*pid)).collect();
            strays.iter().try_for_each(|pid| self.take(*pid))?;
            // One that was moved may have started another one just before.
            if strays.is_empty() {
                break;
            }
        }
        Ok(())
    }

    fn take(&self, pid: u32) -> io::Result<()> {
        match self.write("cgroup.procs", &pid.to_string()) {
            // It has ended.
            Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => Ok(()),
            taken => taken,
        }
    }

    /// Says so where the kernel ended the group's processes because they needed more memory than they may use.
    pub fn ran_out(&self) -> Option<String> {
        let limit = self.memory?;
        let events = fs::read_to_string(self.path.join("memory.events")).ok()?;
        let killed = events.lines().find_map(|line| line.strip_prefix("oom_kill "))?;
        (killed.trim() != "0").then(|| crate::memory::ran_out(limit))
    }

    /// Kills whatever is left in the group, such as a process that left its process group, and takes the group away.
    pub async fn remove(self) {
        // Kernels before 5.14 have no such file; what is left keeps its group then.
        let _ = self.write("cgroup.kill", "1");
        let removed = async {
            while let Err(error) = fs::remove_dir(&self.path) {
                if error.raw_os_error() != Some(Errno::BUSY.raw_os_error()) {
                    return;
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        if tokio::time::timeout(REAP, removed).await.is_err() {
            tracing::warn!(group = %self.path.display(), "a control group still has processes after it was killed");
        }
    }

    /// Takes away a group in which no process ever was.
    pub fn discard(&self) {
        // It is taken away by the next control plane else.
        let _ = fs::remove_dir(&self.path);
    }

    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        fs::write(self.path.join(name), text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_kill_by_the_kernel_is_told_as_one() {
        let dir = tempfile::tempdir().unwrap();
        let group = |memory| Group { path: dir.path().to_owned(), memory };
        let events = |text: &str| fs::write(dir.path().join("memory.events"), text).unwrap();
        assert_eq!(group(Some(1)).ran_out(), None, "no file");
        events("low 0\nhigh 0\nmax 12\noom 0\noom_kill 0\noom_group_kill 0\n");
        assert_eq!(group(Some(1)).ran_out(), None);
        events("low 0\nhigh 0\nmax 12\noom 1\noom_kill 3\noom_group_kill 1\n");
        let said = group(Some(48_000_000)).ran_out().unwrap();
        assert_eq!(said, "it ran out of memory, and may use 48 MB");
        assert_eq!(group(None).ran_out(), None, "somebody else's limit");
    }
}

//! Limits of memory and of processors: by control groups where this machine lets the test make them, else by looking.
//!
//! What can be shown depends on the machine, and each test says which of the two it showed.

use std::fs;
use std::path::{Path, PathBuf};

use model::{Phase, ProcessId};
use supervisor::cgroup::{self, Controllers};

use super::yard::{Yard, eventually, id, members};

fn controllers() -> Controllers {
    let found = cgroup::look();
    println!("control groups here: {found:?}");
    found.unwrap_or(Controllers { cpu: false, memory: false })
}

/// The group of a process, by what the kernel says.
fn group(of: ProcessId) -> PathBuf {
    let groups = fs::read_to_string(format!("/proc/{}/cgroup", of.pid)).unwrap();
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/")).unwrap().to_owned();
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    let at = mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2")).unwrap();
    Path::new(at.split(' ').nth(1).unwrap()).join(own)
}

fn microseconds_used(group: &Path) -> u64 {
    let stat = fs::read_to_string(group.join("cpu.stat")).unwrap();
    let used = stat.lines().find_map(|line| line.strip_prefix("usage_usec ")).unwrap();
    used.parse().unwrap()
}

fn throttled(group: &Path) -> bool {
    let stat = fs::read_to_string(group.join("cpu.stat")).unwrap();
    stat.lines().any(|line| line.strip_prefix("nr_throttled ").is_some_and(|n| n != "0"))
}

#[tokio::test]
async fn what_uses_more_memory_than_it_may_is_ended_with_all_that_it_started() {
    let by_kernel = controllers().memory;
    let mut yard = Yard::new();
    // Neither of them alone has too much.
    let half = "import time; held = b'x' * 60_000_000; time.sleep(1000)";
    let mut spec = yard.script(&format!("python3 -c \"{half}\" & python3 -c \"{half}\""));
    spec.memory = Some(100_000_000);
    let leader = yard.start(&spec).await;
    let exit = yard.until_phase(Phase::Exited).await.last_exit.unwrap();
    let message = exit.message.unwrap();
    assert!(message.ends_with("of memory, and may use 100 MB"), "{message}");
    assert_eq!(message.starts_with("it used 1"), !by_kernel, "{message}");
    assert_eq!(members(leader), Vec::<String>::new());

    spec.memory = Some(1_000_000_000);
    yard.start(&spec).await;
    yard.until_phase(Phase::Ready).await;
    yard.supervisor.stop(&id()).await;
    assert_eq!(yard.state(), None);
}

#[tokio::test]
async fn a_replica_gets_no_more_of_the_processors_than_it_may_or_its_log_says_why() {
    let kept = controllers().cpu;
    let mut yard = Yard::new();
    let mut spec = yard.script("while :; do :; done & while :; do :; done");
    spec.cpu = Some(200);
    let leader = yard.start(&spec).await;
    if !kept {
        let said = |line: &supervisor::LogLine| line.text.starts_with("`limits.cpu` has no effect: ");
        eventually("a word on the limit", || async { yard.log().iter().any(said).then_some(()) }).await;
        assert!(cgroup::cpu_trouble().is_some());
        return;
    }
    let group = group(leader);
    assert_eq!(fs::read_to_string(group.join("cpu.max")).unwrap().trim(), "20000 100000");
    eventually("both in the group", || async {
        let within = fs::read_to_string(group.join("cgroup.procs")).unwrap();
        (within.lines().count() == 2 && members(leader).len() == 2).then_some(())
    })
    .await;
    eventually("held back", || async { throttled(&group).then_some(()) }).await;

    // Another control plane takes it over, and takes its group away with it.
    let state = yard.state().unwrap();
    yard.replace_supervisor();
    assert!(yard.supervisor.adopt(spec, state).await);
    assert!(group.exists() && microseconds_used(&group) > 0);
    yard.supervisor.stop(&id()).await;
    assert!(!group.exists(), "{}", group.display());
}

#[tokio::test]
async fn what_left_the_process_group_ends_with_the_control_group() {
    if !controllers().memory && !controllers().cpu {
        return;
    }
    let mut yard = Yard::new();
    // Two that go at once: one has its parent still, the other has not.
    let mut spec = yard.script("setsid sleep 1000 & (setsid sleep 1000 &); exec sleep 1000");
    (spec.cpu, spec.memory) = (Some(1000), Some(1_000_000_000));
    let leader = yard.start(&spec).await;
    let group = group(leader);
    eventually("three processes", || async {
        (fs::read_to_string(group.join("cgroup.procs")).unwrap().lines().count() == 3).then_some(())
    })
    .await;
    yard.supervisor.stop(&id()).await;
    assert!(!group.exists(), "{}", group.display());
}

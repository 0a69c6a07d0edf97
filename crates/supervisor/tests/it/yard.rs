//! What every test needs: a supervisor in a temporary folder, and ways to wait for a state.

use std::collections::BTreeMap;
use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use model::{
    Health, HealthCheck, ObservedState, Phase, ProcessId, ReleaseId, ReplicaId, ReplicaState, StopPolicy,
    StopSignal,
};
use supervisor::{LogLine, Mask, Options, ReplicaSpec, Stream, Supervisor};

/// No state takes longer, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Yard {
    pub supervisor: Supervisor,
    pub dir: tempfile::TempDir,
    /// Every process that was seen, to be ended with the test however it ends.
    seen: Vec<ProcessId>,
}

pub fn id() -> ReplicaId {
    "orders-1".parse().unwrap()
}

pub fn health(check: HealthCheck) -> Health {
    Health { check, interval: Duration::from_millis(40), timeout: Duration::from_millis(500), failures: 2 }
}

pub fn options(dir: &Path) -> Options {
    Options { logs: dir.join("logs"), log_limit: 8 << 20, log_files: 3, mask: Mask::default() }
}

impl Yard {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let supervisor = Supervisor::new(options(dir.path())).unwrap();
        Self { supervisor, dir, seen: Vec::new() }
    }

    /// A shell script as a service without health checks.
    pub fn script(&self, script: &str) -> ReplicaSpec {
        self.program(&["sh", "-c", script])
    }

    pub fn program(&self, argv: &[&str]) -> ReplicaSpec {
        let data = self.dir.path().join("data/orders").display().to_string();
        ReplicaSpec {
            id: id(),
            release: ReleaseId("r1".into()),
            address: "127.0.0.1:9".parse().unwrap(),
            argv: argv.iter().map(|word| (*word).to_owned()).collect(),
            dir: self.dir.path().to_owned(),
            env: BTreeMap::from([("ISLES_DATA".into(), data), ("ISLES_REPLICA".into(), id().to_string())]),
            health: health(HealthCheck::None),
            stop: StopPolicy { signal: StopSignal::Term, grace: Duration::from_secs(20) },
            memory: None,
            cpu: None,
        }
    }

    pub async fn start(&mut self, spec: &ReplicaSpec) -> ProcessId {
        let process = self.supervisor.start(spec.clone()).await.unwrap();
        self.seen.push(process);
        process
    }

    /// Ends this process with the test.
    pub fn watch_over(&mut self, process: ProcessId) {
        self.seen.push(process);
    }

    /// The control plane dies and another takes its place.
    pub fn replace_supervisor(&mut self) {
        self.supervisor = Supervisor::new(options(self.dir.path())).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn state(&self) -> Option<ReplicaState> {
        self.supervisor.observed().borrow().replicas.get(&id()).cloned()
    }

    /// Waits until the replica's state is as wanted.
    pub async fn until(&self, what: &str, wanted: impl Fn(&ReplicaState) -> bool) -> ReplicaState {
        let mut observed = self.supervisor.observed();
        let found = |all: &Arc<ObservedState>| all.replicas.get(&id()).is_some_and(&wanted);
        let waited = tokio::time::timeout(PATIENCE, observed.wait_for(found)).await.map(|all| all.is_ok());
        assert_eq!(waited, Ok(true), "never {what}: {:?}", self.state());
        self.supervisor.observed().borrow().replicas[&id()].clone()
    }

    pub async fn until_phase(&self, phase: Phase) -> ReplicaState {
        self.until(&format!("{phase:?}"), |state| state.phase == phase).await
    }

    pub fn log(&self) -> Vec<LogLine> {
        supervisor::log::tail(&self.dir.path().join("logs"), &[], 1_000_000).unwrap()
    }

    /// What the service wrote, without Isles' own lines.
    pub fn output(&self) -> Vec<String> {
        self.log().into_iter().filter(|line| line.stream != Stream::Isles).map(|line| line.text).collect()
    }

    pub async fn until_output(&self, line: &str) -> Vec<String> {
        eventually(&format!("`{line}` in the log"), || async {
            Some(self.output()).filter(|lines| lines.iter().any(|found| found == line))
        })
        .await
    }
}

impl Drop for Yard {
    fn drop(&mut self) {
        for process in &self.seen {
            kill_group(*process);
        }
    }
}

/// Asks again and again until there is an answer.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(std::time::Instant::now() < deadline, "never {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The living members of a process group, read from /proc without the code under test.
pub fn members(group: ProcessId) -> Vec<String> {
    let stats = fs::read_dir("/proc").unwrap().flatten();
    let stats = stats.filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
    stats
        .filter(|stat| {
            let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
            fields[2] == group.pid.to_string() && fields[0] != "Z"
        })
        .collect()
}

pub fn kill_group(process: ProcessId) {
    if !members(process).is_empty() {
        let group = rustix::process::Pid::from_raw(process.pid.try_into().unwrap()).unwrap();
        // It may end just now.
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
}

pub fn kill_leader(process: ProcessId) {
    let leader = rustix::process::Pid::from_raw(process.pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(leader, rustix::process::Signal::KILL).unwrap();
}

//! The work of a rollout's stages: build and copy, gate, `before_start`. One task for each service, so that a slow build
//! holds up nobody else.

use std::collections::{BTreeSet, HashMap};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use model::{ReleaseId, ServiceName, ServiceSpec};
use planner::rollout::{Job, Rollout, Stage};
use supervisor::{Task, TaskError};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::environment::Setting;
use crate::gate::{Gate, Judgement, Proposal};
use crate::history;
use crate::usage;
use crate::world::{Building, World, now};

/// Builds that run at one time. Build tools use every core by themselves; more at once only costs memory.
const BUILDS: usize = 4;
/// Releases of a service that are kept beside those that run.
const KEPT: usize = 10;

/// What runs for rollouts now.
pub struct Jobs {
    world: Arc<World>,
    gate: Arc<dyn Gate>,
    builds: Arc<Semaphore>,
    /// Woken when a job has ended.
    wake: Arc<Notify>,
    running: Arc<Mutex<HashMap<ServiceName, Running>>>,
}

struct Running {
    rollout: u64,
    stage: Stage,
    job: Job,
    cancel: CancellationToken,
}

/// What went wrong, and the last lines that were written.
type Failure = (String, Vec<String>);

impl Jobs {
    /// Nothing runs yet.
    pub fn new(world: Arc<World>, gate: Arc<dyn Gate>, wake: Arc<Notify>) -> Self {
        let builds = Arc::new(Semaphore::new(BUILDS));
        Self { world, gate, builds, wake, running: Arc::default() }
    }

    /// How the work of the present stage is; begins it where it has not begun, and ends what is not wanted any more.
    pub fn of(&self, service: &ServiceSpec, rollout: &Rollout) -> Job {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(job) = running.get(&service.name) {
            if (job.rollout, &job.stage) == (rollout.id, &rollout.stage) {
                return job.job.clone();
            }
            job.cancel.cancel();
            running.remove(&service.name);
        }
        if matches!(rollout.stage, Stage::Build | Stage::Gate | Stage::BeforeStart) {
            let cancel = self.world.stop.child_token();
            let job = Running {
                rollout: rollout.id,
                stage: rollout.stage.clone(),
                job: Job::Runs,
                cancel: cancel.clone(),
            };
            running.insert(service.name.clone(), job);
            self.begin(service.clone(), rollout.clone(), cancel);
        }
        Job::Runs
    }

    fn begin(&self, service: ServiceSpec, rollout: Rollout, cancel: CancellationToken) {
        let (world, gate, builds) = (self.world.clone(), self.gate.clone(), self.builds.clone());
        let (wake, running) = (self.wake.clone(), self.running.clone());
        tokio::spawn(async move {
            let work = async {
                match rollout.stage {
                    Stage::Build => build(&world, &service, &rollout, &builds).await,
                    Stage::Gate => ask(&world, &*gate, &service, &rollout).await,
                    _ => before_start(&world, &service, &rollout).await,
                }
            };
            let Some(result) = cancel.run_until_cancelled(work).await else { return };
            let job = result.unwrap_or_else(|(reason, last_lines)| Job::Failed { reason, last_lines });
            let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(own) = running.get_mut(&service.name).filter(|r| r.rollout == rollout.id) {
                own.job = job;
            }
            drop(running);
            wake.notify_one();
        });
    }
}

async fn build(
    world: &Arc<World>,
    service: &ServiceSpec,
    rollout: &Rollout,
    builds: &Semaphore,
) -> Result<Job, Failure> {
    let tell = |building| {
        world.builds.update(|all| {
            all.insert(service.name.clone(), building);
        });
    };
    tell(Building::Waiting);
    // The semaphore is never closed, so there is always a permit to come. It is held while files are read, too.
    let _permit = builds.acquire().await;
    if let Some(build) = service.build.as_ref().filter(|_| world.build) {
        tell(Building::Runs);
        // The mark: a build that a killed control plane left behind would work against the next one.
        let data = world.paths.data(&service.name).to_string_lossy().into_owned();
        let env = [("ISLES_DATA".to_owned(), data)].into();
        let task = Task { argv: build.0.clone(), dir: service.dir.clone(), env, mask: world.mask.clone() };
        run(world, service, "build", task).await?;
    }
    tell(Building::Copied);
    let (world, service, current) = (world.clone(), service.clone(), rollout.from.clone());
    let kept = tokio::task::spawn_blocking(move || keep(&world, &service, current)).await;
    kept.unwrap_or_else(|e| Err((e.to_string(), vec![])))
}

/// Copies what was built, and forgets what is old.
fn keep(world: &World, service: &ServiceSpec, current: Option<ReleaseId>) -> Result<Job, Failure> {
    let release = world.releases.snapshot(service, &world.desired.get(), now());
    let release = release.map_err(|error| (format!("{error}: does its build make it?"), vec![]))?.id;
    let rollouts = world.store.rollouts(&service.name).map_err(|e| (e.to_string(), vec![]))?;
    let observed = world.observed();
    let running = observed.replicas.iter().filter(|(id, _)| id.service == service.name);
    let mut keep: BTreeSet<ReleaseId> = running.map(|(_, r)| r.release.clone()).chain(current).collect();
    keep.insert(release.clone());
    let latest = world.releases.list(&service.name);
    keep.extend(history::latest(&rollouts, &latest, KEPT));
    if let Err(error) = world.releases.prune(&service.name, &keep) {
        tracing::warn!("old releases of {} could not be removed: {error}", service.name);
    }
    let back = history::was_rolled_back(&rollouts, &release);
    Ok(Job::Built { release, back })
}

async fn ask(
    world: &Arc<World>,
    gate: &dyn Gate,
    service: &ServiceSpec,
    rollout: &Rollout,
) -> Result<Job, Failure> {
    let open = |id: &ReleaseId| world.releases.open(&service.name, id);
    let new = rollout.to.as_ref().map(open).transpose().map_err(|e| (e.to_string(), vec![]))?;
    let Some(new) = new else { return Ok(Job::Passed) };
    // A release of which the files are gone has no contract that could be broken.
    let old = rollout.from.as_ref().and_then(|id| open(id).ok());
    let (own, name, within) = (world.clone(), service.name.clone(), service.deploy.used_within);
    let used = tokio::task::spawn_blocking(move || usage::of(&own, &name, within)).await;
    let called = used.map_err(|e| (e.to_string(), vec![]))?.map_err(|e| (e.to_string(), vec![]))?.called;
    let proposal = Proposal { service: service.clone(), old, new, called };
    let Judgement { reasons, notes } = gate.judge(proposal).await.map_err(|e| (e, vec![]))?;
    Ok(match (reasons.is_empty(), notes.is_empty()) {
        (false, _) => Job::Refused(reasons),
        (true, false) => Job::Noted(notes),
        (true, true) => Job::Passed,
    })
}

/// Once for a release, and before any replica of it.
async fn before_start(world: &World, service: &ServiceSpec, rollout: &Rollout) -> Result<Job, Failure> {
    let said = |e: &dyn std::fmt::Display| (e.to_string(), vec![]);
    let Some(id) = &rollout.to else { return Ok(Job::Passed) };
    std::fs::create_dir_all(world.paths.data(&service.name))
        .map_err(|e| (format!("its data folder cannot be made: {e}"), vec![]))?;
    let release = world.releases.open(&service.name, id).map_err(|e| said(&e))?;
    let placed = release.placed();
    let Some(command) = &placed.before_start else { return Ok(Job::Passed) };
    if world.store.is_prepared(&service.name, id).map_err(|e| said(&e))? {
        return Ok(Job::Passed);
    }
    // It may call other services, so its edges have to be there.
    let _ = world.data_plane.subscribe().wait_for(|d| d.version.is_some()).await;
    let edges = world.edges.get();
    let setting = Setting {
        desired: &world.desired.get(),
        service: &placed,
        paths: &world.paths,
        edges: &edges,
        release: id,
        replica: None,
    };
    world.hide_secrets_of(&placed);
    let argv = setting.argv(command).map_err(|e| said(&e))?;
    let env = setting.environment().map_err(|e| said(&e))?;
    let task = Task { argv, dir: placed.dir.clone(), env, mask: world.mask.clone() };
    run(world, service, "before_start", task).await?;
    world.store.set_prepared(&service.name, id, now()).map_err(|e| said(&e))?;
    Ok(Job::Passed)
}

/// Runs a step with its output in the service's build log.
async fn run(world: &World, service: &ServiceSpec, step: &str, task: Task) -> Result<(), Failure> {
    let path = world.paths.build_log(&service.name);
    let open = || {
        path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
        OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(step == "build")
            .append(step != "build")
            .mode(0o600)
            .open(&path)
    };
    let mut log = open().map_err(|e| (format!("{}: {e}", path.display()), vec![]))?;
    let result = supervisor::run_once(task, move |line| {
        // Output that cannot be kept is no reason to fail the step.
        let _ = writeln!(log, "{line}");
    })
    .await;
    result.map_err(|error| failure(step, error, &path))
}

fn failure(step: &str, error: TaskError, log: &Path) -> Failure {
    let log = log.display();
    match error {
        TaskError::Spawn { message } => (format!("{step}: {message}"), vec![]),
        TaskError::Code { command, code, last_lines } => {
            (format!("{step} `{command}` exited with code {code}; all it wrote is in {log}"), last_lines)
        }
        TaskError::Signal { command, signal, last_lines } => {
            (format!("{step} `{command}` was ended by signal {signal}; all it wrote is in {log}"), last_lines)
        }
    }
}

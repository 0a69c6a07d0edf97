//! Declared services -> releases that can be started: build, name, `before_start`.
//!
//! One task for each service, so that a slow build holds up nobody else.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use model::{ReleaseId, ServiceSpec};
use supervisor::{Task, TaskError};
use tokio::sync::Semaphore;

use crate::environment::Setting;
use crate::release;
use crate::world::{Preparation, World, now};

/// Builds that run at one time. Build tools use every core by themselves; more at once only costs memory.
const BUILDS: usize = 4;

/// Begins to prepare every service. A failed one is tried again when `world.retry` says so.
pub fn prepare_all(world: &Arc<World>) {
    let builds = Arc::new(Semaphore::new(BUILDS));
    for service in world.desired.services.values() {
        let (world, service, builds) = (world.clone(), service.clone(), builds.clone());
        tokio::spawn(async move {
            let stop = world.stop.clone();
            stop.run_until_cancelled(keep_prepared(&world, &service, &builds)).await;
        });
    }
}

async fn keep_prepared(world: &World, service: &ServiceSpec, builds: &Semaphore) {
    loop {
        let retry = world.retry.notified();
        let preparation = match prepare(world, service, builds).await {
            Ok(release) => Preparation::Done(release),
            Err((reason, last_lines)) => Preparation::Failed { reason, last_lines },
        };
        let done = matches!(preparation, Preparation::Done(_));
        tell(world, service, preparation);
        if done {
            return;
        }
        retry.await;
    }
}

fn tell(world: &World, service: &ServiceSpec, preparation: Preparation) {
    world.preparations.update(|all| {
        all.insert(service.name.clone(), preparation);
    });
}

type Failure = (String, Vec<String>);

async fn prepare(world: &World, service: &ServiceSpec, builds: &Semaphore) -> Result<ReleaseId, Failure> {
    if let Some(build) = service.build.as_ref().filter(|_| world.build) {
        // The semaphore is never closed, so there is always a permit to come.
        let _permit = builds.acquire().await;
        tell(world, service, Preparation::Building);
        // The mark: a build that a killed control plane left behind would work against the next one.
        let data = world.paths.data(&service.name).to_string_lossy().into_owned();
        let env = [("ISLES_DATA".to_owned(), data)].into();
        let task = Task { argv: build.0.clone(), dir: service.dir.clone(), env };
        run(world, service, "build", task).await?;
    }
    tell(world, service, Preparation::Preparing);
    let (spec, desired) = (service.clone(), world.desired.clone());
    let release = tokio::task::spawn_blocking(move || release::identify(&spec, &desired)).await;
    let release = match release {
        Ok(Ok(release)) => release,
        Ok(Err(error)) => return Err((format!("{error}: does its build make it?"), vec![])),
        Err(error) => return Err((error.to_string(), vec![])),
    };
    std::fs::create_dir_all(world.paths.data(&service.name))
        .map_err(|e| (format!("its data folder cannot be made: {e}"), vec![]))?;
    before_start(world, service, &release).await?;
    Ok(release)
}

/// Once for a release, and before any replica of it.
async fn before_start(world: &World, service: &ServiceSpec, release: &ReleaseId) -> Result<(), Failure> {
    let Some(command) = &service.before_start else { return Ok(()) };
    let said = |e: &dyn std::fmt::Display| (e.to_string(), vec![]);
    if world.store.is_prepared(&service.name, release).map_err(|e| said(&e))? {
        return Ok(());
    }
    // It may call other services, so its edges have to be there.
    let _ = world.data_plane.subscribe().wait_for(|d| d.version.is_some()).await;
    let edges = world.edges.get();
    let setting = Setting {
        desired: &world.desired,
        service,
        paths: &world.paths,
        edges: &edges,
        release,
        replica: None,
    };
    let argv = setting.argv(command).map_err(|e| said(&e))?;
    let env = setting.environment().map_err(|e| said(&e))?;
    run(world, service, "before_start", Task { argv, dir: service.dir.clone(), env }).await?;
    world.store.set_prepared(&service.name, release, now()).map_err(|e| said(&e))
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

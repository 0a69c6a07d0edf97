//! `isles up --watch`: what somebody changes is built and rolled out, and nothing else.

use std::convert::Infallible;
use std::path::Path;

use console::api::{AppStatus, DeployRequest, Deployed};
use console::client::{Client, ClientError};

use crate::cli::failure::Failure;
use crate::cli::place::Place;
use crate::cli::show::style;
use crate::cli::show::text::count;
use crate::cli::{check, output, rollout, show};
use crate::watch::{Changed, Watcher};

/// Files that are named before only their number is.
const NAMED: usize = 3;

/// The same beside an app that another process runs, until Ctrl-C.
pub async fn beside(place: &Place, watcher: Watcher) -> Result<(), Failure> {
    output::note(style::dim("waiting for files to change; Ctrl-C ends this and leaves the app running"))?;
    tokio::select! {
        failed = run(place, Some(watcher)) => failed.map(|never| match never {}),
        ended = tokio::signal::ctrl_c() => Ok(ended?),
    }
}

/// Deploys whatever changes until the app has gone. What fails is told, and tried again with the next change.
/// Without a watcher nothing ever changes.
pub async fn run(place: &Place, watcher: Option<Watcher>) -> Result<Infallible, Failure> {
    let Some(mut watcher) = watcher else { return std::future::pending().await };
    let client = place.client();
    loop {
        let mut changed = watcher.next().await;
        say(place, &changed)?;
        while let Ok(parsed) = check::load_manifest(&place.manifest) {
            match deploy(place, &client, &changed).await {
                Ok(deployed) => {
                    if changed.manifest {
                        watcher.follow(&parsed.desired);
                    }
                    settle(&client, deployed).await?;
                    break;
                }
                Err(ClientError::Refused(problem)) if problem.code == "under_way" => {
                    // What changes meanwhile goes with it.
                    tokio::select! {
                        more = watcher.next() => {
                            say(place, &more)?;
                            changed.extend(more);
                        }
                        free = until_free(&client, &changed) => free?,
                    }
                }
                Err(ClientError::Refused(problem)) => {
                    output::note(format!("{}: {}", style::bad("error"), problem.detail))?;
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn say(place: &Place, changed: &Changed) -> Result<(), Failure> {
    let root = place.manifest.parent().unwrap_or(Path::new("/"));
    let name = |file: &Path| file.strip_prefix(root).unwrap_or(file).display().to_string();
    let files = match changed.files.len() {
        ..=NAMED => changed.files.iter().map(|file| name(file)).collect::<Vec<_>>().join(", "),
        many => count(many, "file"),
    };
    let verb = if changed.files.len() == 1 { "has" } else { "have" };
    output::note(style::dim(&format!("{files} {verb} changed")))
}

async fn deploy(place: &Place, client: &Client, changed: &Changed) -> Result<Deployed, ClientError> {
    // The manifest concerns all of them.
    let services = if changed.manifest { vec![] } else { changed.services.iter().cloned().collect() };
    let manifest = Some(place.manifest.display().to_string());
    client.deploy(&DeployRequest { services, manifest, canary: false, force: false }).await
}

/// Follows what a change began. Whoever looks at it is the judge: it is taken into charge without being compared.
async fn settle(client: &Client, deployed: Deployed) -> Result<(), Failure> {
    output::notes(&show::changes::render(&deployed.changes))?;
    for service in deployed.rollouts.keys() {
        match client.promote(service).await {
            // It has ended already.
            Ok(_) | Err(ClientError::Refused(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    match rollout::follow(client, deployed.rollouts, rollout::Asked::Promote).await {
        // A release that was no good has been told; the old one runs on.
        Ok(()) | Err(Failure::Silent(_)) => Ok(()),
        Err(other) => Err(other),
    }
}

/// Waits until no rollout of what is to be deployed is under way.
async fn until_free(client: &Client, changed: &Changed) -> Result<(), Failure> {
    let mut states = client.watch().await?;
    let busy = |status: &AppStatus| {
        let mut concerned =
            status.services.iter().filter(|s| changed.manifest || changed.services.contains(&s.name));
        concerned.any(|s| s.rollout.as_ref().is_some_and(|rollout| rollout.outcome.is_none()))
    };
    loop {
        match states.next().await {
            Ok(Some(status)) if busy(&status) => {}
            Ok(Some(_)) => return Ok(()),
            Ok(None) => return Err(ClientError::Gone.into()),
            Err(error) => return Err(error.into()),
        }
    }
}

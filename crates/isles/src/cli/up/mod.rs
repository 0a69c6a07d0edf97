//! `isles up`

mod detached;
mod foreground;
mod watch;

use console::api::DeployRequest;

use super::failure::Failure;
use super::place::{FileArg, Place};
use super::{deploy, output};
use crate::watch::Watcher;
use crate::wire::{self, StartError};

/// Threads for everything but the requests, which the data plane serves.
const THREADS: usize = 2;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: FileArg,
    /// Returns once everything is ready, and leaves it running
    #[arg(short = 'd', long)]
    detach: bool,
    /// Builds and rolls out whatever service's files, or manifest, change, until Ctrl-C
    #[arg(long, conflicts_with = "detach")]
    watch: bool,
    /// Starts what was built before
    #[arg(long)]
    no_build: bool,
    /// The process that `-d` leaves running
    #[arg(long, hide = true)]
    background: bool,
}

pub fn run(args: Args, before: FileArg) -> Result<(), Failure> {
    let place = Place::find(args.file.clone().or(before))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build()?;
    if args.background {
        output::trace("info");
        return runtime.block_on(detached::background(&place, !args.no_build));
    }
    output::trace("error");
    let parsed = super::check::load(&place.manifest)?;
    runtime.block_on(async {
        if let Ok(status) = place.client().status().await {
            output::note(format!(
                "{} runs already (pid {}): the manifest is put in force",
                status.app, status.pid
            ))?;
            let watcher = args.watch.then(|| Watcher::new(&place.manifest, &parsed.desired));
            let begun = deploy::begin(&place, DeployRequest::default()).await;
            return match watcher {
                Some(watcher) => watch::beside(&place, watcher).await,
                None => begun,
            };
        }
        if args.detach {
            detached::start(&place, !args.no_build).await
        } else {
            foreground::run(&place, parsed, !args.no_build, args.watch).await
        }
    })
}

fn already_running(app: &str, pid: Option<u32>) -> Failure {
    let pid = pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
    Failure::failed(format!("{app} is already running{pid}"))
        .help("`isles ps` shows it, `isles down` stops it")
}

/// Starts the app in this process.
async fn start(place: &Place, parsed: manifest::Parsed, build: bool) -> Result<wire::Running, Failure> {
    let app = parsed.desired.name.to_string();
    wire::start(place.manifest.clone(), parsed, build).await.map_err(|error| match error {
        StartError::AlreadyRunning { pid } => already_running(&app, pid),
        StartError::Other { what, help } => match help {
            Some(help) => Failure::failed(what).help(help),
            None => Failure::failed(what),
        },
    })
}

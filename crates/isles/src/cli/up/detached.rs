//! `isles up -d`: the same in a process of its own session, watched until everything is ready.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use console::api::AppStatus;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::failure::{Exit, Failure};
use crate::cli::follow::{self, Progress, Seen};
use crate::cli::place::{self, Place};
use crate::cli::show::style::Symbols;
use crate::cli::{check, output, show};

/// How many lines of a control plane that died are shown.
const TAIL: usize = 20;

/// Starts the process that stays, and shows how far it is until nothing more is to be waited for.
pub async fn start(place: &Place, build: bool) -> Result<(), Failure> {
    let mut progress = Progress::new().with_builds_of(place.paths.clone());
    let mut child = spawn(place, build)
        .map_err(|e| Failure::failed(format!("the control plane cannot be started: {e}")))?;
    until_it_listens(place, &mut child).await?;
    let settled = |s: &AppStatus| s.services.iter().all(|s| s.state.is_settled() || s.state.is_failure());
    let client = place.client();
    let status = match follow::until(&client, &mut progress, None, settled).await? {
        Seen::Reached(status) | Seen::TimedOut(status) => status,
        Seen::Gone => return Err(died(place)),
    };
    let symbols = Symbols::of_locale();
    progress.settle(&status)?;
    let failures = show::failure::report(&status, place::now(), symbols);
    output::notes(&failures)?;
    if !status.services.is_empty() && status.services.iter().all(|s| s.state.is_failure()) {
        client.down().await?;
        follow::until(&client, &mut Progress::since(status.clone()), None, |_| false).await?;
        return Err(Failure::failed(format!("no service of {} could be started", status.app)));
    }
    output::notes(&show::summary::render(&status, progress.elapsed(), true, symbols))?;
    if failures.is_empty() { Ok(()) } else { Err(Failure::Silent(Exit::Failed)) }
}

/// The process that stays: what it has to say goes to its log, and it ends when it is told to.
pub async fn background(place: &Place, build: bool) -> Result<(), Failure> {
    // Not in the terminal's session any more: neither Ctrl-C nor a hang-up there reaches it.
    rustix::process::setsid().map_err(|e| Failure::failed(format!("no session of its own: {e}")))?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let parsed = check::load(&place.manifest)?;
    let mut progress = Progress::new();
    let mut running = super::start(place, parsed, build).await?;
    let mut status = running.platform.status();
    let mut asked = false;
    loop {
        let now = status.borrow_and_update().clone();
        progress.show(&now)?;
        let signalled = tokio::select! {
            () = &mut running.finished => return Ok(()),
            changed = status.changed() => match changed {
                Ok(()) => false,
                Err(_) => { running.finished.await; return Ok(()) }
            },
            _ = terminate.recv() => true,
            _ = interrupt.recv() => true,
        };
        if signalled && asked {
            running.kill().await;
            return Err(Failure::Silent(Exit::Failed));
        }
        if signalled {
            asked = true;
            running.platform.down();
        }
    }
}

fn spawn(place: &Place, build: bool) -> io::Result<Child> {
    place.paths.create()?;
    let log = place.paths.control_log();
    let out = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&log)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["up", "--background", "--file"]).arg(&place.manifest);
    if !build {
        command.arg("--no-build");
    }
    command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out).spawn()
}

async fn until_it_listens(place: &Place, child: &mut Child) -> Result<(), Failure> {
    let socket = place.paths.control_socket();
    loop {
        if console::socket::is_listening(&socket).unwrap_or(false) {
            return Ok(());
        }
        if child.try_wait()?.is_some() {
            return Err(died(place));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What a control plane that ended too early had to say: its error where it gave one, else its last lines.
fn died(place: &Place) -> Failure {
    let log = place.paths.control_log();
    let text = fs::read_to_string(&log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    if let Some(what) = lines.iter().rev().find_map(|line| line.strip_prefix("error: ")) {
        let failure = Failure::failed(what);
        let help = lines.iter().rev().find_map(|line| line.strip_prefix("help: "));
        return match help {
            Some(help) => failure.help(help),
            None => failure,
        };
    }
    let tail = &lines[lines.len().saturating_sub(TAIL)..];
    let quoted: Vec<String> =
        tail.iter().map(|line| show::failure::quoted(line, Symbols::of_locale())).collect();
    match output::notes(&quoted) {
        Ok(()) => Failure::failed("the control plane has ended; its last words are above")
            .help(format!("all of them are in {}", log.display())),
        Err(failure) => failure,
    }
}

//! Starting a data plane, and putting a newer one in a running one's place.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use model::{RouteTable, StopPolicy, StopSignal};
use proxy::link::{Applied, Client, Hello, LinkError, path};
use supervisor::process;

use crate::world::World;

/// How long a new data plane may take to open its socket.
const START_LIMIT: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(2);

/// Which data plane is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// One that leads, because there is none.
    First,
    /// One that is to take a running one's place.
    Successor,
}

/// Starts a data plane and connects to it.
pub async fn start(world: &World, part: Part) -> io::Result<(Client, Hello)> {
    let mut child = command(world, part)?.spawn()?;
    let socket = match (part, child.id()) {
        (Part::Successor, Some(pid)) => path::own(&world.paths.proxy_socket(), pid),
        _ => world.paths.proxy_socket(),
    };
    let deadline = tokio::time::Instant::now() + START_LIMIT;
    loop {
        let error = match Client::connect(&socket).await {
            Ok(connected) => return Ok(connected),
            Err(error) => error,
        };
        if let Some(status) = child.try_wait()? {
            let log = world.paths.proxy_log();
            return Err(io::Error::other(format!(
                "the data plane ended with {status}; see {}",
                log.display()
            )));
        }
        if tokio::time::Instant::now() >= deadline {
            // Nobody would ever make use of it.
            child.start_kill()?;
            return Err(error);
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn command(world: &World, part: Part) -> io::Result<tokio::process::Command> {
    let paths = &world.paths;
    let log = OpenOptions::new().create(true).append(true).mode(0o600).open(paths.proxy_log())?;
    let mut command = tokio::process::Command::new(&world.program);
    process::without_secrets(&mut command);
    command.arg("proxy").arg("--socket").arg(paths.proxy_socket());
    if part == Part::Successor {
        command.arg("--successor");
    }
    command
        .env("ISLES_DATA", paths.proxy_mark())
        // A group of its own: a Ctrl-C in the terminal is for the control plane, which decides what ends when.
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    Ok(command)
}

/// Starts a data plane that takes the place of the one behind `predecessor`, with `table` in force. If it fails, the
/// predecessor serves on as before.
///
/// Nothing is lost if this process is killed at any point of it: `proxy/src/link/handover.rs` says why.
pub async fn replace(
    world: &World,
    predecessor: &mut Client,
    table: &RouteTable,
) -> Result<(Client, Hello, Applied), String> {
    let (mut client, hello) = start(world, Part::Successor).await.map_err(|e| e.to_string())?;
    let own = path::own(&world.paths.proxy_socket(), hello.pid);
    match take_place(predecessor, &mut client, own, table).await {
        Ok(applied) => Ok((client, hello, applied)),
        Err(error) => {
            if let Some(process) = process::identify(hello.pid) {
                let kill = StopPolicy { signal: StopSignal::Kill, grace: Duration::ZERO };
                process::terminate(process, kill).await;
            }
            Err(error.to_string())
        }
    }
}

async fn take_place(
    predecessor: &mut Client,
    successor: &mut Client,
    own: PathBuf,
    table: &RouteTable,
) -> Result<Applied, LinkError> {
    predecessor.hand_over(&own).await?;
    let applied = successor.apply(table).await?;
    // An address that somebody else has, the predecessor has not either; all others must be served on.
    if let Some(failure) = applied.failed.iter().find(|f| f.reason != proxy::link::IN_USE) {
        return Err(LinkError::Refused(format!(
            "it cannot listen on {}: {}",
            failure.address, failure.reason
        )));
    }
    successor.lead().await?;
    Ok(applied)
}

//! `isles down`

use std::time::Duration;

use console::api::AppStatus;
use console::client::{Client, ClientError};
use tokio::time::Instant;

use super::failure::Failure;
use super::follow::{self, Progress};
use super::output;
use super::place::{FileArg, Place};
use super::show::style::{self, Symbols};
use super::show::text;

/// How long a control plane that has closed its socket may take to end.
const LAST_STEPS: Duration = Duration::from_secs(20);

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: FileArg,
}

pub async fn run(args: Args, before: FileArg) -> Result<(), Failure> {
    let place = Place::find(args.file.or(before))?;
    let client = place.client();
    let status = match client.status().await {
        Ok(status) => status,
        Err(ClientError::NothingRunning) => return clean_up(&place).await,
        Err(error) => return Err(error.into()),
    };
    let mut progress = Progress::since(status.clone());
    match client.down().await {
        Ok(_) | Err(ClientError::NothingRunning | ClientError::Gone) => {}
        Err(error) => return Err(error.into()),
    }
    follow::until(&client, &mut progress, None, |_| false).await?;
    until_ended(&client, &status).await?;
    let took = text::took(progress.elapsed());
    output::note(format!("{} {} has stopped in {took}", style::good(Symbols::of_locale().done), status.app))
}

/// Waits for the end of the control plane itself.
async fn until_ended(client: &Client, status: &AppStatus) -> Result<(), Failure> {
    let deadline = Instant::now() + LAST_STEPS;
    loop {
        // A zombie has ended, whether or not its parent ever asks how.
        let alive = supervisor::process::identify(status.pid).is_some();
        let answers = !matches!(client.status().await, Err(ClientError::NothingRunning));
        if !alive && !answers {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(Failure::failed(format!("the control plane (pid {}) does not end", status.pid))
                .help(format!("end it with `kill {0}`, then run `isles down` again", status.pid)));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The control plane is gone: ends what it left running.
async fn clean_up(place: &Place) -> Result<(), Failure> {
    match crate::wire::clean_up(place.root()).await {
        Ok(0) => Err(Failure::nothing_running()),
        Ok(count) => output::note(format!(
            "{} the control plane had gone; ended {} that it had left running",
            style::good(Symbols::of_locale().done),
            processes(count)
        )),
        Err(what) => Err(Failure::failed(what)),
    }
}

fn processes(count: usize) -> String {
    if count == 1 { "1 process".to_owned() } else { format!("{count} processes") }
}

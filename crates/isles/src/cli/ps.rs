//! `isles ps`

use console::api::{AppStatus, Traffic};
use serde::Serialize;

use super::failure::Failure;
use super::place::{self, FileArg, Place};
use super::show::style::{self, Symbols};
use super::show::terminal;
use super::{output, show};

/// What rates, shares and latencies are about, in seconds.
const MINUTE: u64 = 60;

/// The app's state with its traffic, as JSON.
#[derive(Serialize)]
pub struct Everything<'a> {
    #[serde(flatten)]
    pub status: &'a AppStatus,
    pub traffic: Option<&'a Traffic>,
}

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: FileArg,
    /// Prints the app's whole state as JSON, with the traffic of the last minute
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args, before: FileArg) -> Result<(), Failure> {
    let place = Place::find(args.file.or(before))?;
    let status = place.status().await?;
    let now = place::now();
    // An app that was started a moment ago has no whole minute to divide by.
    let seconds = (now.saturating_sub(status.started_at) / 1000).clamp(1, MINUTE);
    let traffic = match place.client().traffic(seconds).await {
        Ok(traffic) => Some(traffic),
        // Everything else can be shown all the same.
        Err(error) => {
            output::note(format!("{}: the traffic is not known: {error}", style::busy("warning")))?;
            None
        }
    };
    if args.json {
        return output::json(&Everything { status: &status, traffic: traffic.as_ref() });
    }
    let (width, _) = terminal::size(&std::io::stdout());
    output::lines(&show::ps::render(&status, traffic.as_ref(), now, width, Symbols::of_locale()))
}

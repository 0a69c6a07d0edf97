//! `isles wait`

use std::time::Duration;

use console::api::{AppState, AppStatus};

use super::failure::{Exit, Failure};
use super::follow::{self, Progress, Seen};
use super::place::{self, FileArg, Place};
use super::show::style::{self, Symbols};
use super::show::text::{self, parse_duration};
use super::{output, show};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: FileArg,
    /// How long at most, such as 500ms, 10s, 2m
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = parse_duration)]
    timeout: Duration,
    /// Prints the app's whole state as JSON at the end
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args, before: FileArg) -> Result<(), Failure> {
    let place = Place::find(args.file.or(before))?;
    let client = place.client();
    let mut progress = Progress::since(place.status().await?).with_builds_of(place.paths.clone());
    let decided =
        |s: &AppStatus| s.state == AppState::Ready || s.services.iter().any(|s| s.state.is_failure());
    let (status, in_time) = match follow::until(&client, &mut progress, Some(args.timeout), decided).await? {
        Seen::Reached(status) => (status, true),
        Seen::TimedOut(status) => (status, false),
        Seen::Gone => return Err(Failure::failed("the app stopped meanwhile")),
    };
    if args.json {
        output::json(&status)?;
    }
    let symbols = Symbols::of_locale();
    if status.state == AppState::Ready {
        let line = format!("{} {} is ready", style::good(symbols.done), status.app);
        return if args.json { Ok(()) } else { output::note(line) };
    }
    if in_time {
        output::notes(&show::failure::report(&status, place::now(), symbols))?;
        return Err(Failure::Silent(Exit::Failed));
    }
    Err(Failure::failed(not_ready(&status, args.timeout))
        .help("`isles ps` shows more; `--timeout` waits longer"))
}

/// Which services are not ready, each with its reason.
fn not_ready(status: &AppStatus, timeout: Duration) -> String {
    let now = place::now();
    let late = status.services.iter().filter(|s| !s.state.is_settled());
    let late: Vec<String> =
        late.map(|s| format!("{} ({})", s.name, show::failure::reason(status, s, now))).collect();
    let late: Vec<&str> = late.iter().map(String::as_str).collect();
    let timeout = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
    format!("{} not ready after {}: {}", status.app, text::took(timeout), text::list(&late))
}

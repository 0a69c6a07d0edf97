//! `isles top`

use std::pin::pin;
use std::time::Duration;

use console::api::{AppStatus, Traffic};

use super::failure::Failure;
use super::place::{self, FileArg, Place};
use super::ps::Everything;
use super::show::style::Symbols;
use super::show::terminal::{self, Live};
use super::{output, show};

/// What rates, shares and latencies are about, in seconds.
const WINDOW: u64 = 10;
/// How often it is drawn.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: FileArg,
    /// Shows it once, as it does where the output is no terminal
    #[arg(long)]
    once: bool,
    /// Prints the app's whole state as JSON, with the traffic of the last ten seconds
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args, before: FileArg) -> Result<(), Failure> {
    let place = Place::find(args.file.or(before))?;
    if args.json {
        let (status, traffic) = look(&place).await?;
        return output::json(&Everything { status: &status, traffic: Some(&traffic) });
    }
    if args.once || !terminal::can_redraw(&std::io::stderr()) {
        let (width, _) = terminal::size(&std::io::stdout());
        let (status, traffic) = look(&place).await?;
        return output::lines(&show::top::render(
            &status,
            &traffic,
            place::now(),
            width,
            Symbols::of_locale(),
        ));
    }
    let (mut live, mut ended) = (Live::default(), pin!(tokio::signal::ctrl_c()));
    loop {
        let (status, traffic) = look(&place).await?;
        let (width, rows) = terminal::size(&std::io::stderr());
        let mut lines = show::top::render(&status, &traffic, place::now(), width, Symbols::of_locale());
        // The busiest are first.
        lines.truncate(rows.saturating_sub(1));
        live.draw(&lines)?;
        tokio::select! {
            ended = &mut ended => return Ok(ended?),
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

async fn look(place: &Place) -> Result<(AppStatus, Traffic), Failure> {
    let status = place.status().await?;
    let age = place::now().saturating_sub(status.started_at) / 1000;
    let traffic = place.client().traffic(age.clamp(1, WINDOW)).await?;
    Ok((status, traffic))
}

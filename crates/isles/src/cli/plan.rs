//! `isles plan`

use console::api::{PlanReport, PlanRequest};
use console::client::ClientError;

use super::check;
use super::failure::Failure;
use super::place::{FileArg, Place};
use super::show::style::{self, Symbols};
use super::{output, show};
use crate::wire;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: FileArg,
    /// Prints the changes as JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args, before: FileArg) -> Result<(), Failure> {
    let place = Place::find(args.file.or(before))?;
    let parsed = check::load(&place.manifest)?;
    let request = PlanRequest { manifest: Some(place.manifest.display().to_string()) };
    let (report, runs) = match place.client().plan(&request).await {
        Ok(report) => (report, true),
        // All of it would be new.
        Err(ClientError::NothingRunning) => {
            (PlanReport { changes: wire::from_nothing(&parsed.desired) }, false)
        }
        Err(error) => return Err(error.into()),
    };
    if args.json {
        return output::json(&report);
    }
    let mut lines = show::changes::render(&report.changes);
    lines.push(match (runs, report.changes.is_empty()) {
        (false, _) => "Nothing runs: `isles up` starts this.".to_owned(),
        (true, true) => format!(
            "{} {} runs as the manifest says. What services are made of was not looked at: `isles deploy --all` builds it.",
            style::good(Symbols::of_locale().done),
            parsed.desired.name
        ),
        (true, false) => "`isles up` puts this in force.".to_owned(),
    });
    output::lines(&lines)
}

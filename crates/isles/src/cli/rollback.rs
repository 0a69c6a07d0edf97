//! `isles rollback`

use console::api::RollbackRequest;

use super::failure::Failure;
use super::place::{FileArg, Place};
use super::rollout;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: FileArg,
    /// Which service
    #[arg(value_name = "SERVICE")]
    service: String,
    /// A release of `isles releases`, or the beginning of its name; the one before when absent
    #[arg(value_name = "RELEASE")]
    release: Option<String>,
}

pub async fn run(args: Args, before: FileArg) -> Result<(), Failure> {
    let place = Place::find(args.file.or(before))?;
    let client = place.client();
    place.status().await?;
    let begun = client.rollback(&args.service, RollbackRequest { release: args.release }).await?;
    rollout::follow(&client, [(args.service, begun.rollout)].into(), rollout::Asked::Back).await
}

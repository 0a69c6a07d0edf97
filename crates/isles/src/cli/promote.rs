//! `isles promote`

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
}

pub async fn run(args: Args, before: FileArg) -> Result<(), Failure> {
    let place = Place::find(args.file.or(before))?;
    let client = place.client();
    place.status().await?;
    let begun = client.promote(&args.service).await?;
    rollout::follow(&client, [(args.service, begun.rollout)].into(), rollout::Asked::Promote).await
}

//! `isles deploy`

use std::collections::BTreeMap;

use console::api::DeployRequest;

use super::failure::Failure;
use super::place::{FileArg, Place};
use super::rollout;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: FileArg,
    /// Which services
    #[arg(value_name = "SERVICE", required_unless_present = "all", conflicts_with = "all")]
    services: Vec<String>,
    /// Every service; what is unchanged is left alone
    #[arg(long)]
    all: bool,
    /// Stays at the first canary step until `isles promote` or `isles rollback`
    #[arg(long)]
    canary: bool,
    /// Deploys also what the gate refuses
    #[arg(long)]
    force: bool,
}

pub async fn run(args: Args, before: FileArg) -> Result<(), Failure> {
    let place = Place::find(args.file.or(before))?;
    let client = place.client();
    let status = place.status().await?;
    let services =
        if args.all { status.services.iter().map(|s| s.name.clone()).collect() } else { args.services };
    let request = DeployRequest { canary: args.canary, force: args.force };
    let mut begun = BTreeMap::new();
    for service in services {
        let rollout = client.deploy(&service, request).await?.rollout;
        begun.insert(service, rollout);
    }
    rollout::follow(&client, begun, rollout::Asked::Deploy).await
}

//! `isles deploy`

use console::api::DeployRequest;

use super::check;
use super::failure::Failure;
use super::place::{FileArg, Place};
use super::{output, rollout, show};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: FileArg,
    /// Which services, with their settings in the manifest as it is now
    #[arg(value_name = "SERVICE", required_unless_present = "all", conflicts_with = "all")]
    services: Vec<String>,
    /// The whole manifest and every service; what is unchanged is left alone
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
    place.status().await?;
    check::load_manifest(&place.manifest)?;
    let request =
        DeployRequest { services: args.services, canary: args.canary, force: args.force, manifest: None };
    begin(&place, request).await
}

/// Puts the manifest in force and follows what that begins, to its end.
pub async fn begin(place: &Place, request: DeployRequest) -> Result<(), Failure> {
    let client = place.client();
    let request = DeployRequest { manifest: Some(place.manifest.display().to_string()), ..request };
    let deployed = client.deploy(&request).await?;
    output::notes(&show::changes::render(&deployed.changes))?;
    rollout::follow(&client, deployed.rollouts, rollout::Asked::Deploy).await
}

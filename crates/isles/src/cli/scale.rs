//! `isles scale`

use console::api::AppStatus;

use super::failure::Failure;
use super::follow::{self, Progress, Seen};
use super::output;
use super::place::{self, FileArg, Place};
use super::restart::{PATIENCE, conclude, new_failure};

/// By then, in milliseconds, what was asked for shows in the status. If it is another number, the load has asked for that.
const KNOWN: u64 = 2_000;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: FileArg,
    /// Which service
    #[arg(value_name = "SERVICE")]
    service: String,
    /// How many replicas it is to have
    #[arg(value_name = "N")]
    replicas: u32,
}

pub async fn run(args: Args, before: FileArg) -> Result<(), Failure> {
    let place = Place::find(args.file.or(before))?;
    let client = place.client();
    let mut progress = Progress::since(place.status().await?);
    let begun = place::now();
    client.scale(&args.service, args.replicas).await?;
    let services = [args.service];
    let scaled = |now: &AppStatus| now.service(&services[0]).is_some_and(|s| is_scaled(s, args.replicas));
    let failed = |now: &AppStatus| new_failure(now, &services, begun);
    let overtaken = |now: &AppStatus| {
        let service = now.service(&services[0]);
        let other = service.map(|s| s.desired).filter(|desired| *desired != args.replicas);
        other.filter(|_| place::now() > begun + KNOWN)
    };
    let over = |s: &AppStatus| scaled(s) || failed(s) || overtaken(s).is_some();
    let seen = follow::until(&client, &mut progress, Some(PATIENCE), over).await?;
    if let Seen::Reached(status) = &seen
        && let Some(desired) = overtaken(status)
    {
        let text = format!(
            "{} was scaled to {}, and its load has it at {desired} since",
            services[0], args.replicas
        );
        return output::note(text);
    }
    let verb = format!("scaled to {}", args.replicas);
    conclude(seen, &services, scaled, &verb, progress.elapsed())
}

fn is_scaled(service: &console::api::ServiceStatus, wanted: u32) -> bool {
    let running = service.replicas.iter().filter(|r| r.pid.is_some()).count();
    service.desired == wanted && service.ready == wanted && running == wanted as usize
}

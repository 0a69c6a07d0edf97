//! `isles restart`

use std::collections::HashSet;
use std::time::Duration;

use console::api::{AppStatus, ServiceState};

use super::failure::{Exit, Failure};
use super::follow::{self, Progress, Seen};
use super::place::{FileArg, Place};
use super::show::style::{self, Symbols};
use super::{output, place, show};

/// How long new replicas may take to become ready before this command stops to wait for them.
pub const PATIENCE: Duration = Duration::from_secs(180);

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: FileArg,
    /// Which services
    #[arg(value_name = "SERVICE", required = true)]
    services: Vec<String>,
}

pub async fn run(args: Args, before: FileArg) -> Result<(), Failure> {
    let place = Place::find(args.file.or(before))?;
    let client = place.client();
    let status = place.status().await?;
    let old: HashSet<u32> = args
        .services
        .iter()
        .filter_map(|name| status.service(name))
        .flat_map(|service| service.replicas.iter().filter_map(|r| r.pid))
        .collect();
    let mut progress = Progress::since(status).with_builds_of(place.paths.clone());
    let begun = place::now();
    for service in &args.services {
        client.restart(service).await?;
    }
    let replaced = |now: &AppStatus| args.services.iter().all(|name| is_replaced(now, name, &old));
    let failed = |now: &AppStatus| new_failure(now, &args.services, begun);
    let seen = follow::until(&client, &mut progress, Some(PATIENCE), |s| replaced(s) || failed(s)).await?;
    conclude(seen, &args.services, replaced, "restarted", progress.elapsed())
}

/// Says how it ended; `reached` tells success from failure.
pub fn conclude(
    seen: Seen,
    services: &[String],
    reached: impl Fn(&AppStatus) -> bool,
    verb: &str,
    took: u64,
) -> Result<(), Failure> {
    let names: Vec<&str> = services.iter().map(String::as_str).collect();
    let symbols = Symbols::of_locale();
    match seen {
        Seen::Reached(status) if reached(&status) => output::note(format!(
            "{} {} {verb} in {}",
            style::good(symbols.done),
            show::text::list(&names),
            show::text::took(took)
        )),
        Seen::Reached(status) => {
            let failed =
                status.services.iter().filter(|s| s.state.is_failure() && names.contains(&s.name.as_str()));
            let lines: Vec<String> =
                failed.flat_map(|s| show::failure::block(&status, s, place::now(), symbols)).collect();
            output::notes(&lines)?;
            Err(Failure::Silent(Exit::Failed))
        }
        Seen::TimedOut(status) => {
            let open = status.services.iter().filter(|s| names.contains(&s.name.as_str()));
            let why: Vec<String> = open
                .filter(|s| s.state != ServiceState::Ready)
                .map(|s| format!("{} is {}", s.name, show::failure::reason(&status, s, place::now())))
                .collect();
            let why =
                if why.is_empty() { "not every replica is replaced".to_owned() } else { why.join("; ") };
            Err(Failure::failed(format!("{why}, after {}", show::text::took(took)))
                .help("it goes on by itself: `isles ps` shows how far it is"))
        }
        Seen::Gone => Err(Failure::failed("the app stopped meanwhile")),
    }
}

fn is_replaced(status: &AppStatus, name: &str, old: &HashSet<u32>) -> bool {
    status.service(name).is_some_and(|service| {
        let none_left = service.replicas.iter().all(|r| r.pid.is_none_or(|pid| !old.contains(&pid)));
        none_left && service.state.is_settled() && service.ready >= service.desired
    })
}

/// Whether one of these services failed after `begun`; a failure from before is what the restart is to mend.
pub fn new_failure(status: &AppStatus, services: &[String], begun: u64) -> bool {
    let mut failed = status.services.iter().filter(|s| services.contains(&s.name) && s.state.is_failure());
    failed.any(|service| {
        let exits = service.replicas.iter().filter_map(|r| r.last_exit.as_ref());
        service.since >= begun || exits.into_iter().any(|exit| exit.at >= begun)
    })
}

#[cfg(test)]
mod tests {
    use console::api::AppState;

    use super::*;
    use crate::cli::testing::{app, crashing, replica, service};

    #[test]
    fn a_service_is_replaced_once_all_its_old_processes_are_gone() {
        let old: HashSet<u32> = [5_001, 5_002].into();
        let mut orders = service("orders", ServiceState::Ready);
        orders.desired = 2;
        orders.ready = 2;
        for (replicas, expected) in [([1, 2], false), ([2, 3], false), ([3, 4], true)] {
            orders.replicas = replicas.iter().map(|i| replica("orders", *i)).collect();
            let status = app(AppState::Ready, vec![orders.clone()]);
            assert_eq!(is_replaced(&status, "orders", &old), expected, "{replicas:?}");
        }
        orders.state = ServiceState::Starting;
        assert!(!is_replaced(&app(AppState::Starting, vec![orders]), "orders", &old));
    }

    #[test]
    fn only_what_failed_since_then_counts() {
        let status =
            app(AppState::Degraded, vec![crashing("orders"), service("payments", ServiceState::Ready)]);
        let failed = |name: &str, begun| new_failure(&status, &[name.to_owned()], begun);
        assert!(failed("orders", 12_500), "its last process ended at 13,000 ms");
        assert!(!failed("orders", 13_001));
        assert!(!failed("payments", 0));
    }
}

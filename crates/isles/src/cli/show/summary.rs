//! What `isles up` says once nothing more is to be waited for.

use console::api::{AppStatus, ServiceState};

use super::style::{self, Symbols};
use super::text;

/// The lines below the list: how long it took, where to go, how to end it.
pub fn render(status: &AppStatus, took: u64, detached: bool, symbols: Symbols) -> Vec<String> {
    let failed: Vec<&str> =
        status.services.iter().filter(|s| s.state.is_failure()).map(|s| s.name.as_str()).collect();
    let name = style::strong(&status.app);
    let first = if failed.is_empty() {
        format!("{} {name} is ready in {}", style::good(symbols.done), text::took(took))
    } else {
        let all = text::count(status.services.len(), "service");
        let running = status.services.len() - failed.len();
        let down = text::list(&failed);
        format!("{} {name} runs {running} of {all}; {down} failed", style::busy(symbols.warning))
    };
    let mut lines = vec![String::new(), first];
    if let Some(gateway) = &status.gateway {
        lines.push(entry("gateway", &style::note(gateway)));
    }
    if status.console.is_some() {
        lines.push(entry("console", "isles console"));
    }
    for problem in status.problems() {
        lines.push(entry("", &format!("{} {}", style::busy(symbols.warning), text::plain(problem))));
    }
    let replicas: usize = status.services.iter().map(|s| s.ready as usize).sum();
    let asleep = status.services.iter().filter(|s| s.state == ServiceState::Stopped).count();
    let running = status.services.iter().filter(|s| s.ready > 0).count();
    let mut count = format!("{}, {}", text::count(running, "service"), text::count(replicas, "replica"));
    if asleep > 0 {
        count.push_str(&format!(", {asleep} scaled to zero"));
    }
    lines.push(entry("running", &count));
    let stop = if detached { "isles down" } else { "Ctrl-C, or `isles down` elsewhere" };
    lines.push(entry("stop", stop));
    if detached {
        lines.push(entry("logs", "isles logs -f"));
    }
    lines
}

fn entry(name: &str, value: &str) -> String {
    format!("  {} {value}", style::dim(&text::pad(name, 8)))
}

#[cfg(test)]
mod tests {
    use console::api::AppState;

    use super::*;
    use crate::cli::show::failure;
    use crate::cli::show::style::UNICODE;
    use crate::cli::testing::{app, crashing, plain, service};

    #[test]
    fn all_is_well() {
        let services =
            vec![service("orders", ServiceState::Ready), service("reports", ServiceState::Stopped)];
        insta::assert_snapshot!(plain(&render(&app(AppState::Ready, services), 2_149, false, UNICODE)), @r"

        ✓ shop is ready in 2.1 s
          gateway  http://127.0.0.1:8080
          console  isles console
          running  1 service, 1 replica, 1 scaled to zero
          stop     Ctrl-C, or `isles down` elsewhere
        ");
    }

    #[test]
    fn what_failed_is_explained_and_the_rest_is_told() {
        let mut payments = service("payments", ServiceState::BuildFailed);
        payments.detail =
            Some("`cargo build` exited with code 101; see /srv/shop/.isles/build.log".to_owned());
        payments.last_lines = vec!["error[E0425]: cannot find value `x`".to_owned()];
        let status = app(
            AppState::Degraded,
            vec![crashing("inventory"), service("orders", ServiceState::Ready), payments],
        );
        let mut lines = failure::report(&status, 14_000, UNICODE);
        lines.extend(render(&status, 4_000, true, UNICODE));
        insta::assert_snapshot!(plain(&lines), @r"

        ✗ inventory: crash loop: exited with code 3 after 0.2 s (6 restarts, next try in 14.0 s)
           │ reading config
           │ error: DATABASE_URL is not set
           all of its output: `isles logs inventory`

        ✗ payments: build failed: `cargo build` exited with code 101; see .isles/build.log
           │ error[E0425]: cannot find value `x`
           build it again with `isles restart payments`

        ! shop runs 1 of 3 services; inventory and payments failed
          gateway  http://127.0.0.1:8080
          console  isles console
          running  1 service, 1 replica
          stop     isles down
          logs     isles logs -f
        ");
    }
}

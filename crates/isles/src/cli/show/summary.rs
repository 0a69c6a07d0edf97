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
    let mut lines = vec![first];
    if let Some(gateway) = &status.gateway {
        lines.push(entry("gateway", &style::note(gateway)));
    }
    let replicas: usize = status.services.iter().map(|s| s.ready as usize).sum();
    let asleep = status.services.iter().filter(|s| s.state == ServiceState::Stopped).count();
    let mut count =
        format!("{}, {}", text::count(status.services.len(), "service"), text::count(replicas, "replica"));
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

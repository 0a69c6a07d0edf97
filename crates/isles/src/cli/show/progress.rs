//! How far an app is: a list that is drawn again and again on a terminal, a line for each change elsewhere.

use std::collections::HashMap;

use console::api::{AppState, AppStatus, ServiceState, ServiceStatus};

use super::style::{self, Symbols};
use super::text;

/// What a picture of the progress depends on, besides the app's state.
#[derive(Debug, Clone)]
pub struct View<'a> {
    /// Unix milliseconds.
    pub now: u64,
    /// When what is shown began: Unix milliseconds.
    pub begun: u64,
    /// Moves the animation on.
    pub tick: usize,
    /// The terminal's columns.
    pub width: usize,
    /// The terminal's rows.
    pub height: usize,
    /// Signs that the terminal can show.
    pub symbols: Symbols,
    /// The last line that each service wrote.
    pub hints: &'a HashMap<String, String>,
}

/// The list of services with their state.
pub fn render(status: &AppStatus, view: &View) -> Vec<String> {
    let mut lines = vec![heading(status, view)];
    let room = view.height.saturating_sub(3).max(1);
    // When there is no room for all, those that are done have the least to tell.
    let mut services: Vec<&ServiceStatus> = status.services.iter().collect();
    let hidden = services.len().saturating_sub(room);
    if hidden > 0 {
        let mut done: Vec<&str> =
            services.iter().filter(|s| is_done(status, s)).map(|s| s.name.as_str()).collect();
        done.truncate(hidden);
        services.retain(|s| !done.contains(&s.name.as_str()));
        services.truncate(room);
    }
    let name_width = services.iter().map(|s| s.name.len()).max().unwrap_or(0);
    lines.extend(services.iter().map(|service| row(status, service, name_width, view)));
    if hidden > 0 {
        lines.push(style::dim(&format!("   and {} more", text::count(hidden, "service"))));
    }
    lines
}

fn heading(status: &AppStatus, view: &View) -> String {
    let all = status.services.len();
    let elapsed = text::took(view.now.saturating_sub(view.begun));
    let done = status.services.iter().filter(|s| is_done(status, s)).count();
    let what = match status.state {
        AppState::Stopping => format!("stopping, {done} of {} stopped", text::count(all, "service")),
        _ => format!("{done} of {} ready", text::count(all, "service")),
    };
    format!("{} {} {}", style::strong(&status.app), what, style::dim(&elapsed))
}

fn row(status: &AppStatus, service: &ServiceStatus, name_width: usize, view: &View) -> String {
    let stopping = status.state == AppState::Stopping;
    let state = shown_state(status, service);
    let symbol = match (stopping, state) {
        (true, ServiceState::Stopped) => view.symbols.done,
        (true, _) => view.symbols.busy[view.tick % view.symbols.busy.len()],
        (false, _) => view.symbols.of(state, view.tick),
    };
    let label = match (stopping, state) {
        (true, ServiceState::Stopped) => "stopped",
        (true, _) => "stopping",
        (false, _) => style::state_name(state),
    };
    let from = if is_done(status, service) { view.begun } else { service.since.max(view.begun) };
    let until = if is_done(status, service) || state.is_failure() { service.since } else { view.now };
    let time = if state == ServiceState::Waiting || (stopping && state == ServiceState::Stopped) {
        String::new()
    } else {
        text::took(until.saturating_sub(from))
    };
    let head = format!(
        " {symbol} {} {} {}",
        text::pad(&service.name, name_width),
        text::pad(label, 12),
        text::pad(&time, 9)
    );
    let note = text::plain(&note(service, stopping, view));
    let room = view.width.saturating_sub(text::width(&head) + 2);
    let note = text::truncate(&note, room, view.symbols.ellipsis);
    let painted = format!(
        " {} {} {} {}",
        style::state(state, symbol),
        text::pad(&service.name, name_width),
        style::state(state, &text::pad(label, 12)),
        style::dim(&text::pad(&time, 9)),
    );
    if note.is_empty() { painted.trim_end().to_owned() } else { format!("{painted} {}", style::dim(&note)) }
}

/// What stands at the end of a row: why, or what it does right now.
fn note(service: &ServiceStatus, stopping: bool, view: &View) -> String {
    let replicas = if stopping || service.desired < 2 || service.state.is_failure() {
        String::new()
    } else {
        format!("{}/{}", service.ready, service.desired)
    };
    let hint = || view.hints.get(&service.name).cloned().unwrap_or_default();
    let more = match service.state {
        _ if stopping => String::new(),
        ServiceState::Ready | ServiceState::Stopped => String::new(),
        ServiceState::Building | ServiceState::Preparing => service.detail.clone().unwrap_or_else(hint),
        _ => service.detail.clone().unwrap_or_default(),
    };
    [replicas, more].iter().filter(|s| !s.is_empty()).cloned().collect::<Vec<_>>().join("  ")
}

/// One line for each service whose state is not what it was in `before`.
pub fn changes(before: Option<&AppStatus>, after: &AppStatus, begun: u64) -> Vec<String> {
    let mut lines = Vec::new();
    for service in &after.services {
        let state = shown_state(after, service);
        let old = before.and_then(|b| b.service(&service.name).map(|s| shown_state(b, s)));
        let detail = service.detail.as_deref().filter(|_| !state.is_settled());
        if old == Some(state) || state == ServiceState::Waiting {
            continue;
        }
        let label = style::state(state, style::state_name(state));
        let after = match state {
            ServiceState::Ready => format!(" after {}", text::took(service.since.saturating_sub(begun))),
            _ => detail.map(|d| format!(": {}", text::plain(d))).unwrap_or_default(),
        };
        lines.push(format!("{}: {label}{after}", service.name));
    }
    lines
}

/// A service's state, but `stopped` only once its processes are gone when the app stops.
fn shown_state(status: &AppStatus, service: &ServiceStatus) -> ServiceState {
    match status.state {
        AppState::Stopping if service.replicas.iter().all(|r| r.pid.is_none()) => ServiceState::Stopped,
        AppState::Stopping if service.state == ServiceState::Stopped => ServiceState::Degraded,
        _ => service.state,
    }
}

fn is_done(status: &AppStatus, service: &ServiceStatus) -> bool {
    match status.state {
        AppState::Stopping => shown_state(status, service) == ServiceState::Stopped,
        _ => service.state.is_settled(),
    }
}

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
    /// The last line that the build of each service wrote.
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
    lines.extend(rows(status, &services, view));
    if hidden > 0 {
        lines.push(style::dim(&format!("   and {}", text::count(hidden, "more service"))));
    }
    lines
}

/// The list as it stays on the screen once nothing more is to be waited for.
pub fn settled(status: &AppStatus, view: &View) -> Vec<String> {
    rows(status, &status.services.iter().collect::<Vec<_>>(), view)
}

fn rows(status: &AppStatus, services: &[&ServiceStatus], view: &View) -> Vec<String> {
    let name_width = services.iter().map(|s| s.name.len()).max().unwrap_or(0);
    services.iter().map(|service| row(status, service, name_width, view)).collect()
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
    let ending = stopping && state != ServiceState::Stopped;
    let (symbol, label): (_, &str) = match (stopping, ending) {
        (true, true) => (view.symbols.busy[view.tick % view.symbols.busy.len()], "stopping"),
        (true, false) => (view.symbols.done, "stopped"),
        (false, _) => (view.symbols.of(state, view.tick), state.name()),
    };
    let paint = |text: &str| if ending { style::busy(text) } else { style::state(state, text) };
    let time = time(status, service, view);
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
        paint(symbol),
        text::pad(&service.name, name_width),
        paint(&text::pad(label, 12)),
        style::dim(&text::pad(&time, 9)),
    );
    if note.is_empty() { painted.trim_end().to_owned() } else { format!("{painted} {}", style::dim(&note)) }
}

/// How long a service took to come where it is, or has been at it.
fn time(status: &AppStatus, service: &ServiceStatus, view: &View) -> String {
    let arrived = is_done(status, service) || service.state.is_failure();
    match shown_state(status, service) {
        ServiceState::Waiting | ServiceState::Stopped => String::new(),
        // It was there before all this began.
        _ if arrived && service.since < view.begun => String::new(),
        _ if arrived => text::took(service.since - view.begun),
        _ => text::took(view.now.saturating_sub(service.since.max(view.begun))),
    }
}

/// What stands at the end of a row: why, or what it does right now.
fn note(service: &ServiceStatus, stopping: bool, view: &View) -> String {
    let counts =
        matches!(service.state, ServiceState::Starting | ServiceState::Ready | ServiceState::Degraded);
    let replicas = if stopping || service.desired < 2 || !counts {
        String::new()
    } else {
        format!("{}/{}", service.ready, service.desired)
    };
    let hint = || view.hints.get(&service.name).map(|line| line.trim().to_owned()).unwrap_or_default();
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
        let passing = after.state == AppState::Stopping && state != ServiceState::Stopped;
        if old == Some(state) || state == ServiceState::Waiting || passing {
            continue;
        }
        let label = style::state(state, state.name());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::show::style::{ASCII, UNICODE};
    use crate::cli::testing::{app, crashing, plain, replica, service};

    fn mixed() -> AppStatus {
        let mut orders = service("orders", ServiceState::Starting);
        orders.desired = 3;
        orders.replicas.push(replica("orders", 2));
        orders.ready = 1;
        orders.detail = Some("GET /health: connection refused".to_owned());
        let mut payments = service("payments", ServiceState::BuildFailed);
        payments.detail = Some("`cargo build` exited with code 101".to_owned());
        let services = vec![
            service("accounts", ServiceState::Ready),
            service("catalog", ServiceState::Building),
            crashing("inventory"),
            orders,
            payments,
            service("recommendations", ServiceState::Waiting),
            service("reports", ServiceState::Stopped),
        ];
        app(AppState::Degraded, services)
    }

    fn draw(status: &AppStatus, width: usize, height: usize, symbols: Symbols) -> String {
        let hints = [(
            "catalog".to_owned(),
            "   Compiling \u{1b}[32mserde\u{1b}[0m v1.0.228 (a long way to go)".to_owned(),
        )];
        let hints = hints.into();
        let view = View { now: 15_400, begun: 10_000, tick: 0, width, height, symbols, hints: &hints };
        plain(&render(status, &view))
    }

    #[test]
    fn every_state_has_its_row() {
        insta::assert_snapshot!(draw(&mixed(), 80, 24, UNICODE), @r"
        shop 2 of 7 services ready 5.4 s
         ✓ accounts        ready        2.0 s
         ⠋ catalog         building     3.4 s     Compiling serde v1.0.228 (a long way…
         ✗ inventory       crash loop   2.0 s
         ⠋ orders          starting     3.4 s     1/3  GET /health: connection refused
         ✗ payments        build failed 2.0 s     `cargo build` exited with code 101
         · recommendations waiting
         · reports         stopped
        ");
    }

    #[test]
    fn without_utf8_and_without_room() {
        insta::assert_snapshot!(draw(&mixed(), 50, 7, ASCII), @r"
        shop 2 of 7 services ready 5.4 s
         | catalog   building     3.4 s     Compiling se~
         x inventory crash loop   2.0 s
         | orders    starting     3.4 s     1/3  GET /he~
         x payments  build failed 2.0 s     `cargo build~
           and 3 more services
        ");
    }

    #[test]
    fn a_stopping_app_counts_what_is_gone() {
        let mut gone = service("payments", ServiceState::Stopped);
        gone.replicas.clear();
        let status = app(AppState::Stopping, vec![service("orders", ServiceState::Ready), gone]);
        insta::assert_snapshot!(draw(&status, 80, 24, UNICODE), @r"
        shop stopping, 1 of 2 services stopped 5.4 s
         ⠋ orders   stopping     3.4 s
         ✓ payments stopped
        ");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_nor_are_there_more_than_rows() {
        let status = mixed();
        for width in 40..120 {
            for height in 5..12 {
                let drawn = draw(&status, width, height, UNICODE);
                assert!(drawn.lines().all(|line| text::width(line) <= width), "{width}:\n{drawn}");
                assert!(drawn.lines().count() < height, "{height}:\n{drawn}");
            }
        }
    }

    #[test]
    fn without_a_terminal_each_change_is_a_line() {
        let before = app(
            AppState::Starting,
            vec![service("accounts", ServiceState::Starting), service("orders", ServiceState::Waiting)],
        );
        insta::assert_snapshot!(plain(&changes(None, &before, 10_000)), @"accounts: starting");
        insta::assert_snapshot!(plain(&changes(Some(&before), &mixed(), 10_000)), @r"
        accounts: ready after 2.0 s
        catalog: building
        inventory: crash loop
        orders: starting: GET /health: connection refused
        payments: build failed: `cargo build` exited with code 101
        reports: stopped
        ");
        assert_eq!(changes(Some(&before), &before, 10_000), Vec::<String>::new());
        let mut stopping = AppStatus { state: AppState::Stopping, ..mixed() };
        assert_eq!(
            changes(Some(&before), &stopping, 10_000).len(),
            5,
            "those without a process have stopped"
        );
        stopping.services.retain(|s| s.name == "accounts");
        assert_eq!(changes(Some(&mixed()), &stopping, 10_000), Vec::<String>::new(), "it has not ended yet");
    }
}

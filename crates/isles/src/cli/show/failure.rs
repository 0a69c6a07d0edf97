//! Why a service does not run, with what it said last.

use console::api::{AppStatus, ExitStatus, ReplicaStatus, ServiceState, ServiceStatus};

use super::style::{self, Symbols};
use super::text;

/// How many of the last lines are shown.
const LINES: usize = 12;

/// One block for each service that failed; empty when none did.
pub fn report(status: &AppStatus, now: u64, symbols: Symbols) -> Vec<String> {
    let failed = status.services.iter().filter(|s| s.state.is_failure());
    failed.flat_map(|service| block(status, service, now, symbols)).collect()
}

/// Which service failed, why, its last lines, and what to do; set off by an empty line.
pub fn block(status: &AppStatus, service: &ServiceStatus, now: u64, symbols: Symbols) -> Vec<String> {
    let name = style::strong(&service.name);
    let mut lines = vec![
        String::new(),
        format!("{} {name}: {}", style::bad(symbols.failed), reason(status, service, now)),
    ];
    lines.extend(last_lines(service).iter().map(|line| quoted(line, symbols)));
    let next = match service.state {
        ServiceState::BuildFailed => format!("build it again with `isles restart {}`", service.name),
        _ => format!("all of its output: `isles logs {}`", service.name),
    };
    lines.push(format!("   {}", style::dim(&next)));
    lines
}

/// Why a service is not as it should be, in one line. Files below the app's folder are named from there.
pub fn reason(status: &AppStatus, service: &ServiceStatus, now: u64) -> String {
    let mut text = service.state.name().to_owned();
    let exit = newest_exit(service);
    match (&service.detail, exit) {
        (Some(detail), _) => text.push_str(&format!(": {}", local(&text::plain(detail), &status.root))),
        (None, Some((_, exit))) => text.push_str(&format!(": {}", how_it_ended(exit))),
        (None, None) => {}
    }
    if let (ServiceState::CrashLoop, Some((replica, _))) = (service.state, exit) {
        text.push_str(&format!(" ({})", again(replica, now)));
    }
    text
}

/// A text with paths from the app's folder on, so that it stays short.
fn local(text: &str, root: &str) -> String {
    if root.len() > 1 { text.replace(&format!("{root}/"), "") } else { text.to_owned() }
}

/// How a process ended: `exited with code 1 after 0.2 s`.
pub fn how_it_ended(exit: &ExitStatus) -> String {
    let ran = if exit.ran > 0 { format!(" after {}", text::took(exit.ran)) } else { String::new() };
    match (exit.code, exit.signal, &exit.message) {
        (_, _, Some(message)) => text::plain(message),
        (Some(code), _, None) => format!("exited with code {code}{ran}"),
        (None, Some(signal), None) => format!("killed by {}{ran}", signal_name(signal)),
        (None, None, None) => format!("ended{ran}"),
    }
}

/// How often a replica was started, and when it will be again.
pub fn again(replica: &ReplicaStatus, now: u64) -> String {
    let restarts = text::count(replica.restarts as usize, "restart");
    match replica.next_start_at {
        Some(at) if at > now => format!("{restarts}, next try in {}", text::took(at - now)),
        _ => restarts,
    }
}

/// A line of a service's output, set off from our own.
pub fn quoted(line: &str, symbols: Symbols) -> String {
    format!("   {} {}", style::dim(symbols.bar), text::tame(line))
}

/// The last lines of the step or of the process that failed.
pub fn last_lines(service: &ServiceStatus) -> &[String] {
    let lines = if service.last_lines.is_empty() {
        newest_exit(service).map(|(_, exit)| exit.last_lines.as_slice()).unwrap_or_default()
    } else {
        &service.last_lines
    };
    &lines[lines.len().saturating_sub(LINES)..]
}

fn newest_exit(service: &ServiceStatus) -> Option<(&ReplicaStatus, &ExitStatus)> {
    let exits = service.replicas.iter().filter_map(|r| r.last_exit.as_ref().map(|exit| (r, exit)));
    exits.max_by_key(|(_, exit)| exit.at)
}

/// The name of a signal that ends processes; its number for the rest.
fn signal_name(signal: i32) -> String {
    let name = match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL (a bad instruction)",
        6 => "SIGABRT (it aborted itself)",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL (by somebody, or by the kernel for want of memory)",
        11 => "SIGSEGV (a bad memory access)",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        _ => return format!("signal {signal}"),
    };
    name.to_owned()
}

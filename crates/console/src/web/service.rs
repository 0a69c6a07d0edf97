//! One service: its replicas, who calls it and whom it calls, its releases and rollouts, and what can be done with it.

use maud::{Markup, html};

use super::{Fragment, Web, chart, contract, measured, words};
use crate::Refusal;
use crate::api::{
    AppStatus, EdgeTraffic, LogQuery, MetricsQuery, ReleaseInfo, ReplicaStatus, RolloutStatus, ServiceState,
    ServiceStatus,
};

/// Rates and latencies are of the last seconds.
const WINDOW: u64 = 30;
/// Lines of its output that are shown.
const LINES: usize = 40;

/// The address of a service's page.
pub fn path(name: &str) -> String {
    format!("/services/{}", words::segment(name))
}

/// The service of that name.
pub fn find<'s>(status: &'s AppStatus, name: &str) -> Result<&'s ServiceStatus, Refusal> {
    let known = || status.services.iter().map(|service| service.name.as_str());
    status.service(name).ok_or_else(|| Refusal::unknown_service(name, known()))
}

/// How a state is coloured.
pub fn class(state: ServiceState) -> &'static str {
    match state {
        ServiceState::Ready => "ready",
        ServiceState::Degraded => "degraded",
        ServiceState::CrashLoop | ServiceState::BuildFailed => "failed",
        ServiceState::Stopped => "stopped",
        _ => "starting",
    }
}

/// A state in words, with its colour.
pub fn badge(state: ServiceState) -> Markup {
    html! { span class=(format!("badge {}", class(state))) { (state.name()) } }
}

pub async fn fragment(web: &Web, name: &str, window: Option<&str>) -> Result<Fragment, Refusal> {
    let status = web.status();
    let service = find(&status, name)?;
    let traffic = web.platform.traffic(WINDOW);
    let query = LogQuery { services: vec![name.to_owned()], n: LINES, ..LogQuery::default() };
    let (releases, lines) = (web.platform.releases(name).await?, web.platform.recent_logs(&query).await?);
    let usage = web.platform.usage(name, contract::DAYS).await?;
    let seconds = chart::seconds(window);
    let metrics = MetricsQuery { service: Some(name.to_owned()), seconds, points: chart::POINTS };
    let metrics = web.platform.metrics(&metrics).await?;
    let now = words::now();
    let callers = traffic.edges.iter().filter(|edge| edge.callee == name);
    let callees = traffic.edges.iter().filter(|edge| edge.caller.as_deref() == Some(name));
    let live = html! {
        p { (badge(service.state)) " " (service.ready) " of " (service.desired) " replicas ready, release "
            code { (service.release.as_deref().unwrap_or("–")) }
            @if let Some(detail) = &service.detail { ". " (detail) } }
        @if let Some(rollout) = &service.rollout { (rollout_card(rollout, now)) }
        section { h2 { "Calls over time" } (chart::windows(&path(name), seconds)) (chart::charts(&metrics)) }
        section { h2 { "Replicas" } (replicas(&service.replicas, now)) }
        section { h2 { "Called by" } (edges(callers, |edge| edge.caller.as_deref().unwrap_or("gateway").to_owned(), "Caller")) }
        section { h2 { "Calls" } (edges(callees, |edge| edge.callee.clone(), "Callee")) }
        section { h2 { "Releases" } (releases_table(name, &releases, now)) }
        (contract::section(name, &usage, &web.platform.drift(name), now))
        (measured::section(name, &web.platform.measured(name)))
        section { h2 { "Latest output" } (super::logs::lines(&lines, false)) }
    };
    let fixed = html! {
        h1 { (name) }
        (actions(service))
        p.links {
            a href=(format!("/traces?service={}", words::segment(name))) { "Traces" } " "
            a href=(format!("/logs?service={}", words::segment(name))) { "Logs" }
        }
    };
    Ok(Fragment { title: name.to_owned(), fixed, live })
}

fn actions(service: &ServiceStatus) -> Markup {
    let (path, name) = (path(&service.name), &service.name);
    let to = |action: &str| format!("{path}/{action}");
    html! {
        div.actions {
            form method="post" action=(to("deploy")) data-confirm=(format!("Build {name} and roll it out?")) {
                button { "Deploy" }
                label { input type="checkbox" name="canary" value="on"; " as a canary" }
            }
            form method="post" action=(to("promote")) data-confirm=(format!("Take the canary of {name} into charge?")) { button { "Promote" } }
            form method="post" action=(to("rollback")) data-confirm=(format!("Go back to the release of {name} before this one?")) { button { "Roll back" } }
            form method="post" action=(to("restart")) data-confirm=(format!("Replace the replicas of {name} one after the other?")) { button { "Restart" } }
            form method="post" action=(to("scale")) data-confirm=(format!("Change how many replicas {name} has?")) {
                label { "Replicas " input type="number" name="replicas" min="0" max="100" required value=(service.desired); }
                button { "Scale" }
            }
        }
    }
}

fn rollout_card(rollout: &RolloutStatus, now: u64) -> Markup {
    let ended = rollout.outcome.as_deref();
    let class = match ended {
        Some("done" | "unchanged") => "card",
        Some(_) => "card bad",
        None => "card busy",
    };
    html! {
        section class=(class) {
            h2 { "Rollout " (rollout.id) ": " (ended.unwrap_or(&rollout.stage)) }
            p.note {
                (rollout.strategy) " by " (rollout.cause) ", "
                (rollout.from.as_deref().unwrap_or("nothing")) " → " (rollout.to.as_deref().unwrap_or("…")) ", began " (words::ago(rollout.began, now)) " ago"
                @if let Some(share) = rollout.share { ", " (share / 100) " % of the requests" }
                @if rollout.waits { ", waits to be promoted or rolled back" }
            }
            @for reason in &rollout.reasons { p { (reason) } }
            @if !rollout.notes.is_empty() {
                details { summary { "What happened" }
                    ol.plain { @for note in &rollout.notes { li { time { (words::clock(note.at)) } " " (note.text) } } }
                }
            }
            @if !rollout.last_lines.is_empty() { pre { @for line in &rollout.last_lines { (line) "\n" } } }
        }
    }
}

fn replicas(replicas: &[ReplicaStatus], now: u64) -> Markup {
    html! {
        div.wide tabindex="0" { table {
            thead { tr {
                th scope="col" { "Replica" } th scope="col" { "State" } th scope="col" { "Release" } th.number scope="col" { "Process" }
                th scope="col" { "Address" } th.number scope="col" { "Memory" } th.number scope="col" { "Age" } th.number scope="col" { "Restarts" }
            } }
            tbody { @for replica in replicas {
                tr {
                    th scope="row" { (replica.id) }
                    td { (replica.phase) @if let Some(error) = &replica.probe_error { " " span.bad { (words::cut(error, 100)) } } }
                    td { code { (replica.release) } }
                    td.number { (replica.pid.map_or_else(|| "–".to_owned(), |pid| pid.to_string())) }
                    td { code { (replica.address) } }
                    td.number { (replica.memory.map_or_else(|| "–".to_owned(), words::megabytes)) }
                    td.number { (words::ago(replica.started_at, now)) }
                    td.number { (replica.restarts) }
                }
            } }
        } }
    }
}

fn edges<'e>(
    edges: impl Iterator<Item = &'e EdgeTraffic>,
    name: impl Fn(&EdgeTraffic) -> String,
    title: &str,
) -> Markup {
    let edges: Vec<&EdgeTraffic> = edges.collect();
    html! {
        @if edges.is_empty() { p.note { "Nobody." } } @else {
            div.wide tabindex="0" { table {
                thead { tr {
                    th scope="col" { (title) } th.number scope="col" { "Requests" } th.number scope="col" { "Errors" } th.number scope="col" { "p50" }
                    th.number scope="col" { "p90" } th.number scope="col" { "p99" } th.number scope="col" { "In flight" } th scope="col" { "Circuit" }
                    th.number scope="col" { "Retries" }
                } }
                tbody { @for edge in edges {
                    tr {
                        th scope="row" { (name(edge)) }
                        td.number { (words::rate(edge.requests.rate)) }
                        td.number.bad[edge.requests.failed > 0] { (words::share(edge.requests.error_share)) }
                        td.number { (words::maybe_millis(edge.requests.p50_ms)) }
                        td.number { (words::maybe_millis(edge.requests.p90_ms)) }
                        td.number { (words::maybe_millis(edge.requests.p99_ms)) }
                        td.number { (edge.in_flight) }
                        td.bad[edge.circuit != "closed"] { (edge.circuit) }
                        td.number { (edge.total.retries) }
                    }
                } }
            } }
        }
    }
}

fn releases_table(name: &str, releases: &[ReleaseInfo], now: u64) -> Markup {
    html! {
        div.wide tabindex="0" { table {
            thead { tr {
                th scope="col" { "Release" } th scope="col" { "Made" } th.number scope="col" { "Replicas" } th scope="col" { "Rollout" } th scope="col" { "" }
            } }
            tbody { @for release in releases {
                tr {
                    th scope="row" { code { (release.id) } @if release.current { " " span.badge.ready { "in charge" } } }
                    td { (words::ago(release.made_at, now)) " ago" }
                    td.number { (release.replicas) }
                    td { (release.rollout.as_deref().unwrap_or("–")) @if let Some(reason) = &release.reason { ": " (words::cut(reason, 160)) } }
                    td { @if !release.current {
                        form method="post" action=(format!("{}/rollback", path(name))) data-confirm=(format!("Go back to release {}?", release.id)) {
                            input type="hidden" name="release" value=(release.id);
                            button { "Go back to it" }
                        }
                    } }
                }
            } }
        } }
    }
}

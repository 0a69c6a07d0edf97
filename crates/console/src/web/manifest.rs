//! What is declared beside what is observed.

use maud::{Markup, html};

use super::{Fragment, Web, service, words};
use crate::Refusal;
use crate::api::{ChangeInfo, Declared, DeclaredService, EdgeTraffic, PlanRequest, ServiceStatus, Traffic};

/// Rates are of the last seconds.
const WINDOW: u64 = 30;

pub async fn fragment(web: &Web) -> Result<Fragment, Refusal> {
    let (status, traffic, declared) = (web.status(), web.platform.traffic(WINDOW), web.platform.declared());
    let plan = web.platform.plan(PlanRequest::default()).await;
    let fixed = html! {
        h1 { "Manifest" }
        p.note { code { (declared.file) } ": what is in force, and what is so." }
    };
    let live = html! {
        section { h2 { "Not in force yet" }
            @match &plan {
                Ok(plan) if plan.changes.is_empty() => { p.note { "Nothing: the file says what is in force." } }
                Ok(plan) => { (changes(&plan.changes)) }
                Err(refusal) => { p.bad { (refusal.detail) } }
            }
        }
        @for service in &declared.services {
            (one(service, status.service(&service.name), &traffic))
        }
        (outside(&declared, &traffic))
    };
    Ok(Fragment { title: "Manifest".to_owned(), fixed, live })
}

fn changes(changes: &[ChangeInfo]) -> Markup {
    html! {
        p { "The file has changed since. " code { "isles plan" } " tells more, " code { "isles deploy --all" } " puts it in force." }
        ul { @for change in changes { li {
            (change.part) " " @if let Some(name) = &change.name { b { (name) } " " } (change.kind)
            @if !change.keys.is_empty() { ": " (change.keys.join(", ")) }
            " (" (change.effect.replace('_', " ")) ")"
        } } }
    }
}

fn one(declared: &DeclaredService, status: Option<&ServiceStatus>, traffic: &Traffic) -> Markup {
    let in_flight = traffic.services.iter().find(|s| s.service == declared.name).map_or(0, |s| s.in_flight);
    let memory = status.into_iter().flat_map(|s| &s.replicas).filter_map(|r| r.memory).max();
    let over = |most: Option<u64>| memory.zip(most).is_some_and(|(now, most)| now > most);
    html! {
        section { h2 { a href=(service::path(&declared.name)) { (declared.name) } }
            div.wide tabindex="0" { table {
                thead { tr { th scope="col" { "Setting" } th scope="col" { "Declared" } th scope="col" { "Observed" } } }
                tbody {
                    tr { th scope="row" { "scale" } td { (declared.scale) } td { @if let Some(status) = status {
                        (status.ready) " ready of " (status.desired) " wanted " (service::badge(status.state)) } } }
                    tr { th scope="row" { "command" } td { code { (declared.command) } } td { @if let Some(status) = status {
                        "release " code { (status.release.as_deref().unwrap_or("–")) } } } }
                    tr { th scope="row" { "health" } td { (declared.health) } td {
                        @for replica in status.into_iter().flat_map(|s| &s.replicas) {
                            div.bad[replica.probe_error.is_some()] { (replica.id) ": " (replica.probe_error.as_deref().unwrap_or(&replica.phase)) }
                        } } }
                    @for callee in &declared.calls {
                        tr { th scope="row" { "calls" } td { (callee) } td { (calls(traffic, &declared.name, callee)) } }
                    }
                    tr { th scope="row" { "limits.in_flight" } td { (declared.in_flight) } td { (in_flight) " now" } }
                    @if let Some(most) = declared.memory {
                        tr { th scope="row" { "limits.memory" } td { (words::megabytes(most)) }
                            td.bad[over(declared.memory)] { @if let Some(now) = memory { "at most " (words::megabytes(now)) } @else { "–" } } }
                    }
                    @if let Some(contract) = &declared.contract {
                        tr { th scope="row" { "contract" } td { code { (contract) } } td { a href=(format!("{}#contract", service::path(&declared.name))) { "operations and drift" } } }
                    }
                    @if !declared.env.is_empty() {
                        tr { th scope="row" { "env" } td colspan="2" { @for (name, value) in &declared.env { div { code { (name) "=" (words::cut(value, 120)) } } } } }
                    }
                }
            } }
        }
    }
}

/// How it goes between two; what was never called is seen at once.
fn calls(traffic: &Traffic, caller: &str, callee: &str) -> Markup {
    let edge = traffic.edges.iter().find(|e| e.caller.as_deref() == Some(caller) && e.callee == callee);
    rates(edge)
}

fn rates(edge: Option<&EdgeTraffic>) -> Markup {
    html! {
        @match edge {
            Some(edge) if edge.total.requests == 0 => { "not called since the data plane began" }
            Some(edge) => {
                (words::rate(edge.requests.rate)) "/s, " (words::share(edge.requests.error_share)) " failed, p99 " (words::maybe_millis(edge.requests.p99_ms))
                @if edge.circuit != "closed" { " " span.bad { "circuit " (edge.circuit.replace('_', " ")) } }
            }
            None => { span.bad { "there is no such edge" } }
        }
    }
}

fn outside(declared: &Declared, traffic: &Traffic) -> Markup {
    html! {
        @if let Some((listen, routes)) = &declared.gateway {
            section { h2 { "gateway" } p.note { "on " (listen) }
                div.wide tabindex="0" { table {
                    thead { tr { th scope="col" { "Route" } th scope="col" { "Leads to" } th scope="col" { "Calls of the gateway to it" } } }
                    tbody { @for (route, service) in routes {
                        @let edge = traffic.edges.iter().find(|e| e.caller.is_none() && e.callee == *service);
                        tr { th scope="row" { code { (route) } } td { (service) } td { (rates(edge)) } }
                    } }
                } }
            }
        }
        @if !declared.externals.is_empty() {
            section { h2 { "external" } ul { @for (name, url) in &declared.externals { li { b { (name) } " " (url) } } } }
        }
    }
}

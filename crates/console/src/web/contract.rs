//! What a service's contract says and what is really asked and answered: its operations with their callers, and where the two differ.

use maud::{Markup, html};

use super::words;
use crate::api::{DriftFinding, DriftReport, OperationUsage, UsageReport};

/// For so many days back.
pub const DAYS: u64 = 7;

/// Both, or a word where there is neither contract nor call.
pub fn section(service: &str, usage: &UsageReport, drift: &DriftReport, now: u64) -> Markup {
    html! {
        section { h2 { "Operations" }
            @if usage.operations.is_empty() { p.note { "Without a contract, or a call, there is nothing to tell." } } @else {
                p.note { "Who called what in the last " (usage.days) " days." }
                (operations(usage))
            }
            @if !usage.routes.is_empty() { h3 { "Routes of the gateway" } (routes(usage)) }
        }
        section #contract { h2 { "Contract and drift" } (found(service, drift, now)) }
    }
}

fn operations(usage: &UsageReport) -> Markup {
    html! {
        div.wide tabindex="0" { table {
            thead { tr {
                th scope="col" { "Operation" } th scope="col" { "Caller" } th.number scope="col" { "Requests" } th.number scope="col" { "Per hour" }
                th.number scope="col" { "4xx" } th.number scope="col" { "5xx" }
            } }
            tbody { @for operation in &usage.operations { (callers(operation)) } }
        } }
    }
}

fn callers(operation: &OperationUsage) -> Markup {
    let name = operation.operation.as_deref();
    html! {
        @if operation.callers.is_empty() {
            tr { th scope="row" { (name.unwrap_or_default()) } td { "nobody" } @for _ in 0..4 { td {} } }
        }
        @for caller in &operation.callers {
            tr {
                th scope="row" { @if let Some(name) = name { (name) } @else { span.bad { "not in the contract" } } }
                td { (caller.caller.as_deref().unwrap_or("gateway")) }
                td.number { (caller.requests) }
                td.number { (format!("{:.1}", caller.per_hour)) }
                td.number { (caller.refused) }
                td.number.bad[caller.failed > 0] { (caller.failed) }
            }
        }
    }
}

fn routes(usage: &UsageReport) -> Markup {
    html! {
        div.wide tabindex="0" { table {
            thead { tr { th scope="col" { "Route" } th.number scope="col" { "Requests" } th.number scope="col" { "Per hour" } } }
            tbody { @for route in &usage.routes {
                tr {
                    th scope="row" { (route.route) }
                    td.number { @if route.requests == 0 { "nobody" } @else { (route.requests) } }
                    td.number { (format!("{:.1}", route.per_hour)) }
                }
            } }
        } }
    }
}

fn found(service: &str, drift: &DriftReport, now: u64) -> Markup {
    let looked_at: u64 = drift.operations.iter().map(|o| o.looked_at).sum();
    let faulty: u64 = drift.operations.iter().map(|o| o.faulty).sum();
    html! {
        @if drift.release.is_none() { p.note { "It is held to no contract: it has none, or one of protobuf." } } @else {
            @if let Some(why) = &drift.unreadable { p.bad { (why) } }
            p { (looked_at) " requests were looked at, about one of each operation in a second; "
                span.bad[faulty > 0] { (faulty) " were not as the contract says" } "."
                @if drift.missed > 0 { " " (drift.missed) " were missed." } }
            @for why in &drift.unchecked { p.note { "Cannot be checked: " (why) } }
            @for operation in drift.operations.iter().filter(|o| !o.findings.is_empty()) {
                h3 { code { (operation.operation) } }
                ul.plain { @for finding in &operation.findings { (one(service, finding, now)) } }
                @if operation.more > 0 { p.note { "And " (operation.more) " more." } }
            }
            @if !drift.undocumented.is_empty() {
                h3 { "Not in the contract" }
                ul.plain { @for known in &drift.undocumented {
                    li { code { (known.request) } " answered " (known.caller.as_deref().unwrap_or("the gateway")) " with " (known.status) ", "
                        (words::ago(known.last, now)) " ago" }
                } }
            }
        }
    }
}

fn one(service: &str, finding: &DriftFinding, now: u64) -> Markup {
    html! {
        li {
            b { (finding.whose(service)) } ", " (finding.at()) ": " (finding.detail)
            span.note { " (" (finding.count) (if finding.count == 1 { " time" } else { " times" }) ", last " (words::ago(finding.last, now)) " ago)" }
            @if let Some(example) = &finding.example { details { summary { "The body, without its values" } pre { (format!("{example:#}")) } } }
        }
    }
}

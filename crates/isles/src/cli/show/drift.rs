//! How real requests and answers compare with a contract.

use console::api::{DriftFinding, DriftReport, OperationDrift};

use super::{style, text};

/// What was found, an operation after the other, and how much was looked at.
pub fn render(report: &DriftReport, service: &str, now: u64) -> Vec<String> {
    let Some(release) = &report.release else {
        return vec![format!("{service} is held to no contract: it has none, or one of protobuf")];
    };
    if let Some(why) = &report.unreadable {
        return vec![style::bad(&text::tame(why))];
    }
    let mut lines: Vec<String> =
        report.operations.iter().flat_map(|operation| of_operation(operation, service, now)).collect();
    if !report.undocumented.is_empty() {
        lines.push(style::strong("not in the contract"));
        lines.extend(report.undocumented.iter().map(|known| {
            let caller = known.caller.as_deref().unwrap_or("the gateway");
            let ago = text::age(now.saturating_sub(known.last));
            format!("  {} answered {caller} with {}, {ago} ago", text::tame(&known.request), known.status)
        }));
    }
    lines.extend(
        report.unchecked.iter().map(|why| style::dim(&format!("cannot be checked: {}", text::tame(why)))),
    );
    lines.push(summary(report, release));
    lines
}

fn of_operation(drift: &OperationDrift, service: &str, now: u64) -> Vec<String> {
    if drift.findings.is_empty() {
        return Vec::new();
    }
    let of = format!("{} of {} requests", drift.faulty, drift.looked_at);
    let mut lines = vec![format!("{}  {}", style::strong(&text::tame(&drift.operation)), style::dim(&of))];
    for found in &drift.findings {
        lines.extend(of_finding(found, service, now));
    }
    if drift.more > 0 {
        lines.push(format!("  and {} more", drift.more));
    }
    lines
}

fn of_finding(found: &DriftFinding, service: &str, now: u64) -> Vec<String> {
    let (at, detail) = (text::tame(&found.at()), text::tame(&found.detail));
    let times = if found.count == 1 { "once".to_owned() } else { format!("{} times", found.count) };
    let ago = text::age(now.saturating_sub(found.last));
    let whose = found.whose(service);
    let mut lines = vec![format!("  {} {at}: {detail}", style::busy(whose))];
    lines.push(style::dim(&format!("    seen {times}, last {ago} ago")));
    if let Some(example) = &found.example {
        lines.push(style::dim(&format!("    {}", text::tame(&example.to_string()))));
    }
    lines
}

fn summary(report: &DriftReport, release: &str) -> String {
    let looked_at: u64 = report.operations.iter().map(|o| o.looked_at).sum();
    let faulty: u64 = report.operations.iter().map(|o| o.faulty).sum();
    let missed = if report.missed > 0 { format!(", {} missed", report.missed) } else { String::new() };
    let release: String = release.chars().take(8).collect();
    match (looked_at, faulty) {
        (0, _) => format!("nothing was looked at yet for release {release}"),
        (_, 0) => style::good(&format!(
            "{looked_at} requests were as the contract of release {release} says{missed}"
        )),
        _ => format!(
            "{faulty} of {looked_at} requests were not as the contract of release {release} says{missed}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use console::api::Undocumented;

    use super::*;
    use crate::cli::testing::plain;

    fn finding(side: &str, caller: Option<&str>, pointer: Option<&str>, count: u64) -> DriftFinding {
        DriftFinding {
            side: side.to_owned(),
            caller: caller.map(str::to_owned),
            place: if side == "answer" { "answer 200" } else { "request body" }.to_owned(),
            pointer: pointer.map(str::to_owned),
            detail: "the value is not of type \"integer\"".to_owned(),
            count,
            first: 0,
            last: 60_000,
            example: pointer.map(|_| serde_json::json!({ "quantity": "<string of 3>" })),
        }
    }

    #[test]
    fn what_was_found_is_told_with_whose_it_is() {
        let report = DriftReport {
            release: Some("1f0a93c2ab77".to_owned()),
            operations: vec![
                OperationDrift {
                    operation: "POST /orders".to_owned(),
                    looked_at: 40,
                    faulty: 3,
                    more: 2,
                    findings: vec![
                        finding("request", Some("web"), Some("/quantity"), 2),
                        finding("answer", None, None, 1),
                    ],
                },
                OperationDrift {
                    operation: "GET /orders".to_owned(),
                    looked_at: 2,
                    faulty: 0,
                    more: 0,
                    findings: vec![],
                },
            ],
            undocumented: vec![Undocumented {
                request: "GET /debug/{}".to_owned(),
                caller: None,
                status: 200,
                seen: 1,
                last: 0,
            }],
            ..DriftReport::default()
        };
        insta::assert_snapshot!(plain(&render(&report, "orders", 65_000)), @r#"
        POST /orders  3 of 40 requests
          web request body /quantity: the value is not of type "integer"
            seen 2 times, last 5s ago
            {"quantity":"<string of 3>"}
          orders answer 200: the value is not of type "integer"
            seen once, last 5s ago
          and 2 more
        not in the contract
          GET /debug/{} answered the gateway with 200, 1m ago
        3 of 42 requests were not as the contract of release 1f0a93c2 says
        "#);
        let quiet =
            DriftReport { operations: report.operations[1..].to_vec(), undocumented: vec![], ..report };
        insta::assert_snapshot!(plain(&render(&quiet, "orders", 65_000)), @"2 requests were as the contract of release 1f0a93c2 says");
        let none = DriftReport { operations: vec![], ..quiet };
        insta::assert_snapshot!(plain(&render(&none, "orders", 65_000)), @"nothing was looked at yet for release 1f0a93c2");
        insta::assert_snapshot!(plain(&render(&DriftReport::default(), "orders", 65_000)), @"orders is held to no contract: it has none, or one of protobuf");
    }
}

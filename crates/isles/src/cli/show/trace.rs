//! Traces: one line for each, and one as a waterfall.

use std::collections::{BTreeMap, HashSet};

use console::api::{Span, Spans};
use model::span::Value;

use super::table::{self, Cell, Column, Row};
use super::{style, text, traffic};

/// The narrowest and the widest that bars are, in columns.
const BARS: (usize, usize) = (20, 80);
/// The longest request line in a waterfall.
const REQUEST: usize = 48;

/// Spans of one trace, by when they began.
pub type Trace<'s> = Vec<&'s Span>;

/// The spans as traces, the one that began last first.
pub fn traces(spans: &Spans) -> Vec<Trace<'_>> {
    let mut by_id = BTreeMap::<&str, Trace<'_>>::new();
    for span in &spans.spans {
        by_id.entry(&span.trace).or_default().push(span);
    }
    let mut traces: Vec<Trace<'_>> = by_id.into_values().collect();
    for trace in &mut traces {
        // Of those that began in one millisecond the longer one is around the others.
        trace.sort_by(|a, b| {
            (a.start, b.duration_ms).partial_cmp(&(b.start, a.duration_ms)).unwrap_or(a.start.cmp(&b.start))
        });
    }
    traces.sort_by_key(|trace| std::cmp::Reverse(trace.first().map(|span| span.start)));
    traces
}

/// A line for each trace.
pub fn list(traces: &[Trace<'_>], now: u64, width: usize) -> Vec<String> {
    let column = |title, right, expendable| Column { title, right, expendable };
    let columns = [
        column("TRACE", false, 0),
        column("AGE", true, 3),
        column("TOOK", true, 0),
        column("STATUS", false, 0),
        column("REQUEST", false, 0),
        column("TO", false, 1),
        column("KEPT", false, 4),
    ];
    let row = |trace: &Trace<'_>| {
        let first = trace.first()?;
        let mut services: Vec<&str> = Vec::new();
        for span in trace {
            if !services.contains(&span.callee.as_str()) {
                services.push(&span.callee);
            }
        }
        let failed = trace.iter().any(|span| span.kept == "failed");
        let paint = if failed { style::bad } else { style::good };
        let cells = vec![
            Cell::plain(&first.trace),
            Cell::plain(text::age(now.saturating_sub(first.start))),
            Cell::plain(traffic::latency(first.duration_ms)),
            Cell::painted(status(first), paint),
            Cell::plain(request(first)),
            Cell::plain(services.join(", ")),
            Cell::plain(&first.kept),
        ];
        Some(Row { cells, below: vec![] })
    };
    let rows: Vec<Row> = traces.iter().filter_map(row).collect();
    table::render(&columns, &rows, width)
}

/// One trace, each span below the one that it is a part of, with a bar for its time.
pub fn waterfall(trace: &Trace<'_>, width: usize) -> Vec<String> {
    let Some(first) = trace.first() else { return Vec::new() };
    let begin = first.start as f64;
    let end = trace.iter().map(|span| span.start as f64 + span.duration_ms).fold(begin, f64::max);
    let whole = (end - begin).max(0.001);
    let lines: Vec<(String, String, &Span)> = order(trace)
        .into_iter()
        .map(|(depth, span)| {
            let caller = span.caller.as_deref().unwrap_or("gateway");
            (format!("{}{caller} → {}", "  ".repeat(depth), span.callee), request(span), span)
        })
        .collect();
    let names = lines.iter().map(|(name, ..)| text::width(name)).max().unwrap_or(0);
    let requests = lines.iter().map(|(_, request, _)| text::width(request)).max().unwrap_or(0);
    // What is beside the bars: status, time, and the gaps.
    let bars = width.saturating_sub(names + requests + 26).clamp(BARS.0, BARS.1);
    let title = format!("trace {}, {}", first.trace, text::count(trace.len(), "request"));
    let mut out = vec![format!("{title}, {}", traffic::latency(end - begin)), String::new()];
    for (name, request, span) in &lines {
        let bar = bar((span.start as f64 - begin) / whole, span.duration_ms / whole, bars);
        let failed = span.kept == "failed";
        let paint = if failed { style::bad } else { style::note };
        let pad = |text: &str, width: usize| {
            format!("{text}{}", " ".repeat(width.saturating_sub(text::width(text))))
        };
        let line = format!(
            "{}  {}  {}  {}  {:>8}",
            pad(name, names),
            pad(request, requests),
            pad(&status(span), 6),
            paint(&bar),
            traffic::latency(span.duration_ms)
        );
        out.push(line.trim_end().to_owned());
        for attempt in &span.failed_attempts {
            let what = text::plain(&attempt.outcome);
            let line = format!(
                "{}  after {}: {} of {}: {what}",
                " ".repeat(4),
                traffic::latency(attempt.at_ms),
                attempt.replica,
                attempt.release
            );
            out.push(style::dim(&line));
        }
    }
    out
}

/// Every span with its depth, parents before what belongs to them.
fn order<'s>(trace: &Trace<'s>) -> Vec<(usize, &'s Span)> {
    let ids: HashSet<&str> = trace.iter().map(|span| span.id.as_str()).collect();
    // A service that makes spans of its own is the parent of its calls, and not known here: then the call that made it act is.
    let parent = |span: &Span| -> Option<&'s str> {
        if let Some(known) = span.parent.as_deref().filter(|id| ids.contains(id) && *id != span.id) {
            return trace.iter().find(|other| other.id == known).map(|other| other.id.as_str());
        }
        let caller = span.caller.as_deref()?;
        let acted =
            |other: &&&'s Span| other.callee == caller && other.start <= span.start && other.id != span.id;
        trace.iter().rev().find(acted).map(|other| other.id.as_str())
    };
    let mut children = BTreeMap::<Option<&str>, Vec<&'s Span>>::new();
    for span in trace {
        children.entry(parent(span)).or_default().push(span);
    }
    let mut out: Vec<(usize, &'s Span)> = Vec::new();
    let mut stack: Vec<(usize, &'s Span)> = Vec::new();
    let push = |stack: &mut Vec<_>, of: Option<&str>, depth| {
        stack.extend(children.get(&of).into_iter().flatten().rev().map(|span| (depth, *span)));
    };
    push(&mut stack, None, 0);
    while let Some((depth, span)) = stack.pop() {
        out.push((depth, span));
        push(&mut stack, Some(&span.id), depth + 1);
    }
    // Whoever is their own ancestor has no place above.
    let shown: HashSet<&str> = out.iter().map(|(_, span)| span.id.as_str()).collect();
    out.extend(trace.iter().filter(|span| !shown.contains(span.id.as_str())).map(|span| (0, *span)));
    out
}

/// A bar of a part of the whole, both from 0 to 1; at least one column.
fn bar(from: f64, part: f64, width: usize) -> String {
    let columns = |share: f64| (share.clamp(0.0, 1.0) * width as f64).round() as usize;
    let start = columns(from).min(width - 1);
    let length = columns(part).clamp(1, width - start);
    format!("{}{}{}", " ".repeat(start), "▬".repeat(length), " ".repeat(width - start - length))
}

fn request(span: &Span) -> String {
    let method = attribute(span, "http.request.method").unwrap_or_default();
    let line = text::plain(&format!("{method} {}", attribute(span, "url.path").unwrap_or_default()));
    match line.char_indices().nth(REQUEST) {
        Some((cut, _)) => format!("{}…", &line[..cut]),
        None => line,
    }
}

/// The status of HTTP, or why there is none.
fn status(span: &Span) -> String {
    let code = attribute(span, "http.response.status_code");
    match attribute(span, "isles.cancelled") {
        Some(_) => "left".to_owned(),
        None => code.or_else(|| attribute(span, "error.type")).unwrap_or_else(|| "-".to_owned()),
    }
}

fn attribute(span: &Span, name: &str) -> Option<String> {
    Some(match span.attributes.get(name)? {
        Value::Int(number) => number.to_string(),
        Value::Text(text) => text.clone(),
        Value::Bool(yes) => yes.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use console::api::FailedAttempt;

    use super::*;
    use crate::cli::testing::plain;

    fn span(
        trace: &str,
        id: &str,
        parent: Option<&str>,
        way: (Option<&str>, &str),
        time: (u64, f64),
        status: i64,
    ) -> Span {
        Span {
            trace: trace.to_owned(),
            id: id.to_owned(),
            parent: parent.map(str::to_owned),
            start: time.0,
            duration_ms: time.1,
            head_ms: None,
            kept: if status >= 500 { "failed" } else { "sampled" }.to_owned(),
            caller: way.0.map(str::to_owned),
            callee: way.1.to_owned(),
            attributes: [
                ("http.request.method".to_owned(), Value::Text("POST".to_owned())),
                ("url.path".to_owned(), Value::Text(format!("/{}", way.1))),
                ("http.response.status_code".to_owned(), Value::Int(status)),
            ]
            .into(),
            failed_attempts: vec![],
        }
    }

    fn checkout() -> Spans {
        let mut payment = span("t1", "d", Some("own"), (Some("orders"), "payments"), (1_060, 40.0), 503);
        payment.failed_attempts.push(FailedAttempt {
            at_ms: 0.4,
            replica: "payments-1".to_owned(),
            release: "abc".to_owned(),
            outcome: "unreachable".to_owned(),
        });
        let spans = vec![
            payment,
            span("t1", "c", Some("b"), (Some("orders"), "inventory"), (1_010, 20.0), 200),
            span("t1", "b", Some("a"), (Some("storefront"), "orders"), (1_005, 97.0), 502),
            span("t1", "a", None, (None, "storefront"), (1_000, 110.0), 502),
            span("t2", "z", None, (None, "catalog"), (3_000, 2.0), 200),
        ];
        Spans { spans, dropped: 0 }
    }

    #[test]
    fn each_trace_is_a_line() {
        let spans = checkout();
        insta::assert_snapshot!(plain(&list(&traces(&spans), 5_000, 100)), @r#"
        TRACE  AGE   TOOK  STATUS  REQUEST           TO                                       KEPT
        t2      2s  2.0ms  200     POST /catalog     catalog                                  sampled
        t1      4s  110ms  502     POST /storefront  storefront, orders, inventory, payments  failed
        "#);
    }

    #[test]
    fn a_trace_is_a_waterfall() {
        let spans = checkout();
        insta::assert_snapshot!(plain(&waterfall(&traces(&spans)[1], 100)), @r#"
        trace t1, 4 requests, 110ms

        gateway → storefront    POST /storefront  502     ▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬     110ms
          storefront → orders   POST /orders      502       ▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬        97ms
            orders → inventory  POST /inventory   200        ▬▬▬▬▬▬▬                                20ms
            orders → payments   POST /payments    503                         ▬▬▬▬▬▬▬▬▬▬▬▬▬         40ms
              after 0.4ms: payments-1 of abc: unreachable
        "#);
    }

    #[test]
    fn spans_that_are_each_others_parents_are_all_shown() {
        let spans = Spans {
            spans: vec![
                span("t", "a", Some("b"), (None, "x"), (1, 1.0), 200),
                span("t", "b", Some("a"), (Some("x"), "y"), (1, 1.0), 200),
            ],
            dropped: 0,
        };
        assert_eq!(waterfall(&traces(&spans)[0], 80).len(), 4);
        assert!(waterfall(&Vec::new(), 80).is_empty());
    }

    #[test]
    fn a_bar_is_within_its_width() {
        for (from, part) in [(0.0, 1.0), (0.999, 0.0), (1.0, 1.0), (0.5, 2.0), (f64::NAN, 0.1)] {
            assert_eq!(text::width(&bar(from, part, 20)), 20, "{from} {part}");
        }
    }
}

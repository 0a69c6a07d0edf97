//! Traces: one line for each, and one as a waterfall.

use console::api::Span;
use console::trace::{Trace, status, who};

use super::table::{self, Cell, Column, Row};
use super::{style, text, traffic};

/// The narrowest and the widest that bars are, in columns.
const BARS: (usize, usize) = (20, 80);
/// The longest request line in a waterfall.
const REQUEST: usize = 48;

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
        let first = trace.spans.first()?;
        let mut services: Vec<&str> = Vec::new();
        for span in &trace.spans {
            if !services.contains(&span.callee.as_str()) {
                services.push(&span.callee);
            }
        }
        let paint = if trace.failed() { style::bad } else { style::good };
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
    let Some(first) = trace.spans.first() else { return Vec::new() };
    let whole = trace.took();
    let lines: Vec<(String, String, &Span)> = trace
        .tree()
        .into_iter()
        .map(|(depth, span)| {
            let name = match who(span) {
                (Some(caller), callee) => format!("{caller} → {callee}"),
                (None, service) => service.to_owned(),
            };
            (format!("{}{name}", "  ".repeat(depth)), request(span), span)
        })
        .collect();
    let names = lines.iter().map(|(name, ..)| text::width(name)).max().unwrap_or(0);
    let requests = lines.iter().map(|(_, request, _)| text::width(request)).max().unwrap_or(0);
    // What is beside the bars: status, time, and the gaps.
    let bars = width.saturating_sub(names + requests + 26).clamp(BARS.0, BARS.1);
    let title = format!("trace {}, {}", first.trace, text::count(trace.spans.len(), "span"));
    let mut out = vec![format!("{title}, {}", traffic::latency(whole)), String::new()];
    for (name, request, span) in &lines {
        let bar = bar(trace.offset(span) / whole, span.duration_ms / whole, bars);
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
        for line in notes(span) {
            out.push(style::dim(&format!("{}  {line}", " ".repeat(4))));
        }
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

/// What a service says of its own work: why it failed, and what happened meanwhile.
fn notes(span: &Span) -> Vec<String> {
    let message = span.message.iter().map(|message| text::plain(message));
    let events = span.events.iter().map(|event| {
        let value = |name| event.attributes.get(name).map(ToString::to_string);
        let words = [Some(event.name.clone()), value("exception.type"), value("exception.message")];
        let words: Vec<String> = words.into_iter().flatten().collect();
        format!("after {}: {}", traffic::latency(event.at_ms), text::plain(&words.join(": ")))
    });
    message.chain(events).collect()
}

/// A bar of a part of the whole, both from 0 to 1; at least one column.
fn bar(from: f64, part: f64, width: usize) -> String {
    let columns = |share: f64| (share.clamp(0.0, 1.0) * width as f64).round() as usize;
    let start = columns(from).min(width - 1);
    let length = columns(part).clamp(1, width - start);
    format!("{}{}{}", " ".repeat(start), "▬".repeat(length), " ".repeat(width - start - length))
}

/// The beginning of the request line.
fn request(span: &Span) -> String {
    let line = text::plain(&console::trace::request(span));
    match line.char_indices().nth(REQUEST) {
        Some((cut, _)) => format!("{}…", &line[..cut]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use console::api::{FailedAttempt, SpanEvent, Spans};
    use console::trace::traces;
    use model::span::Value;

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
            start_us: time.0 * 1000,
            duration_ms: time.1,
            kept: if status >= 500 { "failed" } else { "sampled" }.to_owned(),
            caller: way.0.map(str::to_owned),
            callee: way.1.to_owned(),
            attributes: [
                ("http.request.method".to_owned(), Value::Text("POST".to_owned())),
                ("url.path".to_owned(), Value::Text(format!("/{}", way.1))),
                ("http.response.status_code".to_owned(), Value::Int(status)),
            ]
            .into(),
            ..Span::default()
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
        Spans { spans, ..Spans::default() }
    }

    #[test]
    fn each_trace_is_a_line() {
        let spans = checkout();
        insta::assert_snapshot!(plain(&list(&traces(&spans.spans), 5_000, 100)), @r#"
        TRACE  AGE   TOOK  STATUS  REQUEST           TO                                       KEPT
        t2      2s  2.0ms  200     POST /catalog     catalog                                  sampled
        t1      4s  110ms  502     POST /storefront  storefront, orders, inventory, payments  failed
        "#);
    }

    #[test]
    fn a_trace_is_a_waterfall() {
        let spans = checkout();
        insta::assert_snapshot!(plain(&waterfall(&traces(&spans.spans)[1], 100)), @r#"
        trace t1, 4 spans, 110ms

        gateway → storefront    POST /storefront  502     ▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬     110ms
          storefront → orders   POST /orders      502       ▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬        97ms
            orders → inventory  POST /inventory   200        ▬▬▬▬▬▬▬                                20ms
            orders → payments   POST /payments    503                         ▬▬▬▬▬▬▬▬▬▬▬▬▬         40ms
              after 0.4ms: payments-1 of abc: unreachable
        "#);
    }

    #[test]
    fn what_services_tell_of_their_own_work_is_between_their_calls() {
        let mut spans = checkout();
        let exception = [("exception.message".to_owned(), Value::Text("card declined".to_owned()))].into();
        spans.spans.push(Span {
            name: Some("charge card".to_owned()),
            message: Some("no money".to_owned()),
            events: vec![SpanEvent { at_ms: 41.0, name: "exception".to_owned(), attributes: exception }],
            ..span("t1", "own", Some("b"), (None, "orders"), (1_055, 46.0), 500)
        });
        insta::assert_snapshot!(plain(&waterfall(&traces(&spans.spans)[1], 100)), @r#"
        trace t1, 5 spans, 110ms

        gateway → storefront     POST /storefront  502     ▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬     110ms
          storefront → orders    POST /orders      502       ▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬        97ms
            orders → inventory   POST /inventory   200        ▬▬▬▬▬▬                                20ms
            orders               charge card       failed                    ▬▬▬▬▬▬▬▬▬▬▬▬▬▬▬        46ms
              no money
              after 41ms: exception: card declined
              orders → payments  POST /payments    503                        ▬▬▬▬▬▬▬▬▬▬▬▬▬         40ms
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
            ..Spans::default()
        };
        assert_eq!(waterfall(&traces(&spans.spans)[0], 80).len(), 4);
        assert!(waterfall(&Trace { spans: vec![] }, 80).is_empty());
    }

    #[test]
    fn a_bar_is_within_its_width() {
        for (from, part) in [(0.0, 1.0), (0.999, 0.0), (1.0, 1.0), (0.5, 2.0), (f64::NAN, 0.1)] {
            assert_eq!(text::width(&bar(from, part, 20)), 20, "{from} {part}");
        }
    }
}

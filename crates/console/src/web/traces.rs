//! Requests from outside with all the calls that were made because of them.

use std::collections::HashSet;

use maud::{Markup, html};
use serde::Deserialize;

use super::{Fragment, Web, words};
use crate::Refusal;
use crate::api::{LogQuery, SpanQuery};
use crate::trace::{Trace, attribute, request, status, traces, who};

/// Spans that are looked through.
const READ: usize = 4096;
/// Lines of output that are shown of a trace.
const LINES: usize = 500;
/// Traces in the list.
const LISTED: usize = 100;
/// Dots that are drawn, and how large a place is that has one of them: the page stays small however many there are.
const DRAWN: usize = 400;
const PLACE: f64 = 5.0;
const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 180.0;

/// Which traces.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Filter {
    #[serde(default)]
    service: String,
    /// Present when only those with a failure are wanted.
    #[serde(default)]
    errors: Option<String>,
    /// Milliseconds that they took at least; a text, since a field that was left empty is sent too.
    #[serde(default)]
    slow: String,
    /// Words to look for.
    #[serde(default)]
    text: String,
}

pub async fn list(web: &Web, filter: &Filter) -> Result<Fragment, Refusal> {
    let slower_than_ms = filter.slow.trim().parse().unwrap_or(0);
    let query = SpanQuery {
        trace: None,
        service: Some(filter.service.clone()).filter(|s| !s.is_empty()),
        errors: filter.errors.is_some(),
        slower_than_ms,
        text: filter.text.clone(),
        n: READ,
    };
    let found = web.platform.spans(&query).await?;
    let traces = traces(&found.spans);
    let now = words::now();
    let live = html! {
        @if found.left_out > 0 { p.note { (found.left_out) " spans that services sent were not kept, since enough of their kind were" } }
        @if found.dropped > 0 { p.some { (found.dropped) " spans were lost, since too many came at once" } }
        @if traces.is_empty() { p.note { "No request was kept that is like this. Failed and slow ones always are, of the others a sample." } }
        @else { (scatter(&traces)) (table(traces.get(..LISTED).unwrap_or(&traces), now)) }
    };
    let services = web.status();
    let fixed = html! {
        h1 { "Traces" }
        form.filter method="get" action="/traces" role="search" {
            label { "Service " select name="service" {
                option value="" { "all" }
                @for service in &services.services { option value=(service.name) selected[service.name == filter.service] { (service.name) } }
            } }
            label { "Slower than " input type="number" name="slow" min="0" value=(filter.slow); " ms" }
            label { "Words " input type="search" name="text" value=(filter.text) placeholder="order.id=42"; }
            label { input type="checkbox" name="errors" value="on" checked[filter.errors.is_some()]; " only failed" }
            button { "Search" }
        }
    };
    Ok(Fragment { title: "Traces".to_owned(), fixed, live })
}

/// Each trace as a dot: when it began, and how long it took, on a logarithmic scale.
fn scatter(traces: &[Trace<'_>]) -> Markup {
    let (first, last) = traces.iter().fold((u64::MAX, 0), |(a, b), t| (a.min(t.start()), b.max(t.start())));
    let longest = traces.iter().map(Trace::took).fold(10.0, f64::max);
    let (wide, high) = ((last.saturating_sub(first)).max(1) as f64, (1.0 + longest).ln());
    let place = |trace: &Trace<'_>| {
        let x = 50.0 + (trace.start() - first) as f64 / wide * (WIDTH - 70.0);
        let y = HEIGHT - 20.0 - (1.0 + trace.took()).ln() / high * (HEIGHT - 40.0);
        (x, y)
    };
    let dots = thinned(traces, &place);
    let lines = [1.0, 10.0, 100.0, 1_000.0, 10_000.0].into_iter().filter(|ms| *ms <= longest * 1.2);
    html! {
        div.wide tabindex="0" { svg.scatter viewBox=(format!("0 0 {WIDTH:.0} {HEIGHT:.0}")) role="group" aria-label="When requests came and how long they took" {
            @for ms in lines {
                @let y = format!("{:.1}", HEIGHT - 20.0 - (1.0 + ms).ln() / high * (HEIGHT - 40.0));
                line.grid x1="50" x2=(format!("{:.0}", WIDTH - 10.0)) y1=(y) y2=(y) {}
                text.below x="45" y=(y) text-anchor="end" dominant-baseline="middle" { (words::millis(ms)) }
            }
            text.below x="50" y=(format!("{:.0}", HEIGHT - 4.0)) { (words::clock(first)) }
            text.below x=(format!("{:.0}", WIDTH - 10.0)) y=(format!("{:.0}", HEIGHT - 4.0)) text-anchor="end" { (words::clock(last)) }
            @for trace in dots {
                @if let Some(span) = trace.spans.first() {
                    @let (x, y) = place(trace);
                    @let (x, y) = (format!("{x:.1}"), format!("{y:.1}"));
                    a href=(format!("/traces/{}", span.trace)) {
                        circle class=(if trace.failed() { "dot bad" } else { "dot good" }) cx=(x) cy=(y) r="3.5" {
                            title { (request(span)) ", " (words::millis(trace.took())) }
                        }
                    }
                }
            }
        } }
    }
}

/// One for each place that something is at, those with a failure and then the latest first.
fn thinned<'t, 's>(traces: &'t [Trace<'s>], place: &dyn Fn(&Trace<'_>) -> (f64, f64)) -> Vec<&'t Trace<'s>> {
    let mut taken = HashSet::new();
    let (failed, rest): (Vec<_>, Vec<_>) = traces.iter().partition(|trace| trace.failed());
    let mut dots: Vec<&Trace<'_>> = failed.into_iter().chain(rest).collect();
    dots.retain(|trace| {
        let (x, y) = place(trace);
        taken.insert(((x / PLACE) as i64, (y / PLACE) as i64))
    });
    dots.truncate(DRAWN);
    dots
}

fn table(traces: &[Trace<'_>], now: u64) -> Markup {
    html! {
        div.wide tabindex="0" { table {
            thead { tr {
                th scope="col" { "Request" } th scope="col" { "To" } th.number scope="col" { "Status" } th.number scope="col" { "Took" }
                th.number scope="col" { "Spans" } th.number scope="col" { "Age" } th scope="col" { "Kept" }
            } }
            tbody { @for trace in traces { @if let Some(span) = trace.spans.first() {
                tr {
                    th scope="row" { a href=(format!("/traces/{}", span.trace)) { (words::cut(&request(span), 70)) } }
                    td { (span.callee) }
                    td.number.bad[trace.failed()] { (status(span)) }
                    td.number { (words::millis(trace.took())) }
                    td.number { (trace.spans.len()) }
                    td.number { (words::ago(span.start, now)) }
                    td { (span.kept) }
                }
            } } }
        } }
    }
}

/// The trace's name, as services write it.
fn span_trace(trace: &Trace<'_>) -> String {
    trace.spans.first().map(|span| span.trace.clone()).unwrap_or_default()
}

/// A trace as a waterfall, and the lines of output that name it.
pub async fn one(web: &Web, id: &str) -> Result<Fragment, Refusal> {
    let trace =
        id.parse().map_err(|e| Refusal { code: "bad_trace", detail: format!("trace: {e}"), status: 400 })?;
    let query = SpanQuery { trace: Some(trace), n: READ, ..SpanQuery::default() };
    let found = web.platform.spans(&query).await?;
    let traces = traces(&found.spans);
    let Some(trace) = traces.first() else {
        let detail = format!("no request of the trace {id} is kept any more");
        return Err(Refusal { code: "unknown_trace", detail, status: 404 });
    };
    let whole = trace.took();
    let query = LogQuery { text: span_trace(trace), n: LINES, ..LogQuery::default() };
    let written = web.platform.recent_logs(&query).await?;
    let fixed = html! {
        h1 { "Trace " code { (id) } }
        p.note { (words::clock(trace.start())) " UTC, " (trace.spans.len()) @if trace.spans.len() == 1 { " span, " } @else { " spans, " } (words::millis(whole)) }
    };
    let live = html! {
        div.waterfall role="list" {
            @for (depth, span) in trace.tree() {
                @let from = trace.offset(span) / whole * 100.0;
                @let length = (span.duration_ms / whole * 100.0).max(0.4);
                div.span role="listitem" {
                    div.who {
                        @for _ in 0..depth { span.step { "· " } }
                        @match who(span) {
                            (Some(caller), callee) => { (caller) " → " b { (callee) } }
                            (None, service) => { (service) }
                        }
                    }
                    div.what title=(request(span)) { (words::cut(&request(span), 60)) }
                    div.number.bad[span.kept == "failed"] { (status(span)) }
                    svg.bar viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true" {
                        rect class=(if span.kept == "failed" { "bad" } else { "good" }) x=(format!("{from:.2}")) y="1" width=(format!("{length:.2}")) height="8" {}
                    }
                    div.number { (words::millis(span.duration_ms)) }
                    details { summary { "Details" }
                        dl { @for (name, _) in &span.attributes {
                            dt { (name) } dd { (attribute(span, name).unwrap_or_default()) }
                        } }
                        @if let Some(message) = &span.message { p.bad { (message) } }
                        @for event in &span.events {
                            p { "after " (words::millis(event.at_ms)) ": " (event.name) }
                            dl { @for (name, value) in &event.attributes { dt { (name) } dd { (value) } } }
                        }
                        @for attempt in &span.failed_attempts {
                            p.bad { "after " (words::millis(attempt.at_ms)) ": " (attempt.replica) " of " (attempt.release) ": " (attempt.outcome) }
                        }
                    }
                }
            }
        }
        @if !written.is_empty() { section { h2 { "What services wrote" } (super::logs::lines(&written, true)) } }
    };
    Ok(Fragment { title: format!("Trace {id}"), fixed, live })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Span;

    #[test]
    fn however_many_traces_there_are_few_dots_are_drawn_and_failures_among_them() {
        let span = |n: u64| Span {
            trace: format!("{n:032x}"),
            start: n / 10,
            start_us: n * 100,
            duration_ms: (n % 97) as f64,
            kept: if n == 77 { "failed" } else { "sampled" }.to_owned(),
            ..Span::default()
        };
        let spans: Vec<Span> = (1..=5_000).map(span).collect();
        let drawn = scatter(&traces(&spans)).into_string();
        let count = drawn.matches("<circle").count();
        assert!((100..=DRAWN).contains(&count), "{count}");
        assert_eq!(drawn.matches("dot bad").count(), 1);
        assert!(drawn.contains(&format!("/traces/{:032x}", 77)) && drawn.len() < 100_000, "{}", drawn.len());
        let few: Vec<Span> = (1..=3).map(|n| span(n * 1_000)).collect();
        assert_eq!(scatter(&traces(&few)).into_string().matches("<circle").count(), 3);
    }
}

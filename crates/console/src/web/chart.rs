//! Rate, errors and duration of a service's calls over time, as drawings.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::words;
use crate::api::{MetricPoint, MetricsReport};

const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 120.0;
/// Points of a drawing.
pub const POINTS: u64 = 150;

/// How far back is drawn: the value in the address, in words, and in seconds.
pub const WINDOWS: [(&str, &str, u64); 4] = [
    ("5m", "5 minutes", 300),
    ("1h", "an hour", 3_600),
    ("1d", "a day", 86_400),
    ("30d", "30 days", 30 * 86_400),
];

/// The seconds of a window that is asked for; an hour when none is.
pub fn seconds(window: Option<&str>) -> u64 {
    WINDOWS.iter().find(|(value, ..)| Some(*value) == window).map_or(3_600, |(.., seconds)| *seconds)
}

/// Links to the windows; `path` is the page's.
pub fn windows(path: &str, current: u64) -> Markup {
    html! {
        p.links { "The last "
            @for (value, text, seconds) in WINDOWS {
                a href=(format!("{path}?window={value}")) aria-current=[(seconds == current).then_some("true")] { (text) } " "
            }
        }
    }
}

/// The three drawings.
pub fn charts(report: &MetricsReport) -> Markup {
    let seconds = (report.step as f64 / 1000.0).max(1.0);
    let rate = |point: &MetricPoint| Some(point.requests as f64 / seconds);
    let failed = |point: &MetricPoint| Some(point.failed as f64 / seconds);
    html! {
        @if report.all.is_empty() { p.note { "Nobody called it." } } @else {
            div.charts {
                (drawing(report, "Requests a second", &[("all", &rate), ("bad", &failed)], words::rate))
                (drawing(report, "Failed", &[("bad", &|p| (p.requests > 0).then(|| p.failed as f64 / p.requests as f64))], |share| words::share(Some(share))))
                (drawing(report, "Latency: median and 99th percentile", &[("all", &|p| p.p50_ms), ("some", &|p| p.p99_ms)], words::millis))
            }
        }
    }
}

/// A class, and what of a point is drawn.
type Series<'s> = (&'static str, &'s dyn Fn(&MetricPoint) -> Option<f64>);

fn drawing(
    report: &MetricsReport,
    title: &str,
    series: &[Series<'_>],
    say: impl Fn(f64) -> String,
) -> Markup {
    let values = series.iter().flat_map(|(_, of)| report.all.iter().filter_map(of));
    let most = values.fold(0.0_f64, f64::max);
    let summary = format!("{title}: at most {}", say(most));
    html! {
        figure {
            figcaption { (title) span.note { ", at most " (say(most)) } }
            svg.chart viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(summary) preserveAspectRatio="none" {
                @for (class, of) in series {
                    @for part in lines(report, most, *of) { polyline class=(class) points=(part) {} }
                }
            }
            div.axis.note { span { (words::ago(report.from, report.until)) " ago" } span { "now" } }
        }
    }
}

/// Points of lines: a gap where nothing was measured, and for what is counted nothing is 0.
fn lines(report: &MetricsReport, most: f64, of: &dyn Fn(&MetricPoint) -> Option<f64>) -> Vec<String> {
    let by_step: BTreeMap<u64, f64> = report.all.iter().filter_map(|p| Some((p.at, of(p)?))).collect();
    let width = report.until.saturating_sub(report.from).max(1) as f64;
    let place = |at: u64, value: f64| {
        let x = at.saturating_sub(report.from) as f64 / width * WIDTH;
        let y = HEIGHT - 2.0 - if most > 0.0 { value / most * (HEIGHT - 8.0) } else { 0.0 };
        format!("{x:.1},{y:.1}")
    };
    let mut parts: Vec<Vec<String>> = Vec::new();
    let mut before = None;
    for (at, value) in by_step {
        let follows = before.is_some_and(|before| at <= before + report.step);
        match parts.last_mut().filter(|_| follows) {
            Some(part) => part.push(place(at, value)),
            // A point alone is a line as long as its step.
            None => parts.push(vec![place(at, value)]),
        }
        before = Some(at);
        if let Some(part) = parts.last_mut() {
            let end = place(at + report.step, value);
            part.push(end);
        }
    }
    parts.into_iter().map(|part| part.join(" ")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(at: u64, requests: u64) -> MetricPoint {
        MetricPoint { at, requests, failed: 0, p50_ms: None, p99_ms: None }
    }

    #[test]
    fn a_line_has_a_gap_where_nothing_was_measured() {
        let all = vec![point(0, 10), point(1_000, 5), point(5_000, 10)];
        let report = MetricsReport { from: 0, until: 10_000, step: 1_000, all, edges: vec![] };
        let lines = lines(&report, 10.0, &|p| Some(p.requests as f64));
        assert_eq!(lines, ["0.0,6.0 60.0,6.0 60.0,62.0 120.0,62.0", "300.0,6.0 360.0,6.0"]);
        let drawn = charts(&report).into_string();
        assert!(drawn.contains("Requests a second: at most 10/s"), "{drawn}");
        assert!(charts(&MetricsReport::default()).into_string().contains("Nobody called it"));
        assert_eq!((seconds(None), seconds(Some("1d")), seconds(Some("x"))), (3_600, 86_400, 3_600));
    }
}

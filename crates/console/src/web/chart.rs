//! Values over time as drawings, those of a service's calls among them: rate, errors and duration.

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

/// Links to the windows; `path` is the page's, with or without a query.
pub fn windows(path: &str, current: u64) -> Markup {
    let more = if path.contains('?') { '&' } else { '?' };
    html! {
        p.links { "The last "
            @for (value, text, seconds) in WINDOWS {
                a href=(format!("{path}{more}window={value}")) aria-current=[(seconds == current).then_some("true")] { (text) } " "
            }
        }
    }
}

/// The three drawings.
pub fn charts(report: &MetricsReport) -> Markup {
    let axis = Axis { from: report.from, until: report.until, step: report.step, gap: report.step };
    let seconds = (report.step as f64 / 1000.0).max(1.0);
    let of = |value: &dyn Fn(&MetricPoint) -> Option<f64>| -> BTreeMap<u64, f64> {
        report.all.iter().filter_map(|point| Some((point.at, value(point)?))).collect()
    };
    let (rate, failed) =
        (of(&|p| Some(p.requests as f64 / seconds)), of(&|p| Some(p.failed as f64 / seconds)));
    let share = of(&|p| (p.requests > 0).then(|| p.failed as f64 / p.requests as f64));
    let (median, slow) = (of(&|p| p.p50_ms), of(&|p| p.p99_ms));
    html! {
        @if report.all.is_empty() { p.note { "Nobody called it." } } @else {
            div.charts {
                (drawing(&axis, "Requests a second", &[("all", rate), ("bad", failed)], words::rate))
                (drawing(&axis, "Failed", &[("bad", share)], |share| words::share(Some(share))))
                (drawing(&axis, "Latency: median and 99th percentile", &[("all", median), ("some", slow)], words::millis))
            }
        }
    }
}

/// The time that is drawn: all in milliseconds.
pub struct Axis {
    /// The begin, since 1970.
    pub from: u64,
    /// The end.
    pub until: u64,
    /// From one point to the next.
    pub step: u64,
    /// Points that are further apart than this are not joined.
    pub gap: u64,
}

/// Lines, each with its class and its values by time; `say` puts the highest into words.
pub fn drawing(
    axis: &Axis,
    title: &str,
    series: &[(&str, BTreeMap<u64, f64>)],
    say: impl Fn(f64) -> String,
) -> Markup {
    let most = series.iter().flat_map(|(_, values)| values.values().copied()).fold(0.0_f64, f64::max);
    let summary = format!("{title}: at most {}", say(most));
    html! {
        figure {
            figcaption { (title) span.note { ", at most " (say(most)) } }
            svg.chart viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(summary) preserveAspectRatio="none" {
                @for (class, values) in series {
                    @for part in lines(axis, most, values) { polyline class=(class) points=(part) {} }
                }
            }
            div.axis.note { span { (words::ago(axis.from, axis.until)) " ago" } span { "now" } }
        }
    }
}

/// Points of lines, with a gap where nothing was measured.
fn lines(axis: &Axis, most: f64, values: &BTreeMap<u64, f64>) -> Vec<String> {
    let width = axis.until.saturating_sub(axis.from).max(1) as f64;
    let place = |at: u64, value: f64| {
        let x = at.saturating_sub(axis.from) as f64 / width * WIDTH;
        let y = HEIGHT - 2.0 - if most > 0.0 { value.max(0.0) / most * (HEIGHT - 8.0) } else { 0.0 };
        format!("{x:.1},{y:.1}")
    };
    let mut parts: Vec<Vec<String>> = Vec::new();
    let mut before = None;
    for (&at, &value) in values {
        let follows = before.is_some_and(|before| at <= before + axis.gap);
        match parts.last_mut().filter(|_| follows) {
            Some(part) => part.push(place(at, value)),
            // A point alone is a line as long as its step.
            None => parts.push(vec![place(at, value)]),
        }
        before = Some(at);
        if let Some(part) = parts.last_mut() {
            part.push(place(at + axis.step, value));
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
        let axis = |gap| Axis { from: 0, until: 10_000, step: 1_000, gap };
        let values = [(0, 10.0), (1_000, 5.0), (5_000, 10.0)].into();
        assert_eq!(lines(&axis(4_000), 10.0, &values).len(), 1);
        let lines = lines(&axis(1_000), 10.0, &values);
        assert_eq!(lines, ["0.0,6.0 60.0,6.0 60.0,62.0 120.0,62.0", "300.0,6.0 360.0,6.0"]);
        let drawn = charts(&report).into_string();
        assert!(drawn.contains("Requests a second: at most 10/s"), "{drawn}");
        assert!(charts(&MetricsReport::default()).into_string().contains("Nobody called it"));
        assert_eq!((seconds(None), seconds(Some("1d")), seconds(Some("x"))), (3_600, 86_400, 3_600));
    }
}

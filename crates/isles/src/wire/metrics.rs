//! Calls, and what services measure, over time in the words of the admin API.

use std::collections::BTreeMap;

use console::api::{
    EdgeMetrics, MeasuredPoint, MeasuredReport, MeasuredSeries, MetricPoint, MetricsQuery, MetricsReport,
};
use control::{Line, Point, Series, Span};

/// The time that is asked for, up to `now` (Unix seconds), from a whole step on.
pub fn span(query: &MetricsQuery, now: u64) -> Span {
    let span = until(now, query.seconds, query.points);
    let (_, step) = span.steps(now);
    Span { from: span.from / step * step, ..span }
}

/// The last seconds until `now` (Unix seconds).
pub fn until(now: u64, seconds: u64, points: u64) -> Span {
    Span { from: now.saturating_sub(seconds), until: now + 1, points }
}

/// A number over time, with the seconds of a point.
pub fn measured(span: Span, (step, found): (u64, Vec<Series>)) -> MeasuredReport {
    let series = found.into_iter().map(|series| MeasuredSeries {
        replica: series.replica,
        attributes: series.attributes.into_iter().collect(),
        unit: series.unit,
        kind: series.kind,
        points: series.points.into_iter().map(|(at, value)| MeasuredPoint { at: at * 1000, value }).collect(),
    });
    MeasuredReport {
        from: span.from * 1000,
        until: span.until * 1000,
        step: step * 1000,
        series: series.collect(),
    }
}

/// What was found, with the seconds of a point.
pub fn report(span: Span, (step, lines): (u64, Vec<Line>)) -> MetricsReport {
    let mut all = BTreeMap::<u64, Point>::new();
    for (at, point) in lines.iter().flat_map(|line| &line.points) {
        all.entry(*at).or_default().add(point);
    }
    let edges = lines.into_iter().map(|line| EdgeMetrics {
        caller: line.edge.caller.map(|caller| caller.to_string()),
        callee: line.edge.callee.to_string(),
        points: points(&line.points),
    });
    MetricsReport {
        from: span.from * 1000,
        until: span.until * 1000,
        step: step * 1000,
        all: points(&all),
        edges: edges.collect(),
    }
}

fn points(by_step: &BTreeMap<u64, Point>) -> Vec<MetricPoint> {
    let point = |(at, point): (&u64, &Point)| {
        let quantile = |q| point.latency.quantile(q).map(|time| time.as_secs_f64() * 1000.0);
        MetricPoint {
            at: at * 1000,
            requests: point.requests,
            failed: point.failed,
            p50_ms: quantile(0.5),
            p99_ms: quantile(0.99),
        }
    };
    by_step.iter().map(point).collect()
}

//! Calls over time in the words of the admin API, and all counts in those of OpenMetrics.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use console::api::{EdgeMetrics, MetricPoint, MetricsQuery, MetricsReport};
use control::traffic::{EdgeTraffic, Report};
use control::{Line, Point, Span};
use model::histogram::{BUCKETS, upper_of};

/// The time that is asked for, up to `now` (Unix seconds), from a whole step on.
pub fn span(query: &MetricsQuery, now: u64) -> Span {
    let span = Span { from: now.saturating_sub(query.seconds), until: now + 1, points: query.points };
    let (_, step) = span.steps(now);
    Span { from: span.from / step * step, ..span }
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

/// A slow or failed request that a bucket of a distribution has seen.
pub struct Exemplar {
    /// The caller; none is the gateway.
    pub caller: Option<String>,
    /// Whom.
    pub callee: String,
    /// Its trace.
    pub trace: String,
    /// How long it took to the head of its answer, in seconds.
    pub seconds: f64,
}

/// Everything that was counted since the data plane began, in the text format of OpenMetrics 1.0.
pub fn open_metrics(report: &Report, exemplars: &[Exemplar]) -> String {
    let mut out = String::new();
    let edges = &report.edges;
    let mut counter = |name: &str, help: &str, of: &dyn Fn(&EdgeTraffic) -> u64| {
        // Writing to a text cannot fail.
        let _ = writeln!(out, "# TYPE isles_{name} counter\n# HELP isles_{name} {help}");
        for edge in edges {
            let _ = writeln!(out, "isles_{name}_total{{{}}} {}", labels(edge), of(edge));
        }
    };
    counter("requests", "Requests that ended, however often each was sent.", &|e| {
        e.now.requests.outcomes.all()
    });
    counter("requests_failed", "Of these, those that failed.", &|e| e.now.requests.outcomes.failed);
    counter("requests_passed_on", "Failures that the callee only passed on.", &|e| {
        e.now.requests.outcomes.passed_on
    });
    counter("requests_cancelled", "Requests whose caller left first.", &|e| {
        e.now.requests.outcomes.cancelled
    });
    counter("retries", "Attempts that were made again.", &|e| e.now.retries);
    counter("requests_shed", "Requests that the learned limit refused.", &|e| e.now.shed);
    counter("circuit_openings", "How often the circuit breaker opened.", &|e| e.now.openings);
    let mut gauge = |name: &str, help: &str, rows: Vec<(String, u64)>| {
        let _ = writeln!(out, "# TYPE isles_{name} gauge\n# HELP isles_{name} {help}");
        for (labels, value) in rows {
            let _ = writeln!(out, "isles_{name}{{{labels}}} {value}");
        }
    };
    let of_edges = |of: &dyn Fn(&EdgeTraffic) -> u64| edges.iter().map(|e| (labels(e), of(e))).collect();
    gauge("in_flight", "Requests under way.", of_edges(&|e| e.now.in_flight));
    gauge(
        "circuit_open",
        "Whether the circuit breaker holds calls back.",
        of_edges(&|e| u64::from(e.now.circuit != model::Circuit::Closed)),
    );
    let ejected = report.replicas.iter().map(|r| {
        let release = &r.now.release;
        (format!("replica=\"{}\",release=\"{release}\"", r.now.replica), u64::from(r.now.ejected))
    });
    gauge("replica_ejected", "Whether the replica is out for failing.", ejected.collect());
    durations(edges, exemplars, &mut out);
    out.push_str("# EOF\n");
    out
}

/// Buckets of an octave each; the exemplar of a bucket is the latest that fell into it.
fn durations(edges: &[EdgeTraffic], exemplars: &[Exemplar], out: &mut String) {
    let name = "isles_request_duration_seconds";
    let help = "Time to the head of the answer, of answers below 500 and of those that did not come in time.";
    let _ = writeln!(out, "# TYPE {name} histogram\n# UNIT {name} seconds\n# HELP {name} {help}");
    for edge in edges {
        let (latency, labels) = (&edge.now.requests.latency, labels(edge));
        let of_edge = |e: &&Exemplar| {
            e.callee == edge.now.callee.as_str()
                && e.caller.as_deref() == edge.now.caller.as_ref().map(|c| c.as_str())
        };
        let (mut sum, mut last) = (0, 0.0);
        for end in (0..BUCKETS - 1).step_by(8) {
            let upper = upper_of(end);
            sum = latency
                .buckets
                .iter()
                .filter(|(bucket, _)| usize::from(*bucket) <= end)
                .map(|(_, n)| n)
                .sum();
            let fits = |e: &&Exemplar| of_edge(e) && e.seconds > last && e.seconds <= upper;
            let exemplar = exemplars.iter().find(fits).filter(|_| sum > 0);
            let exemplar = exemplar.map(|e| format!(" # {{trace_id=\"{}\"}} {}", e.trace, e.seconds));
            let _ = writeln!(
                out,
                "{name}_bucket{{{labels},le=\"{upper}\"}} {sum}{}",
                exemplar.unwrap_or_default()
            );
            last = upper;
        }
        let all = latency.count().max(sum);
        let _ = writeln!(out, "{name}_bucket{{{labels},le=\"+Inf\"}} {all}");
        let _ = writeln!(
            out,
            "{name}_count{{{labels}}} {all}\n{name}_sum{{{labels}}} {}",
            latency.sum as f64 / 1e6
        );
    }
}

/// Names of services need no escapes.
fn labels(edge: &EdgeTraffic) -> String {
    let caller = edge.now.caller.as_ref().map_or("gateway", |caller| caller.as_str());
    format!("caller=\"{caller}\",callee=\"{}\"", edge.now.callee)
}

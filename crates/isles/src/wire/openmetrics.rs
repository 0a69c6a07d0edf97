//! All counts in the words of OpenMetrics, for Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use control::Counts;
use control::traffic::{EdgeTraffic, Report};
use model::{KeptSpan, Measured, PointKind, ServiceName};

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

/// A span of the data plane that had an answer.
pub fn exemplar(span: &KeptSpan) -> Option<Exemplar> {
    let KeptSpan::Hop(span) = span else { return None };
    let seconds = span.head? as f64 / 1e9;
    let caller = span.caller.as_ref().map(ToString::to_string);
    Some(Exemplar { caller, callee: span.callee.to_string(), trace: span.trace.to_string(), seconds })
}

/// Everything that was counted since the data plane began, and the latest of what services measure themselves, in the text
/// format of OpenMetrics 1.0.
pub fn open_metrics(
    report: &Report,
    exemplars: &[Exemplar],
    spans: Counts,
    own: &[(Vec<Measured>, ServiceName)],
) -> String {
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
    for (name, help, count) in [
        ("spans_dropped", "Spans that were lost, since too many came at once.", spans.dropped),
        (
            "spans_left_out",
            "Spans of services that were not kept, since enough of their kind were.",
            spans.left_out,
        ),
    ] {
        let _ = writeln!(
            out,
            "# TYPE isles_{name} counter\n# HELP isles_{name} {help}\nisles_{name}_total {count}"
        );
    }
    durations(edges, exemplars, &mut out);
    own_numbers(own, &mut out);
    out.push_str("# EOF\n");
    out
}

/// What services measure themselves, under the names that Prometheus would give them
/// (<https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/>), the families each in one piece.
fn own_numbers(own: &[(Vec<Measured>, ServiceName)], out: &mut String) {
    let mut families = BTreeMap::<String, (PointKind, BTreeMap<String, f64>)>::new();
    for (measured, service) in own.iter().flat_map(|(all, service)| all.iter().map(move |m| (m, service))) {
        let own = measured.attributes.iter().map(|(key, value)| (plain(key), escaped(value)));
        let replica = measured.replica.iter().map(|replica| ("instance".to_owned(), escaped(replica)));
        let job = ("job".to_owned(), service.to_string());
        // A name that comes twice would be no label any more.
        let labels: BTreeMap<String, String> = own.chain(replica).chain([job]).collect();
        let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
        let (family, sample) = family(&plain(&measured.name), measured.kind);
        if family.starts_with("isles_") {
            continue;
        }
        let (kind, samples) = families.entry(family).or_insert_with(|| (measured.kind, BTreeMap::new()));
        // Where two services mean different things by one name, or one says a thing twice, the first is told.
        if *kind == measured.kind {
            samples.entry(format!("{sample}{{{}}}", labels.join(","))).or_insert(measured.value);
        }
    }
    for (family, (kind, samples)) in &families {
        let kind = match kind {
            PointKind::Gauge => "gauge",
            PointKind::Counter => "counter",
            PointKind::Distribution => "summary",
        };
        let _ = writeln!(out, "# TYPE {family} {kind}");
        for (sample, value) in samples {
            let _ = writeln!(out, "{sample} {}", number(*value));
        }
    }
}

/// The name of a family of OpenMetrics, and that of a sample of it.
fn family(name: &str, kind: PointKind) -> (String, String) {
    match kind {
        PointKind::Gauge => (name.to_owned(), name.to_owned()),
        PointKind::Counter => {
            let family = name.strip_suffix("_total").unwrap_or(name);
            (family.to_owned(), format!("{family}_total"))
        }
        PointKind::Distribution => {
            let family = name.strip_suffix("_count").or_else(|| name.strip_suffix("_sum")).unwrap_or(name);
            (family.to_owned(), name.to_owned())
        }
    }
}

fn number(value: f64) -> String {
    match value {
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        value => value.to_string(),
    }
}

/// A name of letters, digits and `_`, that does not begin with a digit.
fn plain(name: &str) -> String {
    let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if plain.starts_with(|c: char| c.is_ascii_digit()) { format!("_{plain}") } else { plain }
}

/// The value of a label.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
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
        for (upper, upto) in latency.octaves() {
            let fits = |e: &&Exemplar| of_edge(e) && e.seconds > last && e.seconds <= upper;
            let exemplar = exemplars.iter().find(fits).filter(|_| upto > 0);
            let exemplar = exemplar.map(|e| format!(" # {{trace_id=\"{}\"}} {}", e.trace, e.seconds));
            let exemplar = exemplar.unwrap_or_default();
            let _ = writeln!(out, "{name}_bucket{{{labels},le=\"{upper}\"}} {upto}{exemplar}");
            (sum, last) = (upto, upper);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_services_measure_is_in_families_of_one_kind_each() {
        let point = |name: &str, kind, value| Measured {
            name: name.to_owned(),
            replica: Some("web-1".to_owned()),
            attributes: vec![
                ("9 odd".to_owned(), "a\\b\"c\nd".to_owned()),
                ("job".to_owned(), "mine".to_owned()),
            ],
            unit: String::new(),
            kind,
            value,
            at: 0,
        };
        let web = vec![
            point("queue.length", PointKind::Gauge, f64::INFINITY),
            point("done", PointKind::Counter, 1.5),
            point("done_total", PointKind::Counter, 2.5),
            point("took_count", PointKind::Distribution, 3.0),
            point("took_sum", PointKind::Distribution, 0.5),
            point("isles.requests", PointKind::Counter, 7.0),
        ];
        let other = vec![point("took", PointKind::Gauge, 1.0), point("done", PointKind::Counter, 4.0)];
        let mut out = String::new();
        own_numbers(&[(web, "web".parse().unwrap()), (other, "other".parse().unwrap())], &mut out);
        let labels = |job: &str| format!("{{_9_odd=\"a\\\\b\\\"c\\nd\",instance=\"web-1\",job=\"{job}\"}}");
        let (web, other) = (labels("web"), labels("other"));
        assert_eq!(
            out,
            format!(
                "# TYPE done counter\ndone_total{other} 4\ndone_total{web} 1.5\n\
                 # TYPE queue_length gauge\nqueue_length{web} +Inf\n\
                 # TYPE took summary\ntook_count{web} 3\ntook_sum{web} 0.5\n"
            )
        );
    }
}

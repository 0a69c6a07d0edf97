//! Calls between services, and what services measure themselves, as metrics.

use std::collections::BTreeMap;

use model::span::Value;
use model::{Histogram as Latency, Measured, PointKind, ServiceName};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, Sum, Summary, SummaryDataPoint,
};
use prost::Message as _;

use super::{Owner, pair, resource, scope};
use crate::metrics::{Edge, Point};

const CUMULATIVE: i32 = AggregationTemporality::Cumulative as i32;

/// All calls of each edge since the data plane began, and the latest of what services measure, at a time in Unix milliseconds, as
/// protobuf. Calls belong to the service that was called. Since when is left open, which OTLP allows: a data plane that takes
/// over counts anew, and so does a process.
pub fn export_metrics(
    app: &str,
    calls: &[(Edge, Point)],
    own: &[(ServiceName, Vec<Measured>)],
    at: u64,
) -> Vec<u8> {
    let at = at.saturating_mul(1_000_000);
    let mut owners = BTreeMap::<Owner, Vec<Metric>>::new();
    let mut by_callee = BTreeMap::<&ServiceName, Vec<(&Edge, &Point)>>::new();
    for (edge, point) in calls {
        by_callee.entry(&edge.callee).or_default().push((edge, point));
    }
    for (callee, edges) in by_callee {
        owners.entry((callee.to_string(), None)).or_default().extend(of_calls(&edges, at));
    }
    for (service, measured) in own {
        let mut by_replica = BTreeMap::<Option<String>, Vec<&Measured>>::new();
        for one in measured {
            by_replica.entry(one.replica.clone()).or_default().push(one);
        }
        for (replica, measured) in by_replica {
            owners.entry((service.to_string(), replica)).or_default().extend(of_own(&measured));
        }
    }
    let owners = owners.into_iter().map(|(owner, metrics)| ResourceMetrics {
        resource: resource(app, owner),
        scope_metrics: vec![ScopeMetrics { scope: scope(), metrics, ..ScopeMetrics::default() }],
        ..ResourceMetrics::default()
    });
    ExportMetricsServiceRequest { resource_metrics: owners.collect() }.encode_to_vec()
}

fn of_calls(edges: &[(&Edge, &Point)], at: u64) -> [Metric; 3] {
    let attributes = |edge: &Edge| {
        let caller = edge.caller.as_ref().map_or("gateway", |caller| caller.as_str());
        vec![pair("isles.caller", &Value::Text(caller.to_owned()))]
    };
    let sum = |name: &str, text: &str, of: &dyn Fn(&Point) -> u64| {
        let points = edges.iter().map(|(edge, point)| number(attributes(edge), of(point) as f64, at));
        let sum =
            Sum { data_points: points.collect(), aggregation_temporality: CUMULATIVE, is_monotonic: true };
        metric(name, text, "{request}", Data::Sum(sum))
    };
    let times = edges.iter().map(|(edge, point)| distribution(attributes(edge), &point.latency, at));
    let times = Histogram { data_points: times.collect(), aggregation_temporality: CUMULATIVE };
    [
        sum("isles.requests", "Requests that ended, however often each was sent.", &|point| point.requests),
        sum("isles.requests.failed", "Of these, those that failed.", &|point| point.failed),
        metric("isles.request.duration", "Time to the head of the answer.", "s", Data::Histogram(times)),
    ]
}

/// Each name once, with a point for each set of attributes.
fn of_own(measured: &[&Measured]) -> Vec<Metric> {
    let mut numbers = BTreeMap::<(&str, PointKind, &str), Vec<NumberDataPoint>>::new();
    let mut distributions = BTreeMap::<&str, BTreeMap<&[(String, String)], SummaryDataPoint>>::new();
    let mut units = BTreeMap::new();
    for one in measured {
        let attributes =
            || one.attributes.iter().map(|(key, value)| pair(key, &Value::Text(value.clone()))).collect();
        let at = one.at.saturating_mul(1_000_000_000);
        let (name, is_count) =
            match (one.kind, one.name.strip_suffix("_count"), one.name.strip_suffix("_sum")) {
                (PointKind::Distribution, Some(name), _) => (name, true),
                (PointKind::Distribution, None, Some(name)) => (name, false),
                _ => {
                    let key = (one.name.as_str(), one.kind, one.unit.as_str());
                    numbers.entry(key).or_default().push(number(attributes(), one.value, at));
                    continue;
                }
            };
        let point = distributions.entry(name).or_default().entry(&one.attributes).or_insert_with(|| {
            SummaryDataPoint { attributes: attributes(), time_unix_nano: at, ..SummaryDataPoint::default() }
        });
        if is_count {
            // What is counted is a whole number, whatever it travels as.
            point.count = one.value.max(0.0) as u64;
        } else {
            point.sum = one.value;
            units.insert(name, one.unit.as_str());
        }
    }
    let numbers = numbers.into_iter().map(|((name, kind, unit), data_points)| match kind {
        PointKind::Gauge => metric(name, "", unit, Data::Gauge(Gauge { data_points })),
        PointKind::Counter | PointKind::Distribution => {
            let sum = Sum { data_points, aggregation_temporality: CUMULATIVE, is_monotonic: true };
            metric(name, "", unit, Data::Sum(sum))
        }
    });
    let distributions = distributions.into_iter().map(|(name, points)| {
        let summary = Summary { data_points: points.into_values().collect() };
        metric(name, "", units.get(name).copied().unwrap_or_default(), Data::Summary(summary))
    });
    numbers.chain(distributions).collect()
}

fn metric(name: &str, text: &str, unit: &str, data: Data) -> Metric {
    let (name, description, unit) = (name.to_owned(), text.to_owned(), unit.to_owned());
    Metric { name, description, unit, data: Some(data), ..Metric::default() }
}

fn number(attributes: Vec<KeyValue>, value: f64, at: u64) -> NumberDataPoint {
    let value = Some(Number::AsDouble(value));
    NumberDataPoint { attributes, time_unix_nano: at, value, ..NumberDataPoint::default() }
}

/// With a bucket for each octave, and one for what is longer than all.
fn distribution(attributes: Vec<KeyValue>, latency: &Latency, at: u64) -> HistogramDataPoint {
    let octaves = latency.octaves();
    let (mut counts, mut before) = (Vec::with_capacity(octaves.len() + 1), 0);
    for (_, upto) in &octaves {
        counts.push(upto - before);
        before = *upto;
    }
    let count = latency.count();
    counts.push(count.saturating_sub(before));
    HistogramDataPoint {
        attributes,
        time_unix_nano: at,
        count,
        sum: Some(latency.sum as f64 / 1e6),
        bucket_counts: counts,
        explicit_bounds: octaves.into_iter().map(|(upper, _)| upper).collect(),
        ..HistogramDataPoint::default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::otlp::{Wire, points};

    fn sent(
        calls: &[(Edge, Point)],
        own: &[(ServiceName, Vec<Measured>)],
    ) -> (Vec<u8>, ExportMetricsServiceRequest) {
        let sent = export_metrics("shop", calls, own, 5_000);
        let read = ExportMetricsServiceRequest::decode(&*sent).unwrap();
        (sent, read)
    }

    #[test]
    fn calls_are_sums_and_a_histogram_of_the_service_that_was_called() {
        let mut counts = [0; model::histogram::BUCKETS];
        for millis in [3, 3, 40] {
            counts[model::histogram::bucket_of(Duration::from_millis(millis))] += 1;
        }
        counts[model::histogram::BUCKETS - 1] = 1;
        let latency = Latency::from_counts(&counts, 100_046_000);
        let edge = |caller: &str| Edge { caller: caller.parse().ok(), callee: "stock".parse().unwrap() };
        let point = Point { requests: 5, failed: 1, latency };
        let (_, read) = sent(&[(edge(""), Point::default()), (edge("orders"), point)], &[]);
        assert_eq!(read.resource_metrics.len(), 1);
        let metrics = &read.resource_metrics[0].scope_metrics[0].metrics;
        let names: Vec<_> = metrics.iter().map(|metric| metric.name.as_str()).collect();
        assert_eq!(names, ["isles.requests", "isles.requests.failed", "isles.request.duration"]);
        let Some(Data::Sum(requests)) = &metrics[0].data else { panic!("{metrics:?}") };
        assert_eq!(requests.data_points[1].value, Some(Number::AsDouble(5.0)));
        let Some(Data::Histogram(times)) = &metrics[2].data else { panic!("{metrics:?}") };
        let times = &times.data_points[1];
        assert_eq!((times.count, times.sum, times.time_unix_nano), (4, Some(100.046), 5_000_000_000));
        assert_eq!(times.bucket_counts.len(), times.explicit_bounds.len() + 1);
        assert_eq!((times.bucket_counts.iter().sum::<u64>(), times.bucket_counts.last()), (4, Some(&1)));
        assert!(times.explicit_bounds.is_sorted() && times.explicit_bounds.contains(&0.0625));
    }

    #[test]
    fn what_services_measure_is_what_they_sent() {
        let json = serde_json::json!({"resourceMetrics": [{"resource": {"attributes": [{"key": "service.instance.id", "value": {"stringValue": "orders-1"}}]},
            "scopeMetrics": [{"metrics": [
                {"name": "heap", "unit": "By", "gauge": {"dataPoints": [{"asDouble": 2.5, "attributes": [{"key": "gen", "value": {"stringValue": "0"}}]}]}},
                {"name": "placed", "sum": {"aggregationTemporality": 2, "isMonotonic": true, "dataPoints": [{"asInt": "7"}]}},
                {"name": "took", "unit": "s", "histogram": {"aggregationTemporality": 2, "dataPoints": [{"count": "3", "sum": 0.75}]}}]}]}]});
        let first = points(Wire::Json, json.to_string().as_bytes()).unwrap();
        let service: ServiceName = "orders".parse().unwrap();
        let (measured, _) = crate::Points::default().take(&service, first.clone(), 9);
        let (bytes, read) = sent(&[], &[(service, measured)]);
        let mut again = points(Wire::Protobuf, &bytes).unwrap();
        let summary = &read.resource_metrics[0].scope_metrics[0].metrics[2];
        let Some(Data::Summary(took)) = &summary.data else { panic!("{summary:?}") };
        assert_eq!(
            (took.data_points[0].count, took.data_points[0].sum, summary.unit.as_str()),
            (3, 0.75, "s")
        );
        again.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(again, first[..2], "a summary is all that is left of a distribution");
    }
}

//! Which spans are kept, for how long, and how they are found.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use model::span::Value;
use model::{KeptSpan, OwnSpan, SpanId, TraceId};
use telemetry::{SpanQuery, TraceLimits, Traces};

const SECOND: u64 = 1_000_000_000;

fn own(trace: u128, id: u64, name: &str) -> OwnSpan {
    OwnSpan {
        trace: TraceId(trace),
        id: SpanId(id),
        parent: None,
        service: "orders".parse().unwrap(),
        replica: Some("orders-1".to_owned()),
        name: name.to_owned(),
        kind: "internal".to_owned(),
        start: id * SECOND,
        duration: id * 1_000_000,
        failed: false,
        message: None,
        attributes: BTreeMap::new(),
        events: Vec::new(),
    }
}

fn failed(span: OwnSpan) -> OwnSpan {
    OwnSpan { failed: true, ..span }
}

fn open(folder: &Path, limits: TraceLimits) -> Traces {
    Traces::open(&folder.join("traces.db"), limits).unwrap()
}

/// Nothing is too old.
fn for_ever() -> TraceLimits {
    TraceLimits { keep: u64::MAX, ..TraceLimits::default() }
}

fn ids(found: &[KeptSpan]) -> Vec<u64> {
    found.iter().map(|span| span.id().0).collect()
}

fn all() -> SpanQuery {
    SpanQuery { most: 100_000, ..SpanQuery::default() }
}

#[test]
fn what_waits_and_what_is_written_is_found_alike_and_once() {
    let folder = tempfile::tempdir().unwrap();
    let traces = open(folder.path(), for_ever());
    let mut spans: Vec<OwnSpan> = (1..=5).map(|id| own(u128::from(id % 2) + 1, id, "work")).collect();
    spans[1].attributes.insert("order.id".to_owned(), Value::Text("A-42/x".to_owned()));
    spans[2].message = Some("card \"declined\"".to_owned());
    spans[3].failed = true;
    assert_eq!(traces.add_own(spans.clone(), 0), 0);
    let ask = |query: SpanQuery| ids(&traces.find(&SpanQuery { most: 10, ..query }).unwrap());
    let text = |text: &str| SpanQuery { text: text.to_owned(), ..SpanQuery::default() };
    let check = |state: &str| {
        for (query, expected) in [
            (SpanQuery::default(), vec![5, 4, 3, 2, 1]),
            (SpanQuery { trace: Some(TraceId(2)), ..SpanQuery::default() }, vec![5, 3, 1]),
            (SpanQuery { errors: true, ..SpanQuery::default() }, vec![4]),
            (SpanQuery { slower_than: Duration::from_millis(3), ..SpanQuery::default() }, vec![5, 4]),
            (SpanQuery { service: Some("orders".to_owned()), ..SpanQuery::default() }, vec![5, 4, 3, 2, 1]),
            (SpanQuery { service: Some("payments".to_owned()), ..SpanQuery::default() }, vec![]),
            (text("order.id=a-42"), vec![2]),
            (text("WORK order.id"), vec![2]),
            (text("declin"), vec![3]),
            (text("\"declined\""), vec![3]),
            (text("declined order.id"), vec![]),
            (text("*) OR NEAR( - \""), vec![]),
            (text(" - * "), vec![5, 4, 3, 2, 1]),
        ] {
            assert_eq!(ask(query.clone()), expected, "{state}: {query:?}");
        }
    };
    check("waiting");
    traces.flush(10).unwrap();
    check("written");
    traces.add_own(spans, 0);
    check("sent once more");
    traces.flush(10).unwrap();
    check("written once more");
    drop(traces);
    let again = open(folder.path(), for_ever());
    assert_eq!(ids(&again.find(&all()).unwrap()), [5, 4, 3, 2, 1], "it outlives the process");
}

#[test]
fn failures_and_their_traces_are_kept_whole_and_of_the_rest_a_fair_part() {
    let folder = tempfile::tempdir().unwrap();
    let traces = open(folder.path(), for_ever());
    // A thousand traces of two spans in one second, all alike; another name; and one that fails after all that.
    let usual =
        |trace: u64| [own(trace.into(), trace * 10, "usual"), own(trace.into(), trace * 10 + 1, "usual")];
    let mut spans: Vec<OwnSpan> = (1..=1000).flat_map(usual).collect();
    spans.push(own(5000, 50_000, "rare"));
    spans.push(own(6000, 60_000, "usual"));
    spans.push(failed(own(6000, 60_001, "usual")));
    assert_eq!(traces.add_own(spans, 7), 0);
    let count = |name: &str| {
        let found = traces.find(&SpanQuery { text: name.to_owned(), ..all() }).unwrap();
        found.len()
    };
    assert_eq!((count("usual"), count("rare")), (10 * 2 + 2, 1), "whole traces, and all of what failed");
    assert_eq!(traces.counts().left_out, 2 * 990);
    assert_eq!(traces.add_own(vec![own(6000, 60_002, "late")], 7), 0);
    assert_eq!(count("late"), 1, "what comes later of a kept trace");
    traces.add_own(vec![own(7000, 70_000, "usual")], 8);
    assert_eq!(count("usual"), 23, "another second");
}

#[test]
fn what_there_is_no_room_for_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let traces = open(folder.path(), for_ever());
    let many = |from: u64| (from..from + 30_000).map(|id| failed(own(1, id, "x"))).collect::<Vec<_>>();
    assert_eq!(traces.add_own(many(1), 0), 10_000);
    assert_eq!(traces.counts().dropped, 10_000);
    traces.flush(0).unwrap();
    assert_eq!(traces.add_own(many(100_000), 0), 10_000, "there is room again");
    traces.add_hops(Vec::new(), 5);
    assert_eq!(traces.counts().dropped, 20_005);
}

#[test]
fn the_store_is_bounded_in_age_and_size() {
    let folder = tempfile::tempdir().unwrap();
    let limits = TraceLimits { keep: 100, bytes: 2 << 20 };
    let traces = open(folder.path(), limits);
    traces.add_own(vec![own(1, 1, "old"), own(1, 150, "new")], 0);
    traces.flush(150).unwrap();
    assert_eq!(ids(&traces.find(&all()).unwrap()), [150]);
    for round in 0..5 {
        let spans = (0..4000).map(|n| failed(own(1, 200 + round * 4000 + n, "full of words and more words")));
        traces.add_own(spans.collect(), 0);
        traces.flush(200).unwrap();
        assert!(traces.bytes().unwrap() <= limits.bytes, "{}", traces.bytes().unwrap());
    }
    let left = ids(&traces.find(&all()).unwrap());
    assert!(left.len() > 1000 && left[0] == 20_199 && left.is_sorted_by(|a, b| a > b), "the newest are left");
    let found = traces.find(&SpanQuery { text: "full of words".to_owned(), ..all() }).unwrap();
    assert_eq!(found.len(), left.len(), "and their words");
}

//! Counts of a data plane that is scripted.

use super::*;

fn process(pid: u32) -> ProcessId {
    ProcessId { pid, start_time: 1 }
}

fn tally(success: u64, failed: u64) -> Tally {
    let mut tally = Tally::default();
    tally.outcomes.success = success;
    tally.outcomes.server_error = failed;
    tally.outcomes.failed = failed;
    tally
}

/// An edge from `web` to `db`, with so many calls to each of two releases.
fn counted(old: u64, new: u64) -> Signals {
    let release = |name: &str, count| (ReleaseId(name.to_owned()), tally(count, 1));
    let edge = EdgeSignals {
        listener: ([127, 0, 0, 1], 7).into(),
        requests: tally(old + new, 2),
        releases: vec![release("old", old), release("new", new)],
        ..crate::testing::edge(Some("web"), "db")
    };
    let replica = ReplicaSignals {
        replica: "db-1".parse().unwrap(),
        release: ReleaseId("old".to_owned()),
        address: ([127, 0, 0, 1], 8).into(),
        attempts: tally(old, 1),
        in_flight: 0,
        ejected: false,
        ejections: 0,
    };
    Signals { edges: vec![edge], replicas: vec![replica], services: vec![], drift: vec![] }
}

fn calls(report: &Report) -> (u64, u64, Vec<(&str, u64)>) {
    let releases =
        report.releases.iter().map(|r| (r.release.0.as_str(), r.window.outcomes.success)).collect();
    let replica = report.replicas[0].window.outcomes.success;
    (report.edges[0].window.outcomes.success, replica, releases)
}

#[test]
fn a_report_holds_the_calls_of_its_window_by_release() {
    let traffic = Traffic::default();
    traffic.take(process(1), counted(500, 0), 10_000);
    let second = Duration::from_secs(1);
    assert_eq!(calls(&traffic.report(second * 60, 10_000)), (0, 0, vec![]), "who knows when those were");
    traffic.take(process(1), counted(530, 10), 11_000);
    traffic.take(process(1), counted(530, 30), 12_000);
    assert_eq!(calls(&traffic.report(second * 60, 12_000)), (60, 30, vec![("new", 30), ("old", 30)]));
    assert_eq!(calls(&traffic.report(second, 12_000)), (20, 0, vec![("new", 20)]));

    // Another data plane, in place of one that was killed.
    traffic.take(process(2), counted(7, 0), 13_000);
    assert_eq!(calls(&traffic.report(second, 13_000)), (7, 7, vec![("new", 0), ("old", 7)]));
}

#[test]
fn what_left_is_remembered_for_a_while_and_then_forgotten() {
    let traffic = Traffic::default();
    traffic.take(process(1), Signals::default(), 0);
    traffic.take(process(1), counted(0, 5), 1_000);
    let mut later = counted(0, 0);
    later.edges[0].releases.pop();
    traffic.take(process(1), later.clone(), 2_000);
    assert_eq!(traffic.report(HISTORY, 2_000).releases.len(), 2);
    traffic.take(process(1), later, 400_000);
    assert_eq!(traffic.report(HISTORY, 400_000).releases, []);
    assert_eq!(traffic.lock().releases.len(), 1, "what is still counted goes on from here");
    traffic.take(process(1), Signals::default(), 800_000);
    assert!(traffic.lock().edges.is_empty());
}

#[test]
fn breakers_and_ejections_are_news_once_each_way() {
    let traffic = Traffic::default();
    let reading = |openings: u64, circuit: Circuit, ejected: bool| {
        let mut signals = counted(0, 0);
        (signals.edges[0].openings, signals.edges[0].circuit) = (openings, circuit);
        signals.replicas[0].ejected = ejected;
        signals
    };
    let told = |signals, at| {
        let news = traffic.take(process(1), signals, at).news;
        news.into_iter()
            .map(|new| format!("{} of {}: {}", new.kind, new.service, new.text))
            .collect::<Vec<_>>()
    };
    assert_eq!(told(reading(0, Circuit::Closed, false), 1_000), Vec::<String>::new());
    let open = told(reading(1, Circuit::Open, true), 2_000);
    assert!(open[0].contains("circuit breaker") && open[0].ends_with("opened"), "{open:?}");
    assert!(open[1].ends_with("is out for failing") && open.len() == 2, "{open:?}");
    assert_eq!(told(reading(1, Circuit::Open, true), 3_000), Vec::<String>::new());
    let closed = told(reading(1, Circuit::Closed, false), 4_000);
    assert!(closed[0].ends_with("closed") && closed[1].ends_with("is let back in"), "{closed:?}");
}

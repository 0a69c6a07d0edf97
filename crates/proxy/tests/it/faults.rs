//! Every way in which a replica can fail, under load: what callers see, and that nobody else notices.
//!
//! `WRITE_FAULTS=1 cargo nextest run --release -p proxy faults::` writes what it finds to `docs/faults.md`.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use crate::common::sick::{Patient, Sickness};
use crate::common::traffic::{Report, Traffic};
use crate::common::*;
use model::{Protocol, RouteTable};

/// `limits.timeout` of the sick service.
const TIMEOUT: Duration = Duration::from_millis(500);
/// No answer may take longer: three attempts at most within the deadline, and the rest of an answer. A guard against hanging, not a
/// measurement.
const GUARD: Duration = Duration::from_secs(20);

const ALL: &[(Sickness, &str, &[&str])] = &[
    (
        Sickness::Killed,
        "refuses connections (killed)",
        &["502 connect_failed", "504 timeout", "503 circuit_open"],
    ),
    (Sickness::Reset, "resets the connection", &["502 upstream_closed", "503 circuit_open"]),
    (Sickness::HalfClose, "closes its half before answering", &["502 upstream_closed", "503 circuit_open"]),
    (Sickness::Hang, "hangs", &["504 timeout", "503 circuit_open"]),
    (Sickness::Slow, "is slow, in time", &["200"]),
    (Sickness::Trickle, "sends its body byte by byte", &["200"]),
    (Sickness::Stall, "stops in the middle of a body", &["200 cut short", "503 circuit_open"]),
    (Sickness::Unavailable, "answers 503", &["503", "503 circuit_open"]),
    (Sickness::Error, "answers 500", &["500"]),
    (Sickness::Short, "sends less than it announced", &["200 cut short", "503 circuit_open"]),
    (Sickness::Unfinished, "leaves out the last chunk", &["200 cut short", "503 circuit_open"]),
    (Sickness::Long, "sends more than it announced", &["200"]),
    (Sickness::Garbage, "answers with garbage", &["502 bad_response", "503 circuit_open"]),
    (Sickness::Flapping, "is well and sick by turns", &["200", "503", "503 circuit_open"]),
];

struct Place {
    _plane: Plane,
    sick: SocketAddr,
    well: SocketAddr,
}

impl Place {
    /// An edge to `replicas`, and beside it one to a service that is well.
    async fn new(replicas: &[SocketAddr]) -> Self {
        let (sick, well) = (free(), free());
        let table = Table::new().edge(sick, "web", "s").edge(well, "web", "other");
        let table = table.upstream("s", Protocol::Http, replicas).request_timeout("s", TIMEOUT);
        let table = table.upstream("other", Protocol::Http, &[named("well").await]);
        Self { _plane: Plane::with(&table.0).await, sick, well }
    }
}

/// One service whose only replica is sick.
async fn alone(sickness: Sickness) -> (Report, Report, usize) {
    let patient = Patient::new(sickness).await;
    let place = Place::new(&[patient.address]).await;
    let beside = Traffic::new().h1(place.well, 2, "GET", "/");
    let callers = Traffic::new().h1(place.sick, 3, "GET", "/").h1(place.sick, 1, "POST", "/");
    callers.more(if matches!(sickness, Sickness::Slow | Sickness::Trickle) { 60 } else { 300 }).await;
    beside.more(300).await;
    (callers.stop().await, beside.stop().await, patient.seen())
}

/// One replica of three that falls sick under load.
async fn one_of_three(sickness: Sickness) -> Report {
    let [a, b, c] = [
        Patient::new(Sickness::Well).await,
        Patient::new(Sickness::Well).await,
        Patient::new(Sickness::Well).await,
    ];
    let place = Place::new(&[a.address, b.address, c.address]).await;
    let callers = Traffic::new().h1(place.sick, 6, "GET", "/").h1(place.sick, 2, "POST", "/");
    callers.more(500).await;
    a.becomes(sickness).await;
    callers.more(9500).await;
    callers.stop().await
}

fn shares(report: &Report) -> String {
    let all = report.all();
    let mut outcomes: Vec<_> = report.outcomes.iter().collect();
    outcomes.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let shares =
        outcomes.iter().map(|(name, count)| format!("{name} ({:.1} %)", **count as f64 * 100.0 / all as f64));
    shares.collect::<Vec<_>>().join(", ")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn matrix_of_all_faults() {
    let mut rows = String::new();
    let (_, calm, _) = alone(Sickness::Well).await;
    for (sickness, what, expected) in ALL {
        let (seen, beside, asked) = alone(*sickness).await;
        for outcome in seen.outcomes.keys() {
            assert!(expected.contains(&outcome.as_str()), "{sickness:?}: {outcome} in {:?}", seen.outcomes);
        }
        for outcome in expected.iter().take(1) {
            assert!(seen.count(outcome) > 0, "{sickness:?}: no {outcome} in {:?}", seen.outcomes);
        }
        assert!(seen.slowest() < GUARD, "{sickness:?}: {:?}", seen.slowest());
        assert_eq!(beside.failed(), 0, "beside {sickness:?}: {:?}", beside.outcomes);
        let repeated = asked.saturating_sub(seen.all());
        assert!(repeated <= seen.all() / 5 + 200, "{sickness:?}: {asked} for {}", seen.all());

        let three = one_of_three(*sickness).await;
        let failed = three.failed() as f64 * 100.0 / three.all() as f64;
        assert!(failed <= 0.1, "{sickness:?}: {failed:.3} % of {}: {:?}", three.all(), three.outcomes);
        let row = format!(
            "| {what} | {} | {:.0} ms | {:.1} → {:.1} ms | {} of {} ({failed:.2} %) |",
            shares(&seen),
            seen.slowest().as_secs_f64() * 1000.0,
            calm.p99(),
            beside.p99(),
            three.failed(),
            three.all(),
        );
        println!("{row}");
        writeln!(rows, "{row}").unwrap();
    }
    if std::env::var_os("WRITE_FAULTS").is_some() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/faults.md");
        std::fs::write(path, format!("{HEAD}{rows}{FOOT}")).unwrap();
    }
}

const HEAD: &str = "\
# What callers see of each fault

Written by `WRITE_FAULTS=1 cargo nextest run --release -p proxy faults::`, which also checks every row, against real sockets;
see `crates/proxy/tests/it/faults.rs`. The times are those of one run on a small machine that did other things too. How the data plane
comes to this is in [resilience.md](resilience.md).

- **The only replica**: the service has one replica, and it is sick from the beginning; three callers read, one writes (`POST`), each as fast as it can;
  `limits.timeout` is 500 ms. The status is what the caller gets, with the code in `x-isles-error`; *cut short* is a connection that ends
  (HTTP/1.1) or a stream that is reset (HTTP/2) before the answer is whole, so that no caller takes it for one.
- **Slowest**: the longest time until a caller knew.
- **Beside it**: the 99th percentile of another service behind the same data plane while nothing is sick, and while this is. None of its requests fails.
- **One of three**: a service of three replicas, one of which falls sick under load; requests that failed, of all from the first to the last,
  those before ejection included. Six callers read and two write.

| a replica that | the only replica | slowest | beside it, p99 | one of three: failed |
|---|---|---|---|---|
";

const FOOT: &str = "
A 500 is an answer: it may be the request's fault as well as the replica's. So it is not repeated, a service that answers all with 500 is not cut off, and
it is held against a replica only where the others do not answer so too.
";

#[tokio::test]
async fn what_is_sent_too_much_is_nobodys_answer() {
    let patient = Patient::new(Sickness::Long).await;
    let place = Place::new(&[patient.address]).await;
    for _ in 0..100 {
        for method in ["GET", "POST"] {
            let response = fetch(place.sick, request(method, "/", "")).await;
            assert_eq!((response.status().as_u16(), text(response).await.as_str()), (200, "well"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_storm_stays_within_the_budget_when_all_replicas_fail() {
    for sickness in [Sickness::Unavailable, Sickness::Reset, Sickness::Garbage] {
        let mut patients = Vec::new();
        for _ in 0..3 {
            patients.push(Patient::new(sickness).await);
        }
        let addresses: Vec<_> = patients.iter().map(|patient| patient.address).collect();
        let place = Place::new(&addresses).await;
        let begun = std::time::Instant::now();
        let storm = Traffic::new().h1(place.sick, 8, "GET", "/");
        storm.more(2000).await;
        let report = storm.stop().await;
        let windows = begun.elapsed().as_secs() as usize / 10 + 1;
        let seen: usize = patients.iter().map(Patient::seen).sum();
        let most = report.all() + report.all() / 5 + 100 * windows;
        assert!(seen <= most, "{sickness:?}: {seen} for {} requests", report.all());
        assert!(report.count("503 circuit_open") > report.all() / 2, "{:?}", report.outcomes);
        println!("{sickness:?}: {seen} attempts for {} requests", report.all());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_is_killed_and_comes_back_is_asked_again() {
    let patients = [Patient::new(Sickness::Well).await, Patient::new(Sickness::Well).await];
    let place = Place::new(&patients.each_ref().map(|patient| patient.address)).await;
    let callers = Traffic::new().h1(place.sick, 4, "GET", "/");
    callers.more(300).await;
    for patient in &patients {
        patient.becomes(Sickness::Killed).await;
    }
    until("callers are told that all are gone", async || {
        let seen = callers.so_far();
        (seen.count("502 connect_failed") + seen.count("503 circuit_open") > 50).then_some(())
    })
    .await;
    for patient in &patients {
        patient.becomes(Sickness::Well).await;
    }
    let before = callers.so_far().count("200");
    let begun = std::time::Instant::now();
    while callers.so_far().count("200") < before + 300 {
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", callers.so_far().outcomes);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let report = callers.stop().await;
    let known = ["200", "502 connect_failed", "502 upstream_closed", "503 circuit_open", "503 no_replica"];
    assert!(report.outcomes.keys().all(|outcome| known.contains(&outcome.as_str())), "{:?}", report.outcomes);
}

/// Routes, replicas and limits, each changed many times under load.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_routes_replicas_and_limits_lose_no_request_and_close_no_connection() {
    let (gateway, edge) = (free(), free());
    let mut patients = Vec::new();
    for _ in 0..4 {
        patients.push(Patient::new(Sickness::Well).await);
    }
    let replicas: Vec<_> = patients.iter().map(|patient| patient.address).collect();
    let table = |version: u64| -> RouteTable {
        let n = version as usize;
        // Another set of replicas, other routes and other limits in every version.
        let some = [replicas[n % 4], replicas[(n + 1) % 4]];
        let mut routes = vec![route("/", if n.is_multiple_of(2) { "s" } else { "t" })];
        if n.is_multiple_of(3) {
            routes.push(route("/some", "s"));
            routes.push(route(&format!("/only-in-{n}"), "t"));
        }
        let table = Table::new().version(version).gateway(gateway, routes).edge(edge, "web", "s");
        let table =
            table.upstream("s", Protocol::Http, &some[..1 + n % 2]).upstream("t", Protocol::Http, &some);
        let table = table
            .in_flight("s", 64 + (n % 5) as u32)
            .request_timeout("s", Duration::from_secs(2 + n as u64 % 3));
        let mut table = table.0;
        let service = table.upstreams.values_mut().next().unwrap();
        (service.retries, service.timeouts.connect) = (n as u32 % 3, Duration::from_millis(500 + version));
        table
    };
    let mut plane = Plane::with(&table(1)).await;
    let traffics = [
        ("gateway", 4, Traffic::new().h1(gateway, 4, "GET", "/some/path")),
        ("gateway, POST", 2, Traffic::new().h1(gateway, 2, "POST", "/")),
        ("gateway, HTTP/2", 2, Traffic::new().h2(gateway, 2, "/some/path")),
        ("edge", 4, Traffic::new().h1(edge, 4, "GET", "/")),
    ];
    for version in 2..102 {
        assert!(plane.apply(&table(version)).await.failed.is_empty());
        for (_, _, traffic) in &traffics {
            traffic.more(10).await;
        }
    }
    for (name, connections, traffic) in traffics {
        let report = traffic.stop().await;
        assert_eq!(report.failed(), 0, "{name}: {:?}", report.outcomes);
        assert_eq!(report.connections, connections, "{name}: a connection was closed");
        println!("{name}: {} requests, 100 changes, slowest {:?}", report.all(), report.slowest());
    }
}

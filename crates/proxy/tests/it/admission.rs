//! Who is refused so that others are served: circuits and limits.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use crate::common::*;
use model::Protocol;
use tokio::net::{TcpListener, TcpStream};

/// The status, the code of a refusal, and the pause that it asks for.
async fn refusal(address: SocketAddr) -> (u16, String, String) {
    let response = fetch(address, request("POST", "/", "")).await;
    let field = |name| response.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    (response.status().as_u16(), field("x-isles-error"), field("retry-after"))
}

#[tokio::test]
async fn a_service_that_fails_is_not_asked_for_a_while_and_then_tried() {
    let well = Arc::new(AtomicBool::new(false));
    let is_well = Arc::clone(&well);
    let (replica, seen) =
        scripted(false, move |_, _| answer(if is_well.load(Relaxed) { 200 } else { 503 }, "")).await;
    let (address, other) = (free(), free());
    let table = Table::new().edge(address, "web", "s").edge(other, "cron", "s");
    let _plane = Plane::with(&table.upstream("s", Protocol::Http, &[replica]).0).await;
    let statuses = hammer(address, 4, 50, "POST").await;
    assert!(statuses.iter().all(|status| *status == 503));
    let asked = seen.load(Relaxed);
    assert!((20..24).contains(&asked), "{asked} of {}", statuses.len());
    let (status, code, after) = refusal(address).await;
    assert_eq!((status, code.as_str()), (503, "circuit_open"));
    assert!((1..=5).contains(&after.parse().unwrap()), "{after}");
    assert_eq!(refusal(other).await.1, "", "another caller's circuit is its own");

    well.store(true, Relaxed);
    until("a trial goes well", async || (refusal(address).await.0 == 200).then_some(())).await;
    for _ in 0..2 {
        assert_eq!(refusal(address).await.0, 200, "the second and the third trial");
    }
    let asked = seen.load(Relaxed);
    assert!(hammer(address, 4, 5, "POST").await.iter().all(|status| *status == 200));
    assert!(seen.load(Relaxed) >= asked + 20);
}

#[tokio::test]
async fn what_is_more_than_the_limit_is_refused_at_once() {
    let (release, released) = tokio::sync::watch::channel(false);
    let holding = backend(false, move |_| {
        let mut released = released.clone();
        async move {
            released.wait_for(|released| *released).await.unwrap();
            answer(200, "done")
        }
    })
    .await;
    let (address, gateway) = (free(), free());
    let table = Table::new().edge(address, "web", "s").gateway(gateway, vec![route("/", "s")]);
    let mut plane = Plane::with(&table.upstream("s", Protocol::Http, &[holding]).in_flight("s", 3).0).await;
    let held: Vec<_> = (0..3).map(|_| tokio::spawn(get(address, "/"))).collect();
    until("three are in flight", async || (plane.stats().await.endpoints[0].in_flight == 3).then_some(()))
        .await;
    for listener in [address, gateway].repeat(8) {
        assert_eq!(refusal(listener).await, (503, "overloaded".to_owned(), "1".to_owned()));
    }
    release.send(true).unwrap();
    for held in held {
        assert_eq!(held.await.unwrap(), (200, "done".to_owned()));
    }
    until("there is room again", async || (refusal(address).await.0 == 200).then_some(())).await;
    assert_eq!(plane.stats().await.endpoints[0].failures, 0, "no replica is to blame");
}

#[tokio::test]
async fn an_open_circuit_is_tried_at_once_when_a_replica_is_new() {
    let (sick, _) = scripted(false, |_, _| answer(503, "")).await;
    let address = free();
    let table = |version, replica| {
        let table = Table::new().version(version).edge(address, "web", "s");
        table.upstream("s", Protocol::Http, &[replica]).0
    };
    let mut plane = Plane::with(&table(1, sick)).await;
    hammer(address, 2, 15, "POST").await;
    assert_eq!(refusal(address).await.1, "circuit_open");
    plane.apply(&table(2, sick)).await;
    assert_eq!(refusal(address).await.1, "circuit_open", "the same replica is no news");
    let (sick_too, seen) = scripted(false, |_, _| answer(503, "")).await;
    plane.apply(&table(3, sick_too)).await;
    for code in ["", "circuit_open"] {
        let response = fetch(address, request("GET", "/", "")).await;
        let found = response.headers().get("x-isles-error").map_or("", |code| code.to_str().unwrap());
        assert_eq!((response.status().as_u16(), found), (503, code));
    }
    assert_eq!(seen.load(Relaxed), 1, "a trial is one attempt");
    plane.apply(&table(4, named("well").await)).await;
    for _ in 0..10 {
        assert_eq!(refusal(address).await.0, 200);
    }
}

#[tokio::test]
async fn connections_count_where_only_bytes_are_known() {
    let replica = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free();
    let table = Table::new().edge(address, "web", "s");
    let table = table.upstream("s", Protocol::Tcp, &[replica.local_addr().unwrap()]).in_flight("s", 1);
    let mut plane = Plane::with(&table.0).await;
    let first = TcpStream::connect(address).await.unwrap();
    let _accepted = replica.accept().await.unwrap();
    assert_eq!(raw(address, b"").await, "", "closed at once");
    assert_eq!(plane.stats().await.listeners[0].failures, 1);
    drop((first, _accepted));
    until("there is room again", async || (plane.stats().await.endpoints[0].in_flight == 0).then_some(()))
        .await;
    let _second = TcpStream::connect(address).await.unwrap();
    replica.accept().await.unwrap();
}

/// A service that works at four requests at a time, 20 ms for each; the rest waits in turn.
struct Narrow {
    address: SocketAddr,
    /// The most that were inside at a time.
    most: Arc<AtomicUsize>,
}

impl Narrow {
    async fn start() -> Self {
        let (counted, most) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let peak = Arc::clone(&most);
        let slots = Arc::new(tokio::sync::Semaphore::new(4));
        let address = backend(false, move |_| {
            let (counted, peak, slots) = (Arc::clone(&counted), Arc::clone(&peak), Arc::clone(&slots));
            async move {
                peak.fetch_max(counted.fetch_add(1, Relaxed) + 1, Relaxed);
                let slot = slots.acquire().await.unwrap();
                tokio::time::sleep(Duration::from_millis(20)).await;
                drop(slot);
                counted.fetch_sub(1, Relaxed);
                answer(200, "")
            }
        })
        .await;
        Self { address, most }
    }
}

/// Clients that send one request after the other until they are told to stop; one that was refused pauses a little.
fn clients(address: SocketAddr, count: usize, served: &Arc<AtomicUsize>) -> tokio::task::JoinSet<()> {
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..count {
        let served = Arc::clone(served);
        clients.spawn(async move {
            loop {
                match hammer(address, 1, 1, "POST").await[0] {
                    200 => served.fetch_add(1, Relaxed),
                    _ => {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                        0
                    }
                };
            }
        });
    }
    clients
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_requests_wait_on_purpose_nothing_is_learned_from_how_long() {
    let narrow = Narrow::start().await;
    let address = free();
    let table = Table::new().edge(address, "web", "s").upstream("s", Protocol::Http, &[narrow.address]);
    let mut plane = Plane::with(&table.in_flight("s", 500).patient("s").0).await;
    let served = Arc::<AtomicUsize>::default();
    let calm = clients(address, 4, &served);
    patiently("what is usual is known", async || (served.load(Relaxed) >= 600).then_some(())).await;
    let crowd = clients(address, 100, &served);
    patiently("many more are served", async || (served.load(Relaxed) >= 1_400).then_some(())).await;
    let signals = plane.client.signals().await.unwrap();
    assert_eq!((signals.services[0].learned_limit, signals.edges[0].shed), (None, 0));
    assert!(narrow.most.load(Relaxed) > 80, "all of them waited");
    drop((calm, crowd));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_at_a_service_is_kept_short_and_everything_that_can_be_done_is_done() {
    let narrow = Narrow::start().await;
    let address = free();
    let table = Table::new().edge(address, "web", "s").upstream("s", Protocol::Http, &[narrow.address]);
    let mut plane = Plane::with(&table.in_flight("s", 60).0).await;
    let served = Arc::<AtomicUsize>::default();

    let calm = clients(address, 4, &served);
    let warm = async || (served.load(Relaxed) >= 600).then_some(());
    patiently("what is usual is known", warm).await;
    let signals = plane.client.signals().await.unwrap();
    assert_eq!((signals.edges[0].requests.outcomes.failed, signals.services[0].learned_limit), (0, None));

    let crowd = clients(address, 100, &served);
    patiently("the limit is low", async || {
        let signals = plane.client.signals().await.unwrap();
        signals.services[0].learned_limit.filter(|limit| *limit < 30 && signals.edges[0].shed > 0)
    })
    .await;
    assert!(narrow.most.load(Relaxed) > 50, "without a limit of its own the service had a long queue");

    narrow.most.store(0, Relaxed);
    let so_far = served.load(Relaxed);
    patiently("many more are served", async || (served.load(Relaxed) >= so_far + 400).then_some(())).await;
    let most = narrow.most.load(Relaxed);
    assert!((4..=34).contains(&most), "{most} at a time: too long a queue, or slots left empty");

    drop((calm, crowd));
    let signals = until("all have left", async || {
        let signals = plane.client.signals().await.unwrap();
        (signals.services[0].in_flight == 0).then_some(signals)
    })
    .await;
    assert_eq!(signals.replicas[0].attempts.outcomes.failed, 0, "no replica is to blame");
    assert!(signals.edges[0].codes.contains_key("overloaded"));
}

/// As `until`, for what takes seconds on a machine that does nothing else.
async fn patiently<T>(what: &str, mut poll: impl AsyncFnMut() -> Option<T>) -> T {
    let waited = async {
        loop {
            if let Some(value) = poll().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    match tokio::time::timeout(Duration::from_secs(100), waited).await {
        Ok(value) => value,
        Err(_) => panic!("waited in vain until {what}"),
    }
}

#[tokio::test]
async fn one_caller_leaves_places_to_another_that_calls_too() {
    let (release, released) = tokio::sync::watch::channel(false);
    let replica = backend(false, move |request| {
        let mut released = released.clone();
        async move {
            if request.uri().path() == "/hold" {
                released.wait_for(|released| *released).await.unwrap();
            }
            answer(200, "done")
        }
    })
    .await;
    let (web, cron) = (free(), free());
    let table = Table::new().edge(web, "web", "s").edge(cron, "cron", "s");
    let mut plane = Plane::with(&table.upstream("s", Protocol::Http, &[replica]).in_flight("s", 10).0).await;
    let mut in_flight = async |count: u64| {
        until("so many are in flight", async || {
            let services = plane.client.signals().await.unwrap().services;
            (services[0].in_flight == count).then_some(())
        })
        .await;
    };
    let hold = |address| tokio::spawn(async move { get(address, "/hold").await.0 });

    let mut held: Vec<_> = (0..10).map(|_| hold(web)).collect();
    in_flight(10).await;
    assert_eq!(refusal(cron).await.1, "overloaded", "alone, a caller may have everything");
    release.send(true).unwrap();
    for held in held.drain(..) {
        assert_eq!(held.await.unwrap(), 200);
    }
    in_flight(0).await;
    release.send(false).unwrap();

    held.extend((0..8).map(|_| hold(web)));
    in_flight(8).await;
    assert_eq!(refusal(web).await.1, "overloaded", "the rest is for the other one, which asked a moment ago");
    held.extend((0..2).map(|_| hold(cron)));
    in_flight(10).await;
    release.send(true).unwrap();
    for held in held {
        assert_eq!(held.await.unwrap(), 200);
    }
    let edges = plane.client.signals().await.unwrap().edges;
    let of = |caller: &str| edges.iter().find(|e| e.caller.as_ref().unwrap().as_str() == caller).unwrap();
    assert_eq!((of("web").over_share, of("cron").over_share), (1, 0));
}

//! A service in trouble is neither lost nor drowned: real sockets, scripted replicas.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use common::*;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use model::Protocol;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A replica whose answers are scripted: the function gets the number of the request, from 0 on.
async fn scripted<F>(h2: bool, script: F) -> (SocketAddr, Arc<AtomicUsize>)
where
    F: Fn(usize, &Request<Incoming>) -> Response<Body> + Clone + Send + Sync + 'static,
{
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let address = backend(h2, move |request| {
        let answer = script(count.fetch_add(1, Relaxed), &request);
        async move { answer }
    })
    .await;
    (address, seen)
}

fn answer(status: u16, text: impl Into<bytes::Bytes>) -> Response<Body> {
    Response::builder().status(status).body(full(text)).unwrap()
}

fn with(mut request: Request<Body>, name: &'static str, value: &str) -> Request<Body> {
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

/// `clients` connections that send `each` requests one after the other; how many got which status.
async fn hammer(address: SocketAddr, clients: usize, each: usize, method: &'static str) -> Vec<u16> {
    let mut running = JoinSet::new();
    for _ in 0..clients {
        running.spawn(async move {
            let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
            let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
            tokio::spawn(connection);
            let mut statuses = Vec::with_capacity(each);
            for _ in 0..each {
                sender.ready().await.unwrap();
                let response = sender.send_request(request(method, "/", "")).await.unwrap();
                statuses.push(response.status().as_u16());
                text(response).await;
            }
            statuses
        });
    }
    running.join_all().await.concat()
}

#[tokio::test]
async fn an_answer_of_unavailable_is_tried_again_where_that_is_safe() {
    for status in [502, 503, 504] {
        let (sick, seen) = scripted(false, move |n, _| answer(if n == 0 { status } else { 200 }, "up")).await;
        let (_plane, address) = edge_to(&[sick]).await;
        assert_eq!(get(address, "/").await, (200, "up".to_owned()));
        assert_eq!(seen.load(Relaxed), 2);
    }
    for (status, method, key, expected, attempts) in [
        (503, "POST", None, 503, 1),
        (503, "POST", Some("k1"), 503, 3),
        (500, "GET", None, 500, 1),
        (503, "GET", None, 503, 3),
    ] {
        let (sick, seen) = scripted(false, move |_, _| answer(status, "down")).await;
        let (mut plane, address) = edge_to(&[sick]).await;
        let mut asked = request(method, "/", "body");
        if let Some(key) = key {
            asked = with(asked, "idempotency-key", key);
        }
        let response = fetch(address, asked).await;
        assert_eq!(
            (response.status().as_u16(), seen.load(Relaxed)),
            (expected, attempts),
            "{method} {key:?}"
        );
        assert_eq!(text(response).await, "down", "the last answer is passed on");
        let stats = plane.stats().await;
        assert_eq!(stats.endpoints[0].failures, attempts as u64);
        assert_eq!((stats.listeners[0].requests, stats.listeners[0].failures), (1, 1));
    }
}

#[tokio::test]
async fn grpc_is_tried_again_when_it_is_unavailable_without_a_message() {
    let (replica, seen) = scripted(true, |n, request| {
        let status = if n == 0 { "14" } else { "0" };
        let left = request.headers()["grpc-timeout"].clone();
        Response::builder().header("grpc-status", status).header("left", left).body(full("")).unwrap()
    })
    .await;
    let (_plane, address) = edge_to(&[replica]).await;
    let call = |timeout: &str| {
        let call = Request::post("http://s/pkg.Service/Call").header("content-type", "application/grpc");
        call.header("idempotency-key", "k1").header("grpc-timeout", timeout).body(full("")).unwrap()
    };
    let response = fetch_h2(address, call("2S")).await;
    assert_eq!((&response.headers()["grpc-status"], seen.load(Relaxed)), (&"0".parse().unwrap(), 2));
    let left = |response: &Response<Incoming>| -> u64 {
        response.headers()["left"].to_str().unwrap().strip_suffix('m').unwrap().parse().unwrap()
    };
    assert!((1..=2000).contains(&left(&response)), "the caller's limit goes on");
    let response = fetch_h2(address, call("1H")).await;
    assert!((2001..=5000).contains(&left(&response)), "the service's limit is smaller");
}

#[tokio::test]
async fn a_short_pause_that_an_answer_asks_for_is_made_and_a_long_one_is_passed_on() {
    let after = |seconds: &'static str| {
        scripted(false, move |n, _| {
            let mut answer = answer(if n == 0 { 503 } else { 200 }, "");
            answer.headers_mut().insert("retry-after", seconds.parse().unwrap());
            answer
        })
    };
    let (replica, seen) = after("1").await;
    let (_plane, address) = edge_to(&[replica]).await;
    let begun = Instant::now();
    assert_eq!(get(address, "/").await.0, 200);
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(seen.load(Relaxed), 2);

    for (seconds, deadline) in [("30", "5000"), ("1", "900")] {
        let (replica, seen) = after(seconds).await;
        let (_plane, address) = edge_to(&[replica]).await;
        let response = fetch(address, with(request("GET", "/", ""), "x-isles-deadline", deadline)).await;
        assert_eq!((response.status().as_u16(), seen.load(Relaxed)), (503, 1));
        assert_eq!(response.headers()["retry-after"], seconds);
    }
}

#[tokio::test]
async fn a_repetition_says_so_and_is_not_multiplied_by_the_next_hop() {
    let script = |_, request: &Request<Incoming>| match request.headers().get("x-isles-attempt") {
        None => answer(503, ""),
        Some(attempt) => answer(200, attempt.to_str().unwrap().to_owned()),
    };
    let (replica, _) = scripted(false, script).await;
    let (_plane, address) = edge_to(&[replica]).await;
    assert_eq!(get(address, "/").await, (200, "2".to_owned()));

    let repetition = || with(request("GET", "/", ""), "x-isles-attempt", "2");
    let (down, seen) = scripted(false, |_, _| answer(503, "")).await;
    let (_plane, address) = edge_to(&[down]).await;
    assert_eq!(fetch(address, repetition()).await.status(), 503);
    assert_eq!(seen.load(Relaxed), 1);
    let (_plane, address) = gateway_to(&[down]).await;
    assert_eq!(fetch(address, repetition()).await.status(), 503);
    assert_eq!(seen.load(Relaxed), 1 + 3, "nobody outside can switch repetitions off");
}

#[tokio::test]
async fn an_answer_that_is_not_passed_on_leaves_its_connection_usable() {
    let replica = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (_plane, address) = edge_to(&[replica.local_addr().unwrap()]).await;
    let asked = tokio::spawn(async move { get(address, "/").await });
    let (mut connection, _) = replica.accept().await.unwrap();
    let head = "content-length: 4\r\n\r\n";
    for (status, rest) in [("503 Busy", "busy"), ("200 OK", "well")] {
        read_head(&mut connection).await;
        let (first, second) = rest.split_at(2);
        let answer = format!("HTTP/1.1 {status}\r\nretry-after: 1\r\n{head}{first}");
        connection.write_all(answer.as_bytes()).await.unwrap();
        connection.write_all(second.as_bytes()).await.unwrap();
    }
    assert_eq!(asked.await.unwrap(), (200, "well".to_owned()), "over the one connection that was accepted");
}

#[tokio::test]
async fn nothing_is_dialled_when_no_time_is_left() {
    let replica = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (mut plane, address) = edge_to(&[replica.local_addr().unwrap()]).await;
    let response = fetch(address, with(request("GET", "/", ""), "x-isles-deadline", "0")).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["x-isles-error"]),
        (504, &"timeout".parse().unwrap())
    );
    assert_eq!(plane.stats().await.endpoints[0].requests, 0);
}

#[tokio::test]
async fn a_storm_of_repetitions_stays_within_the_budget() {
    let (replica, seen) = scripted(false, |n, _| answer(if n % 5 < 2 { 503 } else { 200 }, "")).await;
    let (_plane, address) = edge_to(&[replica]).await;
    let begun = Instant::now();
    let statuses = hammer(address, 20, 100, "GET").await;
    let windows = begun.elapsed().as_secs() as usize / 10 + 1;
    let repeated = seen.load(Relaxed) - statuses.len();
    assert!(repeated >= 100, "{repeated}");
    assert!(repeated <= statuses.len() / 5 + 100 * windows, "{repeated} in {windows} windows");
    assert!(statuses.contains(&503), "the answer is passed on when the budget is spent");
}

#[tokio::test]
async fn a_slow_replica_of_three_gets_few_requests() {
    let slow = backend(false, |_| async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        answer(200, "slow")
    })
    .await;
    let (mut plane, address) = edge_to(&[slow, named("a").await, named("b").await]).await;
    hammer(address, 8, 100, "GET").await;
    let stats = plane.stats().await;
    let requests: Vec<u64> = stats.endpoints.iter().map(|endpoint| endpoint.requests).collect();
    assert!(requests[0] < 80, "a tenth at most: {requests:?}");
    assert!(requests[1] > 200 && requests[2] > 200, "{requests:?}");
}

#[tokio::test]
async fn one_sick_replica_of_three_costs_next_to_nothing() {
    let (unavailable, _) = scripted(false, |_, _| answer(503, "sick")).await;
    let closing = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closes = closing.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            read_head(&mut closing.accept().await.unwrap().0).await;
        }
    });
    for sick in [unavailable, closes] {
        let (mut plane, address) = edge_to(&[sick, named("a").await, named("b").await]).await;
        let (read, written) = tokio::join!(hammer(address, 9, 800, "GET"), hammer(address, 3, 800, "POST"));
        let failed = |statuses: &[u16]| statuses.iter().filter(|status| **status != 200).count();
        assert_eq!(failed(&read), 0, "reads are asked again elsewhere");
        let all = read.len() + written.len();
        assert!(failed(&written) * 1000 <= all, "{} of {all}", failed(&written));
        let stats = plane.stats().await;
        let ejected: Vec<bool> = stats.endpoints.iter().map(|endpoint| endpoint.ejected).collect();
        assert_eq!(ejected, [true, false, false]);
        assert!(stats.endpoints[0].requests <= 5 + 12, "only those under way: {stats:?}");
    }
}

#[tokio::test]
async fn at_most_half_of_the_replicas_are_left_out() {
    let (a, _) = scripted(false, |_, _| answer(503, "")).await;
    let (b, _) = scripted(false, |_, _| answer(503, "")).await;
    let (mut plane, address) = edge_to(&[a, b]).await;
    hammer(address, 4, 20, "POST").await;
    let ejected = |stats: proxy::link::Stats| stats.endpoints.iter().filter(|e| e.ejected).count();
    assert_eq!(ejected(plane.stats().await), 1);

    let table = Table::new().version(2).edge(address, "web", "s").upstream("s", Protocol::Http, &[a]);
    plane.apply(&table.0).await;
    assert_eq!(ejected(plane.stats().await), 0, "the one that is left is not left out");
}

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
async fn a_request_that_never_arrived_is_no_repetition() {
    let (_plane, address) = edge_to(&[free(), mirror().await]).await;
    for _ in 0..10 {
        let (status, head) = get(address, "/").await;
        assert_eq!(status, 200);
        assert!(!head.contains("x-isles-attempt"), "{head}");
    }
}

#[tokio::test]
async fn a_replica_that_hangs_is_left_out_but_not_because_of_callers_that_have_no_time() {
    let (a, b) =
        (TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let replicas = [a.local_addr().unwrap(), b.local_addr().unwrap()];
    let address = free();
    let table = Table::new().edge(address, "web", "s").upstream("s", Protocol::Http, &replicas);
    let mut plane = Plane::with(&table.request_timeout("s", Duration::from_millis(200)).0).await;
    for _ in 0..24 {
        let hurried = with(request("GET", "/", ""), "x-isles-deadline", "5");
        assert_eq!(fetch(address, hurried).await.headers()["x-isles-error"], "timeout");
    }
    let ejected = |stats: proxy::link::Stats| stats.endpoints.iter().filter(|e| e.ejected).count();
    assert_eq!(ejected(plane.stats().await), 0);
    hammer(address, 16, 1, "GET").await;
    assert_eq!(ejected(plane.stats().await), 1, "half of them");
}

#[tokio::test]
async fn who_hangs_is_asked_no_more_when_the_client_has_left() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (mut plane, address) = edge_to(&[silent.local_addr().unwrap(), named("up").await]).await;
    for _ in 0..60 {
        let answered = tokio::time::timeout(Duration::from_millis(800), get(address, "/")).await;
        if answered.is_err() {
            // Or it would be passed over for the request that it still has.
            until("the data plane has noticed", async || {
                (plane.stats().await.endpoints[0].in_flight == 0).then_some(())
            })
            .await;
        }
    }
    let stats = plane.stats().await;
    let asked: Vec<u64> = stats.endpoints.iter().map(|endpoint| endpoint.requests).collect();
    assert!(asked[0] <= 2, "each of two workers finds out once: {asked:?}");
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

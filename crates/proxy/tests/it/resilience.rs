//! A service in trouble is neither lost nor drowned: real sockets, scripted replicas.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crate::common::*;
use http::{Request, Response};
use hyper::body::Incoming;
use model::Protocol;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

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

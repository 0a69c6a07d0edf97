//! What happens when replicas fail.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::common::traffic::{echoing, say};
use crate::common::*;
use bytes::Bytes;
use http::Request;
use model::Protocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A replica that reads the head of a request and closes; counts the requests.
async fn closing() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, seen) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&seen);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            if !read_head(&mut stream).await.is_empty() {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    (address, seen)
}

async fn code(address: SocketAddr, request: Request<Body>) -> (u16, String) {
    let response = fetch(address, request).await;
    let code = response.headers().get("x-isles-error").map(|code| code.to_str().unwrap().to_owned());
    (response.status().as_u16(), code.unwrap_or_default())
}

#[tokio::test]
async fn a_replica_that_refuses_is_replaced_for_every_method() {
    let (_plane, address) = edge_to(&[free(), named("up").await]).await;
    for method in ["GET", "POST"] {
        for _ in 0..20 {
            let response = fetch(address, request(method, "/", "body")).await;
            assert_eq!((response.status().as_u16(), text(response).await.as_str()), (200, "up"));
        }
    }
}

#[tokio::test]
async fn a_closed_connection_is_tried_again_where_that_is_safe() {
    let (dead, seen) = closing().await;
    let (mut plane, address) = edge_to(&[dead, named("up").await]).await;
    for _ in 0..20 {
        assert_eq!(get(address, "/").await, (200, "up".to_owned()));
    }
    assert!(seen.load(Ordering::Relaxed) > 0, "the closing replica got its share");
    let failures = |stats: proxy::link::Stats| stats.endpoints.iter().map(|e| e.failures).sum::<u64>();
    assert_eq!(failures(plane.stats().await), seen.load(Ordering::Relaxed) as u64);

    let mut with_key = request("POST", "/", "body");
    with_key.headers_mut().insert("idempotency-key", "k1".parse().unwrap());
    for _ in 0..20 {
        let response = fetch(address, clone(&with_key, "body")).await;
        assert_eq!((response.status().as_u16(), text(response).await.as_str()), (200, "up"));
    }

    // A data plane that does not know yet which one to avoid.
    let (_plane, address) = edge_to(&[dead, named("up").await]).await;
    let before = seen.load(Ordering::Relaxed);
    let mut refused = 0;
    for _ in 0..40 {
        let (status, code) = code(address, request("POST", "/", "body")).await;
        match status {
            200 => {}
            502 => {
                assert_eq!(code, "upstream_closed");
                refused += 1;
            }
            other => panic!("{other} {code}"),
        }
    }
    assert!(refused > 0);
    assert_eq!(refused, seen.load(Ordering::Relaxed) - before, "no POST was sent twice");
}

fn clone(request: &Request<Body>, body: &'static str) -> Request<Body> {
    let mut copy = Request::builder().method(request.method()).uri(request.uri()).body(full(body)).unwrap();
    *copy.headers_mut() = request.headers().clone();
    copy
}

#[tokio::test]
async fn a_remembered_body_arrives_whole_and_a_long_one_is_not_sent_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let replica = listener.local_addr().unwrap();
    let (sizes, mut seen) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        // Every odd connection is closed after its body, every even one is answered.
        for turn in 1.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let head = read_head(&mut stream).await;
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            let mut body = vec![0; length.parse().unwrap()];
            stream.read_exact(&mut body).await.unwrap();
            sizes.send(body.iter().filter(|byte| **byte == b'x').count()).unwrap();
            if turn % 2 == 0 {
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                stream.write_all(answer).await.unwrap();
            }
        }
    });
    let (_plane, address) = edge_to(&[replica]).await;
    let put = |size| Request::put("/").header("host", "s").body(full(Bytes::from(vec![b'x'; size]))).unwrap();
    assert_eq!(code(address, put(60_000)).await.0, 200);
    assert_eq!((seen.recv().await, seen.recv().await), (Some(60_000), Some(60_000)));
    assert_eq!(code(address, put(200_000)).await, (502, "upstream_closed".to_owned()));
    assert_eq!(seen.recv().await, Some(200_000));
}

#[tokio::test]
async fn a_late_answer_is_a_timeout_and_the_deadline_goes_on() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free();
    let table = Table::new()
        .edge(address, "web", "s")
        .upstream("s", Protocol::Http, &[silent.local_addr().unwrap()])
        .request_timeout("s", Duration::from_millis(200));
    let mut plane = Plane::with(&table.0).await;
    let begun = Instant::now();
    assert_eq!(code(address, request("GET", "/", "")).await, (504, "timeout".to_owned()));
    assert!(begun.elapsed() >= Duration::from_millis(200));

    let table = table.version(2).request_timeout("s", Duration::from_secs(60));
    plane.apply(&table.0).await;
    let mut hurried = request("GET", "/", "");
    hurried.headers_mut().insert("x-isles-deadline", "50".parse().unwrap());
    assert_eq!(code(address, hurried).await, (504, "timeout".to_owned()));
}

#[tokio::test]
async fn the_deadline_that_a_replica_sees_is_the_smaller_one() {
    let (_plane, address) = edge_to(&[mirror().await]).await;
    let left = async |given: &str| -> u64 {
        let mut request = request("GET", "/", "");
        request.headers_mut().insert("x-isles-deadline", given.parse().unwrap());
        let seen = text(fetch(address, request).await).await;
        seen.lines().find_map(|line| line.strip_prefix("x-isles-deadline: ")).unwrap().parse().unwrap()
    };
    assert!((1..=3000).contains(&left("3000").await));
    assert!((3001..=5000).contains(&left("60000").await));
    assert!((3001..=5000).contains(&left("soon").await));
}

#[tokio::test]
async fn without_a_replica_a_request_waits_for_one_a_little() {
    let (mut plane, address) = edge_to(&[]).await;
    let response = fetch(address, request("GET", "/", "")).await;
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "1");
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let problem: serde_json::Value = serde_json::from_str(&text(response).await).unwrap();
    assert_eq!((&problem["code"], &problem["status"]), (&"no_replica".into(), &503.into()));

    let waiting = tokio::spawn(async move { get(address, "/").await });
    until("the request has arrived", async || (plane.stats().await.listeners[0].requests == 2).then_some(()))
        .await;
    let table = Table::new().version(2).edge(address, "web", "s").upstream(
        "s",
        Protocol::Http,
        &[named("late").await],
    );
    plane.apply(&table.0).await;
    assert_eq!(waiting.await.unwrap(), (200, "late".to_owned()));
}

#[tokio::test]
async fn a_service_that_is_scaled_to_zero_has_its_requests_held_until_a_replica_is_there_or_their_time_is_up()
{
    let (gateway, tcp) = (free(), free());
    let table = |version, http: &[SocketAddr], bytes: &[SocketAddr]| {
        let table = Table::new().version(version).edge(gateway, "web", "s").edge(tcp, "web", "t");
        let table = table.upstream("s", Protocol::Http, http).hold("s");
        table.upstream("t", Protocol::Tcp, bytes).hold("t").0
    };
    let mut plane = Plane::with(&table(1, &[], &[])).await;
    let mut late = request("GET", "/", "");
    late.headers_mut().insert("x-isles-deadline", "1500".parse().unwrap());
    let begun = Instant::now();
    let refused = fetch(gateway, late).await;
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["x-isles-error"], "no_replica");
    assert!(begun.elapsed() >= Duration::from_millis(1400), "it was held for longer than others wait");

    let mut waiting = tokio::task::JoinSet::new();
    for n in 0..100 {
        let method = if n % 2 == 0 { "GET" } else { "POST" };
        waiting.spawn(async move { text(fetch(gateway, request(method, "/", "x")).await).await });
    }
    let bytes = tokio::spawn(async move {
        let mut stream = tokio::net::TcpStream::connect(tcp).await.unwrap();
        say(&mut stream, b"held").await
    });
    let both = |stats: &proxy::link::Stats| ["s", "t"].map(|name| stats.in_flight[name]);
    until("all wait, and are counted", async || (both(&plane.stats().await) == [100, 1]).then_some(())).await;
    plane.apply(&table(2, &[named("there").await], &[echoing().await])).await;
    while let Some(answer) = waiting.join_next().await {
        assert_eq!(answer.unwrap(), "there");
    }
    bytes.await.unwrap().unwrap();
    until("nothing is in flight", async || (both(&plane.stats().await) == [0, 0]).then_some(())).await;
}

#[tokio::test]
async fn a_lone_replica_that_moved_is_followed() {
    let (mut plane, address) = edge_to(&[free()]).await;
    let waiting = tokio::spawn(async move { fetch(address, request("POST", "/", "x")).await });
    until("the first attempt has failed", async || {
        (plane.stats().await.endpoints[0].failures == 1).then_some(())
    })
    .await;
    let empty = Table::new().version(2).edge(address, "web", "s").upstream("s", Protocol::Http, &[]);
    plane.apply(&empty.0).await;
    let moved = Table::new().version(3).edge(address, "web", "s").upstream(
        "s",
        Protocol::Http,
        &[named("moved").await],
    );
    plane.apply(&moved.0).await;
    assert_eq!(text(waiting.await.unwrap()).await, "moved");
}

#[tokio::test]
async fn grpc_gets_its_own_kind_of_refusal() {
    let (_plane, address) = edge_to(&[]).await;
    let request = Request::post("http://s/pkg.Service/Call")
        .header("content-type", "application/grpc")
        .body(full(""))
        .unwrap();
    let response = fetch_h2(address, request).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["grpc-status"], "14");
    assert_eq!(response.headers()["grpc-message"], "no replica of s is ready");
    assert_eq!(response.headers()["x-isles-error"], "no_replica");
}

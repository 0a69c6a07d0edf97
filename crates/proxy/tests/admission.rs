//! Who is refused so that others are served: circuits and limits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use common::*;
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

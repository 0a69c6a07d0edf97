//! The control plane's view: tables, versions, listeners, the end.

use std::time::Duration;

use crate::common::*;
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use model::Protocol;
use proxy::link::{Client, LinkError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[tokio::test]
async fn a_second_data_plane_shares_neither_socket_nor_address() {
    let (plane, address) = gateway_to(&[named("first").await]).await;
    let options = proxy::Options {
        socket: plane.socket.clone(),
        workers: 1,
        patience: proxy::Patience::default(),
        successor: false,
    };
    let error = tokio::task::spawn_blocking(|| proxy::run(options)).await.unwrap().unwrap_err();
    assert!(error.to_string().contains("another process listens"), "{error}");

    let mut second = Plane::start().await;
    let elsewhere = free();
    let table = Table::new()
        .gateway(address, vec![route("/", "s")])
        .gateway(elsewhere, vec![route("/", "s")])
        .upstream("s", Protocol::Http, &[named("second").await]);
    let applied = second.apply(&table.0).await;
    assert_eq!(applied.version, 1);
    assert_eq!(applied.failed.len(), 1);
    assert_eq!((applied.failed[0].address, applied.failed[0].reason.as_str()), (address, "address in use"));
    assert_eq!(get(elsewhere, "/").await.1, "second", "all else is in force");
    for _ in 0..20 {
        assert_eq!(get(address, "/").await.1, "first");
    }
}

#[tokio::test]
async fn a_listener_that_failed_is_tried_again_with_the_same_version() {
    let squatter = TcpListener::bind(free()).await.unwrap();
    let address = squatter.local_addr().unwrap();
    let mut plane = Plane::start().await;
    let table = Table::new().gateway(address, vec![route("/", "s")]).upstream(
        "s",
        Protocol::Http,
        &[named("up").await],
    );
    assert_eq!(plane.apply(&table.0).await.failed.len(), 1);
    drop(squatter);
    assert!(plane.apply(&table.0).await.failed.is_empty());
    assert_eq!(get(address, "/").await.1, "up");
}

#[tokio::test]
async fn an_older_table_changes_nothing() {
    let (mut plane, address) = gateway_to(&[named("new").await]).await;
    let table = |version, name| {
        let table = Table::new().version(version).gateway(address, vec![route("/", "s")]);
        table.upstream("s", Protocol::Http, &[name])
    };
    let (newer, older) = (named("newer").await, named("older").await);
    assert_eq!(plane.apply(&table(7, newer).0).await.version, 7);
    assert_eq!(plane.apply(&table(6, older).0).await.version, 7);
    assert_eq!(get(address, "/").await.1, "newer");
}

#[tokio::test]
async fn a_new_control_plane_replaces_the_old_one_and_finds_the_table_in_force() {
    let (mut plane, address) = gateway_to(&[named("up").await]).await;
    let (mut second, hello) = connect(&plane.socket).await;
    assert_eq!(hello.version, Some(1));
    assert_eq!(second.stats().await.unwrap().version, Some(1));
    assert!(matches!(plane.client.stats().await, Err(LinkError::Io(_))), "the old connection is closed");
    drop(second);
    assert_eq!(get(address, "/").await.1, "up", "served without any control plane");
    let (mut third, _) = connect(&plane.socket).await;
    assert_eq!(third.stats().await.unwrap().listeners[0].requests, 1);
}

#[tokio::test]
async fn a_frame_that_is_too_long_or_no_request_is_refused_and_the_next_connection_works() {
    let (plane, address) = gateway_to(&[named("up").await]).await;
    for frame in [&[0xff, 0xff, 0xff, 0xff][..], b"\0\0\0\x02{}"] {
        let mut stream = proxy::link::path::connect(&plane.socket).await.unwrap();
        stream.write_all(frame).await.unwrap();
        let mut said = Vec::new();
        stream.read_to_end(&mut said).await.unwrap();
        assert!(String::from_utf8_lossy(&said).contains("refused"));
    }
    assert!(Client::connect(&plane.socket).await.is_ok());
    assert_eq!(get(address, "/").await.1, "up");
}

#[tokio::test]
async fn an_abandoned_call_cannot_mix_up_answers() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("silent.sock");
    let silent = proxy::link::path::bind(&socket).unwrap();
    silent.set_nonblocking(false).unwrap();
    // Greets, and then says nothing.
    let greeting = tokio::task::spawn_blocking(move || {
        let (mut stream, _) = silent.accept().unwrap();
        let protocol = proxy::link::PROTOCOL;
        let hello = format!(r#"{{"is":"hello","pid":1,"protocol":{protocol},"version":null,"build":"0"}}"#);
        let length = u32::try_from(hello.len()).unwrap().to_be_bytes();
        std::io::Write::write_all(&mut stream, &[&length, hello.as_bytes()].concat()).unwrap();
        stream
    });
    let (mut client, _) = Client::connect(&socket).await.unwrap();
    let _open = greeting.await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(20), client.stats()).await.is_err());
    assert!(matches!(client.stats().await, Err(LinkError::OutOfStep)));
}

#[tokio::test]
async fn listeners_come_and_go_and_those_that_stay_are_untouched() {
    let up = named("up").await;
    let (stays, goes, comes) = (free(), free(), free());
    let table = |version, second| {
        let table = Table::new().version(version).edge(stays, "a", "s").edge(second, "b", "s");
        table.upstream("s", Protocol::Http, &[up])
    };
    let mut plane = Plane::with(&table(1, goes).0).await;
    let stream = TcpStream::connect(stays).await.unwrap();
    let (mut kept, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    kept.send_request(request("GET", "/", "")).await.unwrap().into_body().collect().await.unwrap();
    let mut idle = TcpStream::connect(goes).await.unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert!(read_head(&mut idle).await.starts_with("HTTP/1.1 200"));

    plane.apply(&table(2, comes).0).await;
    assert_eq!(get(comes, "/").await.1, "up");
    assert!(TcpStream::connect(goes).await.is_err());
    let mut rest = String::new();
    idle.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "up", "an idle connection of a listener that left is closed");
    kept.ready().await.unwrap();
    assert_eq!(kept.send_request(request("GET", "/", "")).await.unwrap().status(), 200);
    plane.apply(&table(3, goes).0).await;
    assert_eq!(get(goes, "/").await.1, "up", "an address can come back");
}

#[tokio::test]
async fn the_counters_tell_edges_and_replicas_apart() {
    let address = free();
    let failing =
        backend(false, |_| async { http::Response::builder().status(500).body(full("")).unwrap() }).await;
    let table = Table::new().edge(address, "web", "s").gateway(free(), vec![route("/", "s")]).upstream(
        "s",
        Protocol::Http,
        &[failing],
    );
    let mut plane = Plane::with(&table.0).await;
    for _ in 0..3 {
        assert_eq!(get(address, "/").await.0, 500);
    }
    let stats = plane.stats().await;
    let endpoint = &stats.endpoints[0];
    assert_eq!((endpoint.requests, endpoint.failures, endpoint.in_flight), (3, 3, 0));
    let edge = stats.listeners.iter().find(|listener| listener.address == address).unwrap();
    assert_eq!(edge.caller.as_ref().unwrap().as_str(), "web");
    assert_eq!((edge.requests, edge.failures, edge.targets[0].requests), (3, 3, 3));
    let other = stats.listeners.iter().find(|listener| listener.address != address).unwrap();
    assert_eq!((other.requests, other.targets[0].requests), (0, 0));
}

#[tokio::test]
async fn the_end_is_graceful() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let replica = listener.local_addr().unwrap();
    let (mut plane, address) = gateway_to(&[replica]).await;
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let (mut upstream, _) = listener.accept().await.unwrap();
    read_head(&mut upstream).await;
    let mut h2 = h2(address).await;

    plane.client.shutdown().await.unwrap();
    until("the gateway no longer accepts", async || TcpStream::connect(address).await.err()).await;
    upstream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone").await.unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("connection: close") && answer.ends_with("done"), "{answer}");
    until("HTTP/2 connections are told to go away", async || h2.ready().await.err()).await;
    let thread = plane.thread.take().unwrap();
    tokio::task::spawn_blocking(|| thread.join().unwrap().unwrap()).await.unwrap();
    assert!(!plane.socket.exists());
}

//! What passes through, and how: protocols, bodies, upgrades.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::common::*;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use model::Protocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// A body whose frames are sent one by one.
fn fed() -> (mpsc::UnboundedSender<Frame<Bytes>>, Body) {
    let (feed, mut frames) = mpsc::unbounded_channel();
    let stream = futures_util::stream::poll_fn(move |cx| frames.poll_recv(cx).map(|f| f.map(Ok)));
    (feed, BodyExt::boxed_unsync(StreamBody::new(stream)))
}

fn data(text: &'static str) -> Frame<Bytes> {
    Frame::data(Bytes::from_static(text.as_bytes()))
}

async fn next(body: &mut Incoming) -> String {
    let frame = tokio::time::timeout(Duration::from_secs(5), body.frame()).await.expect("a frame in time");
    String::from_utf8(frame.unwrap().unwrap().into_data().unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn both_protocols_are_served_at_one_address() {
    let (_plane, address) = gateway_to(&[named("hello").await]).await;
    assert_eq!(get(address, "/a").await, (200, "hello".to_owned()));
    let response = fetch_h2(address, request("GET", "http://app.example/a", "")).await;
    assert_eq!(response.version(), http::Version::HTTP_2);
    assert_eq!(text(response).await, "hello");
}

#[tokio::test]
async fn bodies_stream_both_ways() {
    let echo = backend(false, |request: Request<Incoming>| async move {
        Response::new(request.into_body().map_err(|error| panic!("{error}")).boxed_unsync())
    })
    .await;
    let (_plane, address) = edge_to(&[echo]).await;
    for h2 in [false, true] {
        let (feed, body) = fed();
        let target = if h2 { "http://s/" } else { "/" };
        let request = Request::post(target).header("host", "s").body(body).unwrap();
        let response = if h2 { fetch_h2(address, request).await } else { fetch(address, request).await };
        let mut answer = response.into_body();
        for part in ["one", "two", "three"] {
            feed.send(data(part)).unwrap();
            assert_eq!(next(&mut answer).await, part, "passed on before the next one is sent");
        }
        drop(feed);
        assert!(answer.collect().await.unwrap().to_bytes().is_empty());
    }
}

#[tokio::test]
async fn server_sent_events_are_not_held_back() {
    let (feed, body) = fed();
    let body = Arc::new(std::sync::Mutex::new(Some(body)));
    let events = backend(false, move |_| {
        let body = body.lock().unwrap().take().unwrap();
        async move { Response::builder().header("content-type", "text/event-stream").body(body).unwrap() }
    })
    .await;
    let (_plane, address) = gateway_to(&[events]).await;
    let mut body = fetch(address, request("GET", "/", "")).await.into_body();
    for event in ["data: 1\n\n", "data: 2\n\n"] {
        feed.send(data(event)).unwrap();
        assert_eq!(next(&mut body).await, event);
    }
}

#[tokio::test]
async fn grpc_goes_over_http_2_with_its_trailers() {
    let grpc = backend(true, |request: Request<Incoming>| async move {
        assert_eq!(request.headers()["te"], "trailers");
        assert_eq!(request.uri().authority().unwrap(), "app.example");
        let sent = request.into_body().collect().await.unwrap();
        let seen = sent.trailers().cloned().unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        trailers.insert("seen", seen["sent"].clone());
        let frames = vec![Ok(Frame::data(sent.to_bytes())), Ok(Frame::trailers(trailers))];
        Response::new(BodyExt::boxed_unsync(StreamBody::new(futures_util::stream::iter(frames))))
    })
    .await;
    for protocol in [Protocol::Http, Protocol::Grpc] {
        let address = free();
        let table = Table::new().edge(address, "web", "s").upstream("s", protocol, &[grpc]);
        let _plane = Plane::with(&table.0).await;
        let (feed, body) = fed();
        feed.send(data("message")).unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("sent", "yes".parse().unwrap());
        feed.send(Frame::trailers(trailers)).unwrap();
        drop(feed);
        let request = Request::post("http://app.example/pkg.Service/Call")
            .header("content-type", "application/grpc+proto")
            .header("te", "trailers")
            .body(body)
            .unwrap();
        let answer = fetch_h2(address, request).await.into_body().collect().await.unwrap();
        let trailers = answer.trailers().cloned().unwrap();
        assert_eq!(
            (&trailers["grpc-status"], &trailers["seen"]),
            (&"0".parse().unwrap(), &"yes".parse().unwrap())
        );
        assert_eq!(answer.to_bytes(), "message");
    }
}

#[tokio::test]
async fn trailers_pass_over_http_1() {
    let trailing = backend(false, |_| async move {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "42".parse().unwrap());
        let frames = vec![Ok(data("x")), Ok(Frame::trailers(trailers))];
        let body = BodyExt::boxed_unsync(StreamBody::new(futures_util::stream::iter(frames)));
        Response::builder().header("trailer", "x-sum").body(body).unwrap()
    })
    .await;
    let (_plane, address) = gateway_to(&[trailing]).await;
    let request = Request::get("/").header("host", "a").header("te", "trailers").body(full("")).unwrap();
    let answer = fetch(address, request).await.into_body().collect().await.unwrap();
    assert_eq!(answer.trailers().unwrap()["x-sum"], "42");
}

#[tokio::test]
async fn fifty_megabytes_pass_both_ways() {
    const SIZE: usize = 50 << 20;
    let echo = backend(false, |request: Request<Incoming>| async move {
        Response::new(request.into_body().map_err(|error| panic!("{error}")).boxed_unsync())
    })
    .await;
    let (_plane, address) = edge_to(&[echo]).await;
    let body = Bytes::from(vec![7; SIZE]);
    let request = Request::put("/").header("host", "s").body(full(body)).unwrap();
    let mut answer = fetch(address, request).await.into_body();
    let mut seen = 0;
    while let Some(frame) = answer.frame().await {
        let data = frame.unwrap().into_data().unwrap();
        assert!(data.iter().all(|byte| *byte == 7));
        seen += data.len();
    }
    assert_eq!(seen, SIZE);
}

#[tokio::test]
async fn connections_to_replicas_are_used_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let replica = listener.local_addr().unwrap();
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&accepted);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            count.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                while !read_head(&mut stream).await.is_empty() {
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
                }
            });
        }
    });
    let (_plane, address) = edge_to(&[replica]).await;
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for _ in 0..50 {
        sender.ready().await.unwrap();
        let response = sender.send_request(request("GET", "/", "")).await.unwrap();
        assert_eq!(text(response).await, "ok");
    }
    // One is the rule; a second is opened if the first has yet to notice that its answer is over.
    let accepted = accepted.load(Ordering::Relaxed);
    assert!(accepted <= 3, "{accepted} connections for 50 requests, one after the other");
}

const UPGRADE: &[u8] =
    b"GET /chat HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: k\r\n\r\n";

/// A replica that answers the first request with `head`, then echoes until the other side has ended.
async fn upgrading(head: &'static str) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let asked = read_head(&mut stream).await;
                assert!(asked.contains("upgrade: websocket") || !asked.starts_with("GET /chat"), "{asked}");
                stream.write_all(head.as_bytes()).await.unwrap();
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
                // Said after the other side has ended: it must still arrive.
                let _ = write.write_all(b"bye").await;
            });
        }
    });
    address
}

#[tokio::test]
async fn an_upgraded_connection_passes_bytes_and_half_closes() {
    let replica = upgrading(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: x\r\n\r\n",
    )
    .await;
    let (mut plane, address) = gateway_to(&[replica]).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(UPGRADE).await.unwrap();
    let head = read_head(&mut stream).await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    assert!(head.contains("upgrade: websocket") && head.contains("sec-websocket-accept: x"), "{head}");
    for message in ["ping", "pong"] {
        stream.write_all(message.as_bytes()).await.unwrap();
        let mut echo = [0; 4];
        stream.read_exact(&mut echo).await.unwrap();
        assert_eq!(&echo, message.as_bytes());
    }
    assert_eq!(plane.stats().await.endpoints[0].in_flight, 1);
    stream.shutdown().await.unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "bye");
    until("the tunnel is gone", async || (plane.stats().await.endpoints[0].in_flight == 0).then_some(()))
        .await;
}

#[tokio::test]
async fn a_refused_upgrade_is_an_answer_and_an_unasked_one_is_not() {
    let refusing = upgrading("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno").await;
    let (_plane, address) = gateway_to(&[refusing]).await;
    let answer = raw(address, UPGRADE).await;
    assert!(answer.starts_with("HTTP/1.1 403") && answer.ends_with("no"), "{answer}");

    let pushing =
        upgrading("HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: x\r\n\r\n").await;
    let (_plane, address) = gateway_to(&[pushing]).await;
    let response = fetch(address, request("POST", "/", "")).await;
    assert_eq!(response.status(), 502);
}

#[tokio::test]
async fn an_expectation_is_met_when_a_replica_takes_the_body() {
    let (_plane, address) = gateway_to(&[mirror().await]).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = b"POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n";
    stream.write_all(head).await.unwrap();
    assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 100"));
    stream.write_all(b"hi").await.unwrap();
    assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 200"));

    let nothing = free();
    let table = Table::new().gateway(nothing, vec![]);
    let _plane = Plane::with(&table.0).await;
    let answer = raw(nothing, head).await;
    assert!(answer.starts_with("HTTP/1.1 404"), "no body is asked for: {answer}");
}

#[tokio::test]
async fn tcp_edges_pass_bytes_and_try_another_replica() {
    let echo = upgrading("").await;
    let refusing = free();
    let address = free();
    let table = Table::new().edge(address, "web", "db").upstream("db", Protocol::Tcp, &[refusing, echo]);
    let mut plane = Plane::with(&table.0).await;
    for _ in 0..8 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"\r\n\r\nhello").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "hellobye");
    }
    let stats = plane.stats().await;
    assert_eq!((stats.listeners[0].requests, stats.listeners[0].failures), (8, 0));
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_request_along() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (mut plane, address) = edge_to(&[listener.local_addr().unwrap()]).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let (mut replica, _) = listener.accept().await.unwrap();
    read_head(&mut replica).await;
    assert_eq!(plane.stats().await.endpoints[0].in_flight, 1);
    drop(client);
    let mut rest = Vec::new();
    assert_eq!(replica.read_to_end(&mut rest).await.unwrap(), 0, "the replica's connection is closed");
    until("nothing is in flight", async || (plane.stats().await.endpoints[0].in_flight == 0).then_some(()))
        .await;
}

#[tokio::test]
async fn endpoints_that_left_are_counted_while_they_have_requests() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (mut plane, address) = edge_to(&[listener.local_addr().unwrap()]).await;
    let waiting = tokio::spawn(async move { get(address, "/").await });
    let (mut replica, _) = listener.accept().await.unwrap();
    read_head(&mut replica).await;
    let emptied = Table::new().version(2).edge(address, "web", "s").upstream("s", Protocol::Http, &[]);
    plane.apply(&emptied.0).await;
    let stats = plane.stats().await;
    assert_eq!((stats.endpoints[0].in_flight, stats.endpoints[0].routed), (1, false));
    replica.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlast").await.unwrap();
    assert_eq!(waiting.await.unwrap(), (200, "last".to_owned()));
    until("it is forgotten", async || plane.stats().await.endpoints.is_empty().then_some(())).await;
}

/// What a replica sees of bodies: "half" once it has that much, and then how it ended.
type Seen = mpsc::UnboundedSender<&'static str>;

async fn h1_reader(seen: Seen) -> std::net::SocketAddr {
    backend(false, move |request: Request<Incoming>| {
        let seen = seen.clone();
        async move {
            let mut body = request.into_body();
            let end = loop {
                match body.frame().await {
                    Some(Ok(_)) => seen.send("half").unwrap(),
                    Some(Err(_)) => break "cut",
                    None => break "whole",
                }
            };
            seen.send(end).unwrap();
            answer(200, "")
        }
    })
    .await
}

/// hyper's server would say of a stream that was taken back what this test is about: that it has ended.
async fn h2_reader(seen: Seen) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let seen = seen.clone();
            tokio::spawn(async move {
                let mut connection = ::h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((request, answer))) = connection.accept().await {
                    let seen = seen.clone();
                    tokio::spawn(async move {
                        let mut body = request.into_body();
                        let end = loop {
                            match body.data().await {
                                Some(Ok(_)) => seen.send("half").unwrap(),
                                Some(Err(error)) if error.reason() == Some(::h2::Reason::CANCEL) => {
                                    break "cut";
                                }
                                Some(Err(error)) => panic!("{error}"),
                                None => break "whole",
                            }
                        };
                        seen.send(end).unwrap();
                        drop(answer);
                    });
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn half_a_body_that_its_client_takes_back_is_never_taken_for_the_whole() {
    let (seen, mut said) = mpsc::unbounded_channel();
    for (protocol, back) in
        [(Protocol::Http, h1_reader(seen.clone()).await), (Protocol::Grpc, h2_reader(seen).await)]
    {
        let address = free();
        let table = Table::new().gateway(address, vec![route("/", "s")]).upstream("s", protocol, &[back]);
        let mut plane = Plane::with(&table.0).await;
        let stream = TcpStream::connect(address).await.unwrap();
        let (mut sender, connection) = ::h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        // One that is passed on only, and one that is remembered for a second attempt.
        for method in ["POST", "PUT"].into_iter().cycle().take(100) {
            sender = sender.ready().await.unwrap();
            let request = Request::builder().method(method).uri("http://s/").body(()).unwrap();
            let (_answer, mut body) = sender.send_request(request, false).unwrap();
            body.send_data(Bytes::from_static(b"half"), false).unwrap();
            assert_eq!(said.recv().await, Some("half"));
            body.send_reset(::h2::Reason::CANCEL);
            assert_eq!(said.recv().await, Some("cut"), "{protocol:?} {method}");
        }
        let endpoint = plane.stats().await.endpoints[0].clone();
        assert_eq!((endpoint.failures, endpoint.ejected), (0, false), "nobody's fault but the client's");
    }
}

//! Clients that are slow, greedy or many.

use std::net::SocketAddr;
use std::time::Duration;

use crate::common::*;
use http::Request;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use model::{GatewaySettings, Protocol, RateLimit, Route};
use proxy::Patience;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const SHORT: Duration = Duration::from_millis(200);

/// A gateway with these settings to one replica.
async fn gateway(
    patience: Patience,
    settings: GatewaySettings,
    routes: Vec<Route>,
    back: SocketAddr,
) -> (Plane, SocketAddr) {
    let address = free();
    let table = Table::new().gateway_with(address, routes, settings).upstream("s", Protocol::Http, &[back]);
    let mut plane = Plane::patient(patience).await;
    assert!(plane.apply(&table.0).await.failed.is_empty());
    (plane, address)
}

/// A back end that reads a whole body and says how long it was.
async fn reader() -> SocketAddr {
    backend(false, |request: Request<Incoming>| async move {
        match request.into_body().collect().await {
            Ok(body) => answer(200, body.to_bytes().len().to_string()),
            Err(_) => answer(500, "cut short"),
        }
    })
    .await
}

async fn read_all(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    // A reset after the answer is an end, too.
    let _ = stream.read_to_end(&mut text).await;
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test]
async fn a_body_is_not_longer_than_gateway_or_route_allow() {
    let settings = GatewaySettings { max_body: 1000, ..Default::default() };
    let more = Route { max_body: Some(3000), ..route("/more", "s") };
    let (mut plane, address) =
        gateway(Patience::default(), settings, vec![route("/", "s"), more], reader().await).await;
    let head = |path: &str, field: &str| {
        format!("POST {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{field}\r\n\r\n")
    };
    for (path, length, status) in
        [("/", 1000, 200), ("/", 1001, 413), ("/more", 3000, 200), ("/more", 3001, 413)]
    {
        let body = "x".repeat(length);
        let said = raw(address, (head(path, &format!("content-length: {length}")) + &body).as_bytes()).await;
        assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{path} {length} {said}");
        let chunk = format!("{length:x}\r\n{body}\r\n0\r\n\r\n");
        let found = raw(address, (head(path, "transfer-encoding: chunked") + &chunk).as_bytes()).await;
        assert!(found.starts_with(&format!("HTTP/1.1 {status} ")), "{path} {length} {found}");
        if status == 413 {
            for refused in [said, found] {
                assert!(refused.contains("x-isles-error: body_too_long"), "{refused}");
            }
        }
        let h2_body = full(body.clone());
        let request = Request::post(format!("http://a{path}")).body(h2_body).unwrap();
        assert_eq!(fetch_h2(address, request).await.status().as_u16(), status);
    }
    // A client that asks first sends nothing in vain.
    let asks = raw(address, head("/", "content-length: 5000\r\nexpect: 100-continue").as_bytes()).await;
    assert!(asks.starts_with("HTTP/1.1 413 "), "{asks}");
    let stats = plane.stats().await;
    assert_eq!(stats.endpoints[0].in_flight, 0);
}

#[tokio::test]
async fn a_body_that_stops_coming_is_answered_and_the_replica_is_not_blamed() {
    let patience = Patience { body: SHORT, ..Default::default() };
    let (mut plane, address) =
        gateway(patience, Default::default(), vec![route("/", "s")], reader().await).await;
    for method in ["POST", "PUT"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!("{method} / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf");
        stream.write_all(head.as_bytes()).await.unwrap();
        let answer = read_all(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("request_timeout"), "{answer}");
    }
    let stats = plane.stats().await;
    assert!(!stats.endpoints[0].ejected);
    assert_eq!(stats.endpoints[0].failures, 0, "{stats:?}");
}

#[tokio::test]
async fn a_body_that_trickles_until_the_time_is_over_is_the_clients_fault() {
    let address = free();
    let table = Table::new().gateway(address, vec![route("/", "s")]);
    let table = table.upstream("s", Protocol::Http, &[reader().await]).request_timeout("s", SHORT);
    let mut plane = Plane::with(&table.0).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf").await.unwrap();
    let answer = read_all(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert_eq!(plane.stats().await.endpoints[0].failures, 0);
}

/// A conversation: the answer has begun, and the client takes its time.
#[tokio::test]
async fn pauses_after_the_answer_has_begun_are_nobodys_fault() {
    let echo = backend(false, |request: Request<Incoming>| async move {
        let body = request.into_body().map_err(|_| unreachable!("not in this test")).boxed_unsync();
        http::Response::new(body)
    })
    .await;
    let patience = Patience { body: SHORT, ..Default::default() };
    let (_plane, address) = gateway(patience, Default::default(), vec![route("/", "s")], echo).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nfirst").await.unwrap();
    assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 200 "));
    let mut five = [0; 5];
    stream.read_exact(&mut five).await.unwrap();
    // Longer than the client may pause before an answer; what is waited for is that nothing comes.
    assert!(tokio::time::timeout(SHORT * 3, stream.read_u8()).await.is_err());
    stream.write_all(b"again").await.unwrap();
    stream.read_exact(&mut five).await.unwrap();
    assert_eq!(&five, b"again");
}

#[tokio::test]
async fn a_head_that_does_not_come_to_its_end_is_answered() {
    let patience = Patience { head: SHORT, ..Default::default() };
    let (_plane, address) =
        gateway(patience, Default::default(), vec![route("/", "s")], named("a").await).await;
    let mut first = TcpStream::connect(address).await.unwrap();
    first.write_all(b"GET / HTTP/1.1\r\nhost:").await.unwrap();
    let answer = read_all(&mut first).await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("connection: close"), "{answer}");

    let mut second = TcpStream::connect(address).await.unwrap();
    second.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert!(read_head(&mut second).await.starts_with("HTTP/1.1 200 "));
    second.read_u8().await.unwrap();
    second.write_all(b"GET / HT").await.unwrap();
    assert!(read_all(&mut second).await.starts_with("HTTP/1.1 408 "));

    let mut silent = TcpStream::connect(address).await.unwrap();
    assert_eq!(read_all(&mut silent).await, "");
}

#[tokio::test]
async fn heads_are_bounded_in_length_and_number_of_fields() {
    let (_plane, address) = gateway_to(&[named("a").await]).await;
    let long = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(100_000));
    let many = format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(200));
    for head in [long, many] {
        let answer = raw(address, head.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
    let mut request = Request::get("http://a/").body(full("")).unwrap();
    for number in 0..20 {
        let name: http::HeaderName = format!("x-{number}").parse().unwrap();
        request.headers_mut().insert(name, "y".repeat(5000).parse().unwrap());
    }
    let sent = h2(address).await.send_request(request).await;
    assert!(sent.is_err() || sent.unwrap().status() == 431);
}

#[tokio::test]
async fn a_client_that_does_not_read_loses_its_connection() {
    let endless = backend(false, |_| async { answer(200, vec![b'x'; 64 * 1024 * 1024]) }).await;
    let patience = Patience { write: SHORT, ..Default::default() };
    let (mut plane, address) = gateway(patience, Default::default(), vec![route("/", "s")], endless).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    until("the request is on its way", async || {
        (plane.stats().await.endpoints[0].requests > 0).then_some(())
    })
    .await;
    until("it is given up", async || (plane.stats().await.endpoints[0].in_flight == 0).then_some(())).await;
    let mut taken = Vec::new();
    let _ = stream.read_to_end(&mut taken).await;
    assert!(taken.len() < 64 * 1024 * 1024, "the rest never came");

    // One that reads slowly, but does, gets everything.
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut all = 0;
    let mut buffer = vec![0; 1024 * 1024];
    while let Ok(read @ 1..) = slow.read(&mut buffer).await {
        all += read;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(all > 64 * 1024 * 1024, "{all}");
}

#[tokio::test]
async fn connections_are_bounded_and_places_come_free() {
    let settings = GatewaySettings { max_connections: 3, ..Default::default() };
    let (_plane, address) =
        gateway(Patience::default(), settings, vec![route("/", "s")], named("a").await).await;
    let ask = async |stream: &mut TcpStream| {
        let _ = stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let head = read_head(stream).await;
        let _ = stream.read_u8().await;
        head.starts_with("HTTP/1.1 200 ")
    };
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert!(ask(&mut stream).await);
        open.push(stream);
    }
    let mut fourth = TcpStream::connect(address).await.unwrap();
    assert!(!ask(&mut fourth).await);
    assert!(ask(&mut open[0]).await, "those that are in stay in");
    drop(open.pop());
    until("the place is free", async || {
        let mut stream = TcpStream::connect(address).await.unwrap();
        ask(&mut stream).await.then_some(())
    })
    .await;
}

/// CVE-2023-44487: streams that are opened and taken back at once.
#[tokio::test]
async fn rapid_resets_end_the_connection() {
    let (mut plane, address) = gateway_to(&[named("a").await]).await;
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = h2_raw(stream).await;
    let connection = tokio::spawn(connection);
    let mut ended = false;
    for _ in 0..20_000 {
        let Ok(mut ready) = sender.clone().ready().await else {
            ended = true;
            break;
        };
        let request = Request::get("http://a/").body(()).unwrap();
        let Ok((answer, mut body)) = ready.send_request(request, false) else {
            ended = true;
            break;
        };
        body.send_reset(::h2::Reason::CANCEL);
        drop(answer);
        sender = ready;
        if connection.is_finished() {
            ended = true;
            break;
        }
        tokio::task::yield_now().await;
    }
    assert!(ended, "it was let go on");
    let error = connection.await.unwrap().unwrap_err();
    // Whoever writes on when the other side has closed may see the closing before the reason for it.
    assert!(error.is_io() || error.reason() == Some(::h2::Reason::ENHANCE_YOUR_CALM), "{error}");
    // Others are served.
    assert_eq!(get(address, "/").await.0, 200);
    until("nothing is left over", async || (plane.stats().await.endpoints[0].in_flight == 0).then_some(()))
        .await;
}

async fn h2_raw(
    stream: TcpStream,
) -> (::h2::client::SendRequest<bytes::Bytes>, ::h2::client::Connection<TcpStream>) {
    ::h2::client::handshake(stream).await.unwrap()
}

#[tokio::test]
async fn a_rate_holds_exactly_over_connections_and_threads_and_for_its_route_only() {
    let limit = |requests, seconds| Some(RateLimit { requests, per: Duration::from_secs(seconds) });
    let limited = |requests| Route { rate_limit: limit(requests, 3600), ..route("/", "s") };
    let free_of = route("/free", "s");
    let back = named("a").await;
    let address = free();
    let table = |version, requests| {
        let routes = vec![limited(requests), free_of.clone()];
        Table::new().version(version).gateway(address, routes).upstream("s", Protocol::Http, &[back]).0
    };
    let mut plane = Plane::with(&table(1, 100)).await;
    let statuses = hammer(address, 16, 20, "GET").await;
    let count = |wanted| statuses.iter().filter(|status| **status == wanted).count();
    assert_eq!((count(200), count(429)), (100, 220));

    let refused = fetch(address, request("GET", "/", "")).await;
    assert_eq!(refused.status(), 429);
    let wait: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=36).contains(&wait), "{wait}");
    assert_eq!(refused.headers()["content-type"], "application/problem+json");
    assert!(text(refused).await.contains("\"code\":\"rate_limited\""));
    let call = with(request("POST", "http://app.example/", ""), "content-type", "application/grpc");
    let call = fetch_h2(address, call).await;
    assert_eq!((call.status().as_u16(), &call.headers()["grpc-status"]), (200, &"8".parse().unwrap()));
    assert_eq!(get(address, "/free").await.0, 200);

    // Another client has its own share.
    let other = tokio::net::TcpSocket::new_v4().unwrap();
    other.bind("127.200.0.9:0".parse().unwrap()).unwrap();
    let mut other = other.connect(address).await.unwrap();
    other.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert!(read_head(&mut other).await.starts_with("HTTP/1.1 200 "));

    // Another table forgets nothing.
    plane.apply(&table(2, 100)).await;
    assert_eq!(get(address, "/").await.0, 429);
}

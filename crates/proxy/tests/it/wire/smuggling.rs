//! Requests that two readers could read in two ways: refused, or passed on so that only one reading is left.
//!
//! Every case is followed on the same connection by a request for `/hidden`, which the replica must not see where the
//! case is refused, and where the case is the last request of its connection.

use std::net::SocketAddr;

use crate::common::strict::{Record, Replica, exchange, statuses};
use crate::common::{Plane, edge_to, gateway_to};

const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

/// What has to come of a case.
enum Outcome {
    /// One answer with this status, the connection closed, and nothing that the replica takes for a request.
    Refused(u16),
    /// One request reaches the replica, with this request line's beginning and this body, and is the connection's last.
    Last(&'static str, &'static str),
    /// The same, and the request for `/hidden` is one of its own.
    Passed(&'static str, &'static str),
}
use Outcome::{Last, Passed, Refused};

struct Under {
    _plane: Plane,
    address: SocketAddr,
    replica: Replica,
}

async fn gateway() -> Under {
    let replica = Replica::start();
    let (plane, address) = gateway_to(&[replica.address]).await;
    Under { _plane: plane, address, replica }
}

impl Under {
    async fn send(&self, bytes: Vec<u8>) -> (Vec<u8>, Record) {
        let address = self.address;
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        let sending = tokio::task::spawn_blocking(move || exchange(address, &bytes, false));
        let answer = sending.await.unwrap();
        let answer = answer
            .unwrap_or_else(|error| panic!("not closed ({error}): {shown:?}, {:?}", self.replica.take()));
        (answer, self.replica.take())
    }

    async fn check(&self, case: &str, outcome: &Outcome) -> Result<(), String> {
        let (answer, record) = self.send(format!("{case}{HIDDEN}").into_bytes()).await;
        let statuses = statuses(&answer);
        let lines: Vec<String> =
            record.requests.iter().map(|r| format!("{} {}", r.method, r.target)).collect();
        let body = record.requests.first().map(|first| String::from_utf8_lossy(&first.body).into_owned());
        let by_gateway = record.requests.iter().all(|seen| seen.all("x-isles-caller") == ["gateway"]);
        let right = match outcome {
            Refused(status) => statuses == [*status] && lines.is_empty(),
            Last(line, expected) => {
                statuses == [200] && lines == [*line] && body.as_deref() == Some(*expected)
            }
            Passed(line, expected) => {
                statuses == [200, 200]
                    && lines == [*line, "GET /hidden"]
                    && body.as_deref() == Some(*expected)
            }
        };
        if right && by_gateway && record.faults.is_empty() {
            return Ok(());
        }
        Err(format!("{case:?}\n  answered {:?}\n  replica {record:?}", String::from_utf8_lossy(&answer)))
    }

    async fn check_all(&self, cases: &[(&str, Outcome)]) {
        let mut wrong = Vec::new();
        for (case, outcome) in cases {
            wrong.extend(self.check(case, outcome).await.err());
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

/// A `POST` with these fields and this body.
macro_rules! post {
    ($fields:literal, $body:literal) => {
        concat!("POST /a HTTP/1.1\r\nhost: a\r\n", $fields, "\r\n\r\n", $body)
    };
}

/// A `POST` with a chunked body, as it is on the wire.
macro_rules! chunked {
    ($body:literal) => {
        post!("transfer-encoding: chunked", $body)
    };
}

#[tokio::test]
async fn a_length_and_an_encoding_are_read_in_one_way() {
    gateway()
        .await
        .check_all(&[
            // RFC 9112, 6.1: the encoding counts, the length does not get on, and the connection ends.
            (
                post!("content-length: 4\r\ntransfer-encoding: chunked", "5\r\nhello\r\n0\r\n\r\n"),
                Last("POST /a", "hello"),
            ),
            (
                post!("transfer-encoding: chunked\r\ncontent-length: 4", "5\r\nhello\r\n0\r\n\r\n"),
                Last("POST /a", "hello"),
            ),
            (
                post!("transfer-encoding: chunked\r\ncontent-length: 4\r\ncontent-length: 6", "0\r\n\r\n"),
                Last("POST /a", ""),
            ),
            (post!("content-length: x\r\ntransfer-encoding: chunked", "0\r\n\r\n"), Refused(400)),
            (post!("connection: content-length\r\ncontent-length: 5", "hello"), Passed("POST /a", "hello")),
            (
                post!(
                    "connection: transfer-encoding\r\ntransfer-encoding: chunked",
                    "5\r\nhello\r\n0\r\n\r\n"
                ),
                Passed("POST /a", "hello"),
            ),
            (
                post!(
                    "connection: content-length\r\ntransfer-encoding: chunked\r\ncontent-length: 0",
                    "5\r\nhello\r\n0\r\n\r\n"
                ),
                Last("POST /a", "hello"),
            ),
        ])
        .await;
}

#[tokio::test]
async fn a_length_is_digits_and_one() {
    gateway()
        .await
        .check_all(&[
            (post!("content-length: 5\r\ncontent-length: 5", "hello"), Passed("POST /a", "hello")),
            (post!("content-length: 5\r\ncontent-length: 0", "hello"), Refused(400)),
            (post!("content-length: 0\r\ncontent-length: 5", "hello"), Refused(400)),
            (post!("content-length: 5, 5", "hello"), Refused(400)),
            (post!("content-length: 5, 0", "hello"), Refused(400)),
            (post!("content-length: +5", "hello"), Refused(400)),
            (post!("content-length: -5", "hello"), Refused(400)),
            (post!("content-length: 0x5", "hello"), Refused(400)),
            (post!("content-length: 5;", "hello"), Refused(400)),
            (post!("content-length: 5 5", "hello"), Refused(400)),
            (post!("content-length: 5\u{b}", "hello"), Refused(400)),
            (post!("content-length: \"5\"", "hello"), Refused(400)),
            (post!("content-length:", "hello"), Refused(400)),
            (post!("content-length: 18446744073709551616", "hello"), Refused(400)),
            (post!("content-length: 18446744073709551615", "hello"), Refused(431)),
            (post!("content-length:  \t 5 ", "hello"), Passed("POST /a", "hello")),
            (post!("content-length: 00005", "hello"), Passed("POST /a", "hello")),
            (post!("Content-Length : 5", "hello"), Refused(400)),
            (post!("Content-Length\t: 5", "hello"), Refused(400)),
            (post!(" content-length: 5", "hello"), Refused(400)),
            (post!("content_length: 5", ""), Passed("POST /a", "")),
        ])
        .await;
}

#[tokio::test]
async fn an_encoding_is_chunked_and_nothing_else() {
    gateway()
        .await
        .check_all(&[
            (post!("transfer-encoding: chunked, identity", "0\r\n\r\n"), Refused(400)),
            (post!("transfer-encoding: identity, chunked", "0\r\n\r\n"), Refused(501)),
            (post!("transfer-encoding: gzip, chunked", "0\r\n\r\n"), Refused(501)),
            (post!("transfer-encoding: identity", "0\r\n\r\n"), Refused(400)),
            (post!("transfer-encoding: xchunked", "0\r\n\r\n"), Refused(400)),
            (post!("transfer-encoding: chunkedx", "0\r\n\r\n"), Refused(400)),
            (post!("transfer-encoding: \"chunked\"", "0\r\n\r\n"), Refused(400)),
            (post!("transfer-encoding: chunked;q=1", "0\r\n\r\n"), Refused(400)),
            (post!("transfer-encoding:", "0\r\n\r\n"), Refused(400)),
            (post!("transfer-encoding: chunked, chunked", "0\r\n\r\n"), Refused(501)),
            (post!("transfer-encoding: chunked\r\ntransfer-encoding: chunked", "0\r\n\r\n"), Refused(501)),
            (post!("transfer-encoding: chunked\r\ntransfer-encoding: identity", "0\r\n\r\n"), Refused(400)),
            (post!("transfer-encoding: identity\r\ntransfer-encoding: chunked", "0\r\n\r\n"), Refused(501)),
            (post!("transfer-encoding: ,chunked", "0\r\n\r\n"), Refused(501)),
            (post!("transfer-encoding: chunked,", "0\r\n\r\n"), Refused(400)),
            (post!("transfer-encoding:\tchunked\t", "0\r\n\r\n"), Passed("POST /a", "")),
            (post!("Transfer-Encoding: CHUNKED", "5\r\nhello\r\n0\r\n\r\n"), Passed("POST /a", "hello")),
            (post!("transfer-encoding: \u{b}chunked", "0\r\n\r\n"), Refused(400)),
            (post!("transfer-encoding:\r\n chunked", "0\r\n\r\n"), Refused(400)),
            (post!("transfer-encoding : chunked", "0\r\n\r\n"), Refused(400)),
            (post!("transfer\u{2d}encoding\u{0}: chunked", "0\r\n\r\n"), Refused(400)),
            ("POST /a HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", Refused(400)),
            (
                "POST /a HTTP/1.0\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\nhello",
                Refused(400),
            ),
            (
                "GET /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
                Passed("GET /a", "hello"),
            ),
            ("GET /a HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello", Passed("GET /a", "hello")),
        ])
        .await;
}

#[tokio::test]
async fn chunks_are_read_to_the_letter() {
    gateway()
        .await
        .check_all(&[
            (chunked!("5\r\nhello\r\n0\r\n\r\n"), Passed("POST /a", "hello")),
            (chunked!("005\r\nhello\r\n0\r\n\r\n"), Passed("POST /a", "hello")),
            (chunked!("5;a=b\r\nhello\r\n0\r\n\r\n"), Passed("POST /a", "hello")),
            (chunked!("5 ;a=\"b\"\r\nhello\r\n0;c\r\n\r\n"), Passed("POST /a", "hello")),
            (chunked!("A\r\n0123456789\r\n0\r\n\r\n"), Passed("POST /a", "0123456789")),
            (chunked!("0x5\r\nhello\r\n0\r\n\r\n"), Refused(400)),
            (chunked!("-1\r\nhello\r\n0\r\n\r\n"), Refused(400)),
            (chunked!("+5\r\nhello\r\n0\r\n\r\n"), Refused(400)),
            (chunked!(" 5\r\nhello\r\n0\r\n\r\n"), Refused(400)),
            (chunked!("g\r\nhello\r\n0\r\n\r\n"), Refused(400)),
            (chunked!("\r\nhello\r\n0\r\n\r\n"), Refused(400)),
            (chunked!("5 5\r\nhello\r\n0\r\n\r\n"), Refused(400)),
            (chunked!("10000000000000005\r\nhello\r\n0\r\n\r\n"), Refused(400)),
            (chunked!("5\nhello\r\n0\r\n\r\n"), Refused(400)),
            (chunked!("5;a\nhello\r\n0\r\n\r\n"), Refused(400)),
            (chunked!("5\rhello\r\n0\r\n\r\n"), Refused(400)),
            (chunked!("5\r\nhello0\r\n\r\n"), Refused(400)),
            (chunked!("5\r\nhello\n0\r\n\r\n"), Refused(400)),
            (chunked!("5\r\nhello\r0\r\n\r\n"), Refused(400)),
            (chunked!("5\r\nhello!\r\n0\r\n\r\n"), Refused(400)),
            (chunked!("0\n\r\n"), Refused(400)),
            (chunked!("0\r\nx y\r\n\r\n"), Refused(400)),
            (chunked!("0\r\n x: y\r\n\r\n"), Refused(400)),
            (chunked!("0\r\nx : y\r\n\r\n"), Refused(400)),
            (chunked!("0\r\nx: a\rb\r\n\r\n"), Refused(400)),
        ])
        .await;
    let long = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(20_000));
    let case = format!("POST /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{long}");
    gateway().await.check(&case, &Refused(400)).await.unwrap();
}

#[tokio::test]
async fn lines_end_with_cr_and_lf() {
    gateway()
        .await
        .check_all(&[
            // A lone LF may be taken for a line's end (RFC 9112, 2.2); what gets on has CR and LF.
            ("GET /a HTTP/1.1\nhost: a\n\n", Passed("GET /a", "")),
            ("GET /a HTTP/1.1\r\nhost: a\nx: y\r\n\r\n", Passed("GET /a", "")),
            ("\r\nGET /a HTTP/1.1\r\nhost: a\r\n\r\n", Passed("GET /a", "")),
            ("GET /a HTTP/1.1\rhost: a\r\r", Refused(400)),
            ("GET /a HTTP/1.1\r\nhost: a\rx: y\r\n\r\n", Refused(400)),
            ("GET /a HTTP/1.1\r\nhost: a\r\nx: a\rb\r\n\r\n", Refused(400)),
            ("GET /a HTTP/1.1\r\nhost: a\r\nx: a\0b\r\n\r\n", Refused(400)),
            ("GET /a HTTP/1.1\r\nhost: a\r\nx\0: a\r\n\r\n", Refused(400)),
            ("GET /a HTTP/1.1\r\nhost: a\r\nx: a\u{7f}b\r\n\r\n", Refused(400)),
            ("GET /a HTTP/1.1\r\nhost: a\r\nx: a\r\n b\r\n\r\n", Refused(400)),
            ("GET /a HTTP/1.1\r\nhost: a\r\nx: a\r\n\tb\r\n\r\n", Refused(400)),
            ("GET /a HTTP/1.1\r\n host: a\r\n\r\n", Refused(400)),
            ("GET /a HTTP/1.1\r\nhost: a\r\n: y\r\n\r\n", Refused(400)),
            ("GET /a HTTP/1.1\r\nhost: a\r\nxy\r\n\r\n", Refused(400)),
            ("GET /a HTTP/1.1\r\nhost: a\r\nx[y]: z\r\n\r\n", Refused(400)),
            ("GET /a HTTP/1.1\r\nhost: a\r\n\u{212a}ey: z\r\n\r\n", Refused(400)),
        ])
        .await;
}

#[tokio::test]
async fn a_request_line_has_three_parts() {
    gateway()
        .await
        .check_all(&[
            ("GET  /a HTTP/1.1\r\nhost: a\r\n\r\n", Refused(400)),
            ("GET /a  HTTP/1.1\r\nhost: a\r\n\r\n", Refused(400)),
            (" GET /a HTTP/1.1\r\nhost: a\r\n\r\n", Refused(400)),
            ("GET\t/a\tHTTP/1.1\r\nhost: a\r\n\r\n", Refused(400)),
            ("GET /a HTTP/1.1 \r\nhost: a\r\n\r\n", Refused(400)),
            ("GET /a b HTTP/1.1\r\nhost: a\r\n\r\n", Refused(400)),
            ("GET /a\r\nhost: a\r\n\r\n", Refused(400)),
            ("GET /a\r\n\r\n", Refused(400)),
            ("GET /a HTTP/1.2\r\nhost: a\r\n\r\n", Refused(400)),
            ("GET /a HTTP/2.0\r\nhost: a\r\n\r\n", Refused(400)),
            ("GET /a HTTP/1.10\r\nhost: a\r\n\r\n", Refused(400)),
            ("GET /a http/1.1\r\nhost: a\r\n\r\n", Refused(400)),
            ("GET HTTP/1.1\r\nhost: a\r\n\r\n", Refused(400)),
            ("G(T /a HTTP/1.1\r\nhost: a\r\n\r\n", Refused(400)),
            ("G\0T /a HTTP/1.1\r\nhost: a\r\n\r\n", Refused(400)),
            ("get /a HTTP/1.1\r\nhost: a\r\n\r\n", Passed("get /a", "")),
            ("GET /a\u{7f} HTTP/1.1\r\nhost: a\r\n\r\n", Refused(400)),
            ("GET /a\0 HTTP/1.1\r\nhost: a\r\n\r\n", Refused(400)),
            ("GET a HTTP/1.1\r\nhost: a\r\n\r\n", Refused(400)),
            ("GET a/b HTTP/1.1\r\nhost: a\r\n\r\n", Refused(400)),
            ("GET ?a HTTP/1.1\r\nhost: a\r\n\r\n", Refused(400)),
            ("GET * HTTP/1.1\r\nhost: a\r\n\r\n", Refused(400)),
            ("CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\n", Refused(405)),
            ("CONNECT /a HTTP/1.1\r\nhost: a\r\n\r\n", Refused(405)),
            ("GET /a#b HTTP/1.1\r\nhost: a\r\n\r\n", Passed("GET /a", "")),
            ("GET //evil.example/a HTTP/1.1\r\nhost: a\r\n\r\n", Passed("GET //evil.example/a", "")),
            ("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", Refused(400)),
        ])
        .await;
}

#[tokio::test]
async fn a_request_is_for_one_host() {
    let gateway = gateway().await;
    gateway
        .check_all(&[
            ("GET /a HTTP/1.1\r\n\r\n", Refused(400)),
            ("GET /a HTTP/1.1\r\nhost:\r\n\r\n", Refused(400)),
            ("GET /a HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n", Refused(400)),
            ("GET /a HTTP/1.1\r\nhost: a\r\nHost: b\r\n\r\n", Refused(400)),
            ("GET /a HTTP/1.1\r\nhost: a, b\r\n\r\n", Refused(400)),
            ("GET /a HTTP/1.1\r\nhost: a b\r\n\r\n", Refused(400)),
            ("GET /a HTTP/1.1\r\nhost: user@a\r\n\r\n", Refused(400)),
            ("GET /a HTTP/1.1\r\nhost: a/b\r\n\r\n", Refused(400)),
            ("GET /a HTTP/1.1\r\nhost: a?b\r\n\r\n", Refused(400)),
            ("GET /a HTTP/1.1\r\nhost: a:80:90\r\n\r\n", Refused(400)),
            ("GET /a HTTP/1.1\r\nhost: a:x\r\n\r\n", Refused(400)),
            ("GET /a HTTP/1.1\r\nhost: :80\r\n\r\n", Refused(400)),
            ("GET /a HTTP/1.1\r\nhost: [::1\r\n\r\n", Refused(400)),
            ("GET /a HTTP/1.1\r\nhost: [::1]x\r\n\r\n", Refused(400)),
            ("GET /a HTTP/1.1\r\nhost: [a]b]:80\r\n\r\n", Refused(400)),
            ("GET http://user@a/b HTTP/1.1\r\nhost: a\r\n\r\n", Refused(400)),
            ("GET http:///b HTTP/1.1\r\nhost: a\r\n\r\n", Refused(400)),
            ("GET http://a:x/b HTTP/1.1\r\nhost: a\r\n\r\n", Refused(400)),
            ("GET http://b/c HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", Refused(400)),
            ("GET /a HTTP/1.1\r\nhost: [::1]:80\r\n\r\n", Passed("GET /a", "")),
            ("GET /a HTTP/1.1\r\nhost: a:\r\n\r\n", Passed("GET /a", "")),
            ("GET /a HTTP/1.1\r\nhost: a\r\nconnection: host\r\n\r\n", Passed("GET /a", "")),
        ])
        .await;
    let absolute = "GET http://other.example/a HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let (_, record) = gateway.send(absolute.as_bytes().to_vec()).await;
    assert_eq!(record.requests[0].all("host"), ["other.example"], "RFC 9112, 3.2.2");
    assert_eq!(record.requests[0].all("x-forwarded-host"), ["other.example"]);
}

#[tokio::test]
async fn an_upgrade_that_is_refused_hides_nothing() {
    gateway()
        .await
        .check_all(&[
            // The replica answers 200: what follows is a request like any other.
            ("GET /a HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\r\n", Passed("GET /a", "")),
            ("GET /a HTTP/1.1\r\nhost: a\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n", Passed("GET /a", "")),
            (post!("connection: upgrade\r\nupgrade: websocket\r\ncontent-length: 5", "hello"), Passed("POST /a", "hello")),
            (post!("connection: upgrade\r\nupgrade: h2c\r\ntransfer-encoding: chunked", "5\r\nhello\r\n0\r\n\r\n"), Passed("POST /a", "hello")),
            ("GET /a HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\n\r\n", Passed("GET /a", "")),
        ])
        .await;
}

#[tokio::test]
async fn what_says_who_asks_cannot_be_set_or_taken_away() {
    let gateway = gateway().await;
    let claims = "connection: x-isles-caller, x-isles-deadline, x-forwarded-for, traceparent, close\r\n\
                  x-isles-caller: admin\r\nX-ISLES-CALLER: root\r\nx-isles-attempt: 9\r\nx-forwarded-for: 1.2.3.4\r\n";
    let (_, record) = gateway.send(format!("GET /a HTTP/1.1\r\nhost: a\r\n{claims}\r\n").into_bytes()).await;
    let seen = &record.requests[0];
    assert_eq!(seen.all("x-isles-caller"), ["gateway"]);
    assert_eq!(seen.all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!((seen.all("x-isles-deadline").len(), seen.all("traceparent").len()), (1, 1));
    assert!(seen.all("x-isles-attempt").is_empty() && seen.all("connection").is_empty(), "{seen:?}");

    let replica = Replica::start();
    let (_plane, address) = edge_to(&[replica.address]).await;
    let edge = Under { _plane, address, replica };
    let (_, record) = edge.send(format!("GET /a HTTP/1.1\r\nhost: a\r\n{claims}\r\n").into_bytes()).await;
    assert_eq!(record.requests[0].all("x-isles-caller"), ["web"]);
    assert_eq!(record.requests[0].all("x-isles-deadline").len(), 1);
}

#[tokio::test]
async fn trailers_claim_nothing() {
    let gateway = gateway().await;
    let body = "5\r\nhello\r\n0\r\nx-sum: 1\r\nx-isles-caller: admin\r\nx-forwarded-for: 1.2.3.4\r\ncontent-length: 3\r\n\
                host: evil\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
    let names = "trailer: x-sum, x-isles-caller, x-forwarded-for, content-length, host, transfer-encoding, connection";
    let request = format!(
        "POST /a HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n{names}\r\n\r\n{body}"
    );
    let (_, record) = gateway.send(request.into_bytes()).await;
    assert_eq!(record.faults, Vec::<String>::new());
    assert_eq!(record.requests[0].trailers, [("x-sum".to_owned(), "1".to_owned())]);
}

#[tokio::test]
async fn a_lone_lf_in_trailers_makes_no_request_of_what_follows() {
    let gateway = gateway().await;
    let request = format!("{}{HIDDEN}", chunked!("0\r\nx: y\n\r\n"));
    let address = gateway.address;
    let sending = tokio::task::spawn_blocking(move || exchange(address, request.as_bytes(), true));
    let answer = sending.await.unwrap().unwrap();
    let record = gateway.replica.take();
    assert!(statuses(&answer).len() <= 1, "{:?}", String::from_utf8_lossy(&answer));
    assert!(record.requests.iter().all(|seen| seen.target == "/a") && record.faults.is_empty(), "{record:?}");
}

//! HTTP/2 has bytes in names, values and paths, and lengths of bodies, that would mean something else as HTTP/1.1.

use std::net::SocketAddr;

use crate::common::frames::{
    self, BAD_REQUEST, DATA, END_HEADERS, END_STREAM, Fate, HEADERS, OK, block, frame,
};
use crate::common::gateway_to;
use crate::common::strict::{Record, Replica};

/// RFC 9113, 7: `PROTOCOL_ERROR`.
const PROTOCOL_ERROR: Fate = Fate::Reset(1);

type Fields<'a> = &'a [(&'a str, &'a str)];

const GET: Fields = &[(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/a")];
const POST: Fields = &[(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/a")];

fn head(fields: Fields, more: Fields, flags: u8) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | flags, 1, &block(&[fields, more].concat()))
}

fn get(more: Fields) -> Vec<u8> {
    head(GET, more, END_STREAM)
}

/// A GET with another value in place of a pseudo-header's own.
fn other(name: &str, value: &str) -> Vec<u8> {
    let fields: Vec<_> = GET.iter().map(|(n, v)| (*n, if *n == name { value } else { *v })).collect();
    head(&fields, &[], END_STREAM)
}

fn without(name: &str) -> Vec<u8> {
    let fields: Vec<_> = GET.iter().copied().filter(|(n, _)| *n != name).collect();
    head(&fields, &[], END_STREAM)
}

fn post(more: Fields, parts: &[&str]) -> Vec<u8> {
    let mut bytes = head(POST, more, 0);
    for (index, part) in parts.iter().enumerate() {
        let flags = if index + 1 == parts.len() { END_STREAM } else { 0 };
        bytes.extend(frame(DATA, flags, 1, part.as_bytes()));
    }
    bytes
}

async fn sent(address: SocketAddr, replica: &Replica, frames: Vec<u8>) -> (Fate, Record) {
    let fate = tokio::task::spawn_blocking(move || frames::send(address, &frames)).await.unwrap();
    (fate, replica.take())
}

#[tokio::test]
async fn what_would_be_another_request_as_http_1_is_refused() {
    let replica = Replica::start();
    let (_plane, address) = gateway_to(&[replica.address]).await;
    let cases: Vec<(&str, Vec<u8>, Fate)> = vec![
        // RFC 9113, 8.2.1: field validity.
        ("CRLF in a value", get(&[("x", "y\r\nx-isles-caller: admin")]), PROTOCOL_ERROR),
        ("LF in a value", get(&[("x", "y\nz: 1")]), PROTOCOL_ERROR),
        ("NUL in a value", get(&[("x", "y\0")]), PROTOCOL_ERROR),
        ("CRLF in a name", get(&[("x\r\ny", "z")]), PROTOCOL_ERROR),
        ("a colon in a name", get(&[("x: y\r\nhost", "z")]), PROTOCOL_ERROR),
        ("a space in a name", get(&[("x y", "z")]), PROTOCOL_ERROR),
        ("an empty name", get(&[("", "z")]), PROTOCOL_ERROR),
        ("upper case in a name", get(&[("X-Upper", "z")]), PROTOCOL_ERROR),
        // 8.2.2: connection-specific fields.
        ("transfer-encoding", post(&[("transfer-encoding", "chunked")], &["0\r\n\r\n"]), PROTOCOL_ERROR),
        ("connection", get(&[("connection", "x-isles-caller")]), PROTOCOL_ERROR),
        ("keep-alive", get(&[("keep-alive", "5")]), PROTOCOL_ERROR),
        ("proxy-connection", get(&[("proxy-connection", "close")]), PROTOCOL_ERROR),
        ("upgrade", get(&[("upgrade", "h2c")]), PROTOCOL_ERROR),
        ("te other than trailers", get(&[("te", "gzip")]), PROTOCOL_ERROR),
        // 8.3: pseudo-header fields.
        ("an unknown one", get(&[(":x", "y")]), PROTOCOL_ERROR),
        ("one of answers", get(&[(":status", "200")]), PROTOCOL_ERROR),
        ("two methods", get(&[(":method", "POST")]), PROTOCOL_ERROR),
        ("two paths", get(&[(":path", "/hidden")]), PROTOCOL_ERROR),
        ("two authorities", get(&[(":authority", "b")]), PROTOCOL_ERROR),
        (
            "after a field",
            head(&[], &[("x", "y"), (":method", "GET"), (":scheme", "http"), (":path", "/")], END_STREAM),
            PROTOCOL_ERROR,
        ),
        ("no method", without(":method"), PROTOCOL_ERROR),
        ("no scheme", without(":scheme"), PROTOCOL_ERROR),
        ("no path", without(":path"), PROTOCOL_ERROR),
        // 8.3.1.
        ("an empty path", other(":path", ""), PROTOCOL_ERROR),
        ("a path with a space", other(":path", "/a HTTP/1.1\r\nhost: b\r\n\r\nGET /hidden"), PROTOCOL_ERROR),
        ("a path with a LF", other(":path", "/a\nb"), PROTOCOL_ERROR),
        ("a path that names a host", other(":path", "http://evil.example/hidden"), PROTOCOL_ERROR),
        ("a path without a slash", other(":path", "a"), PROTOCOL_ERROR),
        ("a star", other(":path", "*"), BAD_REQUEST),
        ("a method with a space", other(":method", "GET /hidden HTTP/1.1\r\nx: y"), PROTOCOL_ERROR),
        ("an empty method", other(":method", ""), PROTOCOL_ERROR),
        ("an authority with a user", other(":authority", "user@a"), BAD_REQUEST),
        ("an authority with a path", other(":authority", "a/b"), PROTOCOL_ERROR),
        ("an authority with a CRLF", other(":authority", "a\r\nx: y"), PROTOCOL_ERROR),
        ("an authority with a space", other(":authority", "a b"), PROTOCOL_ERROR),
        ("an authority with two ports", other(":authority", "a:80:90"), PROTOCOL_ERROR),
        ("another host in a field", get(&[("host", "b")]), BAD_REQUEST),
        ("hosts in fields", get(&[("host", "a"), ("host", "a")]), BAD_REQUEST),
        // 8.1.1: lengths that do not agree with what comes.
        ("a body shorter than its length", post(&[("content-length", "10")], &["hello"]), PROTOCOL_ERROR),
        ("a body longer than its length", post(&[("content-length", "3")], &["hello"]), PROTOCOL_ERROR),
        ("a length and no body", get(&[("content-length", "5")]), PROTOCOL_ERROR),
        (
            "two lengths",
            post(&[("content-length", "5"), ("content-length", "0")], &["hello"]),
            PROTOCOL_ERROR,
        ),
        ("a length with a sign", post(&[("content-length", "+5")], &["hello"]), PROTOCOL_ERROR),
        ("a length that is a list", post(&[("content-length", "5, 5")], &["hello"]), PROTOCOL_ERROR),
    ];
    let mut wrong = Vec::new();
    for (name, frames, expected) in cases {
        let (fate, record) = sent(address, &replica, frames).await;
        // What is an error of the stream may be taken for one of the connection (RFC 9113, 5.4.1).
        let right = fate == expected || (expected == PROTOCOL_ERROR && fate == Fate::Ended(1));
        if !right || !record.requests.is_empty() || !record.faults.is_empty() {
            wrong.push(format!("{name}: {fate:?}, {record:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn what_is_left_is_one_request_of_http_1() {
    let replica = Replica::start();
    let (_plane, address) = gateway_to(&[replica.address]).await;
    for (name, frames, body, host) in [
        ("nothing special", get(&[]), "", "a"),
        ("a length that holds", post(&[("content-length", "5")], &["hel", "lo"]), "hello", "a"),
        ("no length", post(&[], &["hel", "", "lo"]), "hello", "a"),
        ("no body at all", post(&[], &[""]), "", "a"),
        (
            "a body like a request",
            post(&[], &["0\r\n\r\nGET /hidden HTTP/1.1\r\n\r\n"]),
            "0\r\n\r\nGET /hidden HTTP/1.1\r\n\r\n",
            "a",
        ),
        ("the same host in a field", get(&[("host", "a")]), "", "a"),
        ("a claim", get(&[("x-isles-caller", "admin"), ("x_isles_caller", "admin")]), "", "a"),
        ("cookies", get(&[("cookie", "a=b"), ("cookie", "c=d")]), "", "a"),
    ] {
        let (fate, record) = sent(address, &replica, frames).await;
        assert_eq!(fate, OK, "{name}: {record:?}");
        assert_eq!(record.faults, Vec::<String>::new(), "{name}");
        let [seen] = &record.requests[..] else { panic!("{name}: {record:?}") };
        assert_eq!((seen.target.as_str(), &seen.body[..]), ("/a", body.as_bytes()), "{name}");
        assert_eq!(seen.all("host"), [host], "{name}");
        assert_eq!(seen.all("x-isles-caller"), ["gateway"], "{name}");
        assert!(seen.all("x_isles_caller").is_empty(), "{name}");
        // RFC 9113, 8.2.3: pieces are put together where HTTP/1.1 goes on.
        let cookies: &[&str] = if name == "cookies" { &["a=b; c=d"] } else { &[] };
        assert_eq!(seen.all("cookie"), cookies, "{name}");
    }
}

//! Answers that two readers could read in two ways, and replicas that say more than they were asked for.

use std::net::SocketAddr;
use std::time::Duration;

use crate::common::strict::{self, Heard, Replica, Said, Seen, exchange};
use crate::common::{Plane, Table, gateway_to};
use model::Protocol;

/// What the client gets.
enum Outcome {
    /// A refusal of the data plane, 502.
    Refused,
    /// The answer, with this body, read as the head says.
    Passed(&'static str),
    /// The answer begins, and ends before its end: the connection is closed.
    Cut,
}
use Outcome::{Cut, Passed, Refused};

const CASES: &[(&str, &str, Outcome)] = &[
    ("plain", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", Passed("hello")),
    (
        "chunked",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        Passed("hello"),
    ),
    ("until the end", "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello", Passed("hello")),
    ("of HTTP/1.0", "HTTP/1.0 200 OK\r\nconnection: close\r\n\r\nhello", Passed("hello")),
    // RFC 9112, 6.3: the coding counts, and the length does not get on.
    (
        "both",
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        Passed("hello"),
    ),
    (
        "both, other order",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 30\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        Passed("hello"),
    ),
    (
        "same lengths",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\nhello",
        Passed("hello"),
    ),
    ("a length as a list", "HTTP/1.1 200 OK\r\ncontent-length: 5, 5\r\n\r\nhello", Passed("hello")),
    ("other lengths", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!", Refused),
    ("a sign", "HTTP/1.1 200 OK\r\ncontent-length: +5\r\n\r\nhello", Refused),
    ("a negative length", "HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\nhello", Refused),
    ("no digits", "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\nhello", Refused),
    (
        "two codings",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "another coding",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\nconnection: close\r\n\r\nhello",
        Refused,
    ),
    (
        "an unknown coding",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: xchunked\r\nconnection: close\r\n\r\nhello",
        Refused,
    ),
    (
        "a coding of HTTP/1.0",
        "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        Refused,
    ),
    ("a folded field", "HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 0\r\n\r\n", Refused),
    ("a space before a colon", "HTTP/1.1 200 OK\r\ncontent-length : 5\r\n\r\nhello", Refused),
    ("a CR in a field", "HTTP/1.1 200 OK\r\nx: a\rb\r\ncontent-length: 0\r\n\r\n", Refused),
    ("a NUL in a field", "HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 0\r\n\r\n", Refused),
    ("another version", "HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n", Refused),
    ("a short status", "HTTP/1.1 20 OK\r\ncontent-length: 0\r\n\r\n", Refused),
    ("a status beyond 599", "HTTP/1.1 600 OK\r\ncontent-length: 5\r\n\r\nhello", Refused),
    ("the greatest status", "HTTP/1.1 999 OK\r\ncontent-length: 5\r\n\r\nhello", Refused),
    ("no status line", "hello\r\n\r\n", Refused),
    ("nothing at all", "connection: close", Refused),
    (
        "unasked",
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\nhello",
        Refused,
    ),
    (
        "informed",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nx: y\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
        Passed("hello"),
    ),
    ("no body", "HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\nhello", Passed("")),
    (
        "not modified",
        "HTTP/1.1 304 Not Modified\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        Passed(""),
    ),
    ("short", "HTTP/1.1 200 OK\r\ncontent-length: 50\r\nconnection: close\r\n\r\nhello", Cut),
    (
        "a chunk without end",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n5\r\nhello\r\n",
        Cut,
    ),
    ("a bad chunk", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n", Cut),
    (
        "a chunk too long",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello!\r\n0\r\n\r\n",
        Cut,
    ),
    (
        "more than said",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged",
        Passed("hello"),
    ),
    (
        "more after chunks",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged",
        Passed("hello"),
    ),
    (
        "more after no body",
        "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged",
        Passed(""),
    ),
    (
        "a refusal forged",
        "HTTP/1.1 200 OK\r\nx-isles-error: no_route\r\ncontent-length: 5\r\n\r\nhello",
        Passed("hello"),
    ),
];

/// Answers `/case/N` with the bytes of that case, anything else with `well`.
fn scripted(seen: &Seen) -> Said {
    let number = seen.target.strip_prefix("/case/").and_then(|text| text.parse::<usize>().ok());
    number.and_then(|number| CASES.get(number)).map_or_else(Said::well, |(_, text, _)| said(text))
}

fn said(text: &str) -> Said {
    Said { bytes: text.as_bytes().to_vec(), closes: text.contains("connection: close") }
}

/// The one answer to a request that ends its connection; none where it is cut short.
async fn ask(address: SocketAddr, method: &'static str, target: String) -> Option<Heard> {
    let request = format!("{method} {target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").into_bytes();
    let answer =
        tokio::task::spawn_blocking(move || exchange(address, &request, false)).await.unwrap().unwrap();
    let mut bytes = &answer[..];
    let heard =
        strict::read_answer(&mut bytes, method == "HEAD").unwrap_or_else(|fault| panic!("{target}: {fault}"));
    assert!(bytes.is_empty(), "{target}: after the answer {:?}", String::from_utf8_lossy(bytes));
    heard
}

async fn ask_next(address: SocketAddr, what: &str) {
    let heard = ask(address, "GET", "/next".to_owned()).await.unwrap();
    assert_eq!((heard.status, &heard.body[..]), (200, &b"well"[..]), "after {what}: {heard:?}");
}

#[tokio::test]
async fn an_answer_has_one_reading_and_is_the_only_one() {
    let replica = Replica::answering(scripted);
    let (_plane, address) = gateway_to(&[replica.address]).await;
    let mut wrong = Vec::new();
    for (number, (name, _, outcome)) in CASES.iter().enumerate() {
        let heard = ask(address, "GET", format!("/case/{number}")).await;
        let right = match (outcome, &heard) {
            (Refused, Some(heard)) => heard.status == 502 && heard.field("x-isles-error").is_some(),
            (Passed(body), Some(heard)) => {
                heard.body == body.as_bytes() && heard.field("x-isles-error").is_none()
            }
            (Cut, None) => true,
            _ => false,
        };
        if !right {
            wrong.push(format!("{name}: {heard:?}"));
        }
        // Nothing of it becomes somebody else's answer.
        ask_next(address, name).await;
        let reached = replica.take();
        assert!(reached.faults.is_empty(), "{name}: {reached:?}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_head_is_answered_without_a_body() {
    // With a length, chunked, and with a body that should not be there.
    for text in [
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
    ] {
        let replica =
            Replica::answering(|seen| if seen.method == "HEAD" { said(text) } else { Said::well() });
        let (_plane, address) = gateway_to(&[replica.address]).await;
        let heard = ask(address, "HEAD", "/".to_owned()).await.unwrap();
        assert_eq!((heard.status, heard.body.len()), (200, 0), "{heard:?}");
        ask_next(address, text).await;
    }
}

#[tokio::test]
async fn heads_without_end_are_given_up() {
    let flood = |seen: &Seen| match seen.target.as_str() {
        "/fields" => {
            said(&format!("HTTP/1.1 200 OK\r\n{}content-length: 0\r\n\r\n", "x: y\r\n".repeat(2000)))
        }
        "/long" => {
            said(&format!("HTTP/1.1 200 OK\r\nx: {}\r\ncontent-length: 0\r\n\r\n", "y".repeat(4 << 20)))
        }
        "/informed" => said(&"HTTP/1.1 103 Early Hints\r\nx: y\r\n\r\n".repeat(100_000)),
        _ => Said::well(),
    };
    let replica = Replica::answering(flood);
    let address = crate::common::free();
    let table = Table::new()
        .gateway(address, vec![crate::common::route("/", "s")])
        .upstream("s", Protocol::Http, &[replica.address])
        .request_timeout("s", Duration::from_secs(1));
    let _plane = Plane::with(&table.0).await;
    for (target, status) in [("/fields", 502), ("/long", 502), ("/informed", 504)] {
        let heard = ask(address, "GET", target.to_owned()).await.unwrap();
        assert_eq!(heard.status, status, "{target}: {heard:?}");
        ask_next(address, target).await;
    }
}

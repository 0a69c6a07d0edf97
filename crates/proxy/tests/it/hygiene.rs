//! What must not pass: false claims, ambiguous messages.

use crate::common::*;
use http::Request;
use model::Protocol;

fn field<'a>(mirrored: &'a str, name: &str) -> Option<&'a str> {
    mirrored.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

const CLAIMS: &[(&str, &str)] = &[
    ("x-isles-caller", "admin"),
    ("x-isles-deadline", "3000"),
    ("x-isles-anything", "1"),
    ("x-forwarded-for", "6.6.6.6"),
    ("x-forwarded-host", "evil.example"),
    ("x-forwarded-prefix", "/evil"),
    ("forwarded", "for=6.6.6.6"),
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("tracestate", "a=b"),
    ("x-request-id", "mine"),
    ("baggage", "user=admin"),
    ("x-real-ip", "6.6.6.6"),
];

fn claiming(target: &str) -> Request<Body> {
    let mut request = request("GET", target, "");
    for (name, value) in CLAIMS {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    request
}

#[tokio::test]
async fn the_gateway_believes_nothing_and_says_what_it_knows() {
    let (_plane, address) = gateway_to(&[mirror().await]).await;
    for h2 in [false, true] {
        let seen = if h2 {
            let mut request = claiming("http://app.example/a?b=c");
            request.headers_mut().remove("host");
            text(fetch_h2(address, request).await).await
        } else {
            text(fetch(address, claiming("/a?b=c")).await).await
        };
        assert!(seen.starts_with("GET /a?b=c HTTP/1.1\n"), "{seen}");
        assert_eq!(field(&seen, "host"), Some("app.example"));
        assert_eq!(field(&seen, "x-forwarded-host"), Some("app.example"));
        assert_eq!(field(&seen, "x-forwarded-for"), Some("127.0.0.1"));
        assert_eq!(field(&seen, "x-forwarded-proto"), Some("http"));
        assert_eq!(field(&seen, "x-isles-caller"), Some("gateway"));
        let left: u64 = field(&seen, "x-isles-deadline").unwrap().parse().unwrap();
        assert!((4000..=5000).contains(&left), "{left}");
        for gone in
            ["x-isles-anything", "x-forwarded-prefix", "forwarded", "tracestate", "baggage", "x-real-ip"]
        {
            assert_eq!(field(&seen, gone), None, "{gone}");
        }
        assert!(!field(&seen, "traceparent").unwrap().contains("0af7651916cd43dd8448eb211c80319c"));
        assert!(field(&seen, "x-request-id").unwrap().parse::<uuid::Uuid>().is_ok());
    }
}

#[tokio::test]
async fn an_edge_says_who_calls_and_keeps_the_trace() {
    let (_plane, address) = edge_to(&[mirror().await]).await;
    let seen = text(fetch(address, claiming("/")).await).await;
    assert_eq!(field(&seen, "x-isles-caller"), Some("web"));
    assert_eq!(field(&seen, "x-request-id"), Some("mine"));
    assert_eq!(field(&seen, "tracestate"), Some("a=b"));
    assert_eq!(field(&seen, "x-forwarded-for"), Some("6.6.6.6"));
    let span = field(&seen, "traceparent").unwrap();
    assert!(span.starts_with("00-0af7651916cd43dd8448eb211c80319c-") && span.ends_with("-01"));
    assert!(!span.contains("b7ad6b7169203331"), "a span of its own");

    let bare = text(fetch(address, request("GET", "/", "")).await).await;
    assert!(field(&bare, "x-request-id").is_some() && field(&bare, "traceparent").is_some());
}

#[tokio::test]
async fn strip_takes_the_prefix_off_and_says_so() {
    let address = free();
    let mut stripping = route("/api", "s");
    stripping.strip = true;
    let table =
        Table::new().gateway(address, vec![stripping]).upstream("s", Protocol::Http, &[mirror().await]);
    let _plane = Plane::with(&table.0).await;
    for (sent, seen) in [("/api/a?b", "/a?b"), ("/api", "/"), ("/api?b", "/?b")] {
        let mirrored = get(address, sent).await.1;
        assert!(mirrored.starts_with(&format!("GET {seen} HTTP")), "{sent}: {mirrored}");
        assert_eq!(field(&mirrored, "x-forwarded-prefix"), Some("/api"));
    }
}

#[tokio::test]
async fn refusals_have_a_code_and_a_request() {
    let address = free();
    let table = Table::new().gateway(address, vec![route("/api", "s")]).upstream("s", Protocol::Http, &[]);
    let _plane = Plane::with(&table.0).await;
    let response = fetch(address, claiming("/other")).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["x-isles-error"]),
        (404, &"no_route".parse().unwrap())
    );
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    assert_ne!(id, "mine");
    let problem: serde_json::Value = serde_json::from_str(&text(response).await).unwrap();
    assert_eq!(problem["instance"], format!("urn:isles:request:{id}"));
    assert_eq!(problem["type"], "urn:isles:error:no_route");
}

/// What a replica gets to see of raw bytes, and what the client is told.
async fn sent(bytes: &str) -> (String, u64) {
    let (mut plane, address) = gateway_to(&[mirror().await]).await;
    let answer = raw(address, bytes.as_bytes()).await;
    (answer, plane.stats().await.endpoints[0].requests)
}

#[tokio::test]
async fn messages_that_end_in_two_places_are_refused() {
    for bad in [
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5, 6\r\n\r\nhello!",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nx-folded: b\r\n c\r\n\r\n",
        "GET / HTTP/1.1\r\nhost : a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a/../b\r\n\r\n",
        "GET /a b HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nx\0y: 1\r\n\r\n",
        "POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        let (answer, reached) = sent(bad).await;
        assert!(
            answer.starts_with("HTTP/1.1 400") || answer.starts_with("HTTP/1.0 400"),
            "{bad:?}: {answer}"
        );
        assert_eq!(reached, 0, "{bad:?}");
    }
}

#[tokio::test]
async fn of_two_lengths_the_replica_sees_one_and_the_connection_ends() {
    let smuggling = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n\
                     5\r\nhello\r\n0\r\n\r\n";
    let (answer, reached) = sent(smuggling).await;
    if reached == 0 {
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    } else {
        assert_eq!(answer.matches("HTTP/1.1 200").count(), 1, "one request, one answer: {answer}");
        assert!(answer.contains("connection: close"), "what follows is not trusted: {answer}");
        assert!(
            answer.contains("transfer-encoding: chunked") && !answer.contains("content-length: 4"),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn a_broken_chunk_never_becomes_a_request_of_its_own() {
    let (mut plane, address) = gateway_to(&[mirror().await]).await;
    let broken = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nGET /hidden HTTP/1.1\r\nhost: a\r\n\r\n";
    let answer = raw(address, broken.as_bytes()).await;
    assert!(!answer.contains("/hidden"), "{answer}");
    assert!(plane.stats().await.endpoints[0].requests <= 1);
}

#[tokio::test]
async fn what_is_routed_is_what_the_replica_sees() {
    let address = free();
    let mut only_admin = route("/", "admin");
    only_admin.host = Some("admin.example".to_owned());
    let table = Table::new()
        .gateway(address, vec![only_admin, route("/public", "s")])
        .upstream("admin", Protocol::Http, &[named("admin").await])
        .upstream("s", Protocol::Http, &[mirror().await]);
    let _plane = Plane::with(&table.0).await;

    let absolute =
        "GET http://other.example/public HTTP/1.1\r\nhost: admin.example\r\nconnection: close\r\n\r\n";
    let answer = raw(address, absolute.as_bytes()).await;
    assert!(
        answer.contains("\nhost: other.example\n") && answer.contains("GET /public HTTP/1.1"),
        "{answer}"
    );
    let absolute = "GET http://admin.example/public HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let answer = raw(address, absolute.as_bytes()).await;
    assert!(answer.contains("admin.example"), "the longer path is public's: {answer}");

    for path in ["/public/../secret", "/public/%2e%2e/secret", "/public/..%2fsecret", "/public/.."] {
        let answer = raw(address, format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("x-isles-error: bad_path"), "{answer}");
    }
    let tunnel = raw(address, b"CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\n").await;
    assert!(tunnel.starts_with("HTTP/1.1 405"), "{tunnel}");
}

#[tokio::test]
async fn a_head_without_end_is_refused() {
    let endless = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}", "y".repeat(100_000));
    let (answer, reached) = sent(&endless).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let many = format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(200));
    let (answer, also) = sent(&many).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    assert_eq!((reached, also), (0, 0));
}

/// Fields that end at each hop (RFC 9110, 7.6.1), and what a sender may and may not have taken away.
const HOP: &[(&str, &str, Option<&str>)] = &[
    ("connection", "x-listed, host, content-length, x-isles-caller, close", None),
    ("x-listed", "1", None),
    ("keep-alive", "timeout=5", None),
    ("proxy-connection", "keep-alive", None),
    ("proxy-authorization", "Basic eDp5", None),
    ("te", "gzip, trailers", Some("trailers")),
    ("trailer", "x-sum", Some("x-sum")),
    ("upgrade", "h2c", None),
    ("http2-settings", "AAMAAABkAAQAAP__", None),
    ("expect", "100-continue", None),
    ("authorization", "Bearer a", Some("Bearer a")),
    ("x-other", "1", Some("1")),
];

#[tokio::test]
async fn fields_of_one_hop_end_here_on_the_way_in_by_gateway_and_edge() {
    let replica = mirror().await;
    let (gateway, edge) = (gateway_to(&[replica]).await, edge_to(&[replica]).await);
    for ((_plane, address), caller) in [(gateway, "gateway"), (edge, "web")] {
        let mut head = "POST /a HTTP/1.1\r\nhost: app.example\r\ncontent-length: 4\r\n".to_owned();
        for (name, value, _) in HOP {
            head += &format!("{name}: {value}\r\n");
        }
        let seen = raw(address, format!("{head}\r\nbody").as_bytes()).await;
        assert!(seen.contains(" 200 OK"), "{seen}");
        // What the replica saw is the body of the answer, which has fields of its own.
        let seen = seen.rsplit("\r\n\r\n").next().unwrap();
        for (name, _, expected) in HOP {
            assert_eq!(field(seen, name), *expected, "{caller}: {name}\n{seen}");
        }
        assert_eq!(field(seen, "host"), Some("app.example"), "no sender has it taken away");
        assert_eq!(field(seen, "content-length"), Some("4"));
        assert_eq!(field(seen, "x-isles-caller"), Some(caller));
    }
}

#[tokio::test]
async fn fields_of_one_hop_end_here_on_the_way_out() {
    let replica = backend(false, |_| async {
        let mut answer = answer(200, "body");
        for (name, value) in [
            ("connection", "x-listed, content-length"),
            ("x-listed", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-authenticate", "Basic"),
            ("upgrade", "h2c"),
            ("x-isles-error", "no_route"),
            ("x-isles-caller", "a"),
            ("trailer", "x-sum"),
            ("x-other", "1"),
        ] {
            answer.headers_mut().insert(name, value.parse().unwrap());
        }
        answer
    })
    .await;
    let (_plane, address) = gateway_to(&[replica]).await;
    let answer = fetch(address, request("GET", "/", "")).await;
    let has = |name: &str| answer.headers().contains_key(name);
    for gone in [
        "connection",
        "x-listed",
        "keep-alive",
        "proxy-authenticate",
        "upgrade",
        "x-isles-error",
        "x-isles-caller",
    ] {
        assert!(!has(gone), "{gone}: {:?}", answer.headers());
    }
    assert!(has("x-other") && has("trailer") && has("content-length"), "{:?}", answer.headers());
    assert_eq!(text(answer).await, "body");
}

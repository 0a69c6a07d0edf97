//! What is seen of requests: counts, latencies, whose failure it was, and spans.

use std::net::SocketAddr;
use std::time::Duration;

use crate::common::*;
use http::{HeaderMap, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use model::{Circuit, Kept, Operation, Outcomes, Protocol, Span};
use proxy::link::{EdgeSignals, Signals};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// A `traceparent` of a caller that samples, or does not.
fn parent(trace: &str, sampled: bool) -> String {
    format!("00-{trace}-b7ad6b7169203331-0{}", u8::from(sampled))
}

async fn signals(plane: &mut Plane) -> Signals {
    plane.client.signals().await.unwrap()
}

/// The edge from a caller (none: the gateway) once so many requests have been counted there.
async fn edge(plane: &mut Plane, caller: Option<&str>, requests: u64) -> EdgeSignals {
    let is = |e: &EdgeSignals| e.caller.as_ref().map(|c| c.as_str()) == caller;
    until("requests are counted", async || {
        let edges = signals(plane).await.edges;
        edges.into_iter().find(|e| is(e) && e.requests.outcomes.all() == requests && e.in_flight == 0)
    })
    .await
}

/// Spans, once there are so many.
async fn spans(plane: &mut Plane, count: usize) -> Vec<Span> {
    let mut all = Vec::new();
    until("spans are kept", async || {
        let more = plane.client.spans().await.unwrap();
        assert_eq!(more.dropped, 0);
        all.extend(more.spans);
        (all.len() >= count).then_some(())
    })
    .await;
    all
}

async fn traced(address: SocketAddr, path: &str, parent: &str) -> u16 {
    let response = fetch(address, with(request("GET", path, ""), "traceparent", parent)).await;
    let status = response.status().as_u16();
    text(response).await;
    status
}

#[tokio::test]
async fn requests_are_counted_by_outcome_release_and_replica() {
    let replica = backend(false, |request| async move {
        let status = request.uri().path().trim_start_matches('/').parse().unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        answer(status, "done")
    })
    .await;
    let (mut plane, address) = edge_to(&[replica]).await;
    for path in ["/200", "/204", "/302", "/404", "/500"] {
        get(address, path).await;
    }
    let edge = edge(&mut plane, Some("web"), 5).await;
    let outcomes = Outcomes {
        success: 2,
        redirect: 1,
        client_error: 1,
        server_error: 1,
        failed: 1,
        ..Outcomes::default()
    };
    assert_eq!((edge.requests.outcomes, edge.callee.as_str()), (outcomes, "s"));
    assert_eq!((edge.requests.latency.count(), edge.whole.count()), (4, 4), "a failure has no latency");
    assert!(edge.requests.latency.quantile(0.0).unwrap() >= Duration::from_millis(19));
    assert_eq!((edge.circuit, edge.openings, edge.retries), (Circuit::Closed, 0, 0));
    let (release, attempts) = &edge.releases[0];
    assert_eq!((release.0.as_str(), attempts.outcomes, edge.releases.len()), ("r1", outcomes, 1));
    let signals = signals(&mut plane).await;
    assert_eq!(signals.replicas[0].attempts.outcomes, outcomes);
    assert_eq!((signals.services[0].limit, signals.services[0].learned_limit), (512, None));
}

#[tokio::test]
async fn refusals_and_repetitions_are_counted() {
    let (mut plane, address) = edge_to(&[free()]).await;
    let statuses: Vec<u16> = hammer(address, 1, 30, "GET").await;
    assert!(statuses.iter().all(|status| *status >= 500));
    let edge = edge(&mut plane, Some("web"), 30).await;
    assert_eq!((edge.requests.outcomes.unanswered, edge.requests.outcomes.failed), (30, 30));
    assert_eq!(edge.codes["connect_failed"] + edge.codes["circuit_open"], 30, "{:?}", edge.codes);
    assert_eq!((edge.openings, edge.circuit), (1, Circuit::Open));
    assert!(edge.retries > 0 && edge.releases[0].1.outcomes.unanswered > edge.codes["connect_failed"]);
    assert_eq!(edge.requests.latency.count(), 0);
}

#[tokio::test]
async fn a_caller_that_leaves_is_counted_and_nobody_is_blamed() {
    let never = backend(false, |_| std::future::pending()).await;
    let (mut plane, address) = edge_to(&[never]).await;
    let waiting = tokio::spawn(get(address, "/"));
    until("it is in flight", async || (signals(&mut plane).await.services[0].waiting == 1).then_some(()))
        .await;
    waiting.abort();
    let edge = edge(&mut plane, Some("web"), 1).await;
    let cancelled = Outcomes { cancelled: 1, ..Outcomes::default() };
    assert_eq!((edge.requests.outcomes, edge.releases[0].1.outcomes), (cancelled, cancelled));
}

#[tokio::test]
async fn the_status_of_grpc_is_counted_from_trailers_and_from_heads() {
    let replica = backend(true, |request| async move {
        let mut fields = HeaderMap::new();
        fields.insert("grpc-status", request.headers()["wanted"].clone());
        if request.uri().path() == "/head" {
            let mut response = answer(200, "");
            response.headers_mut().extend(fields);
            return response;
        }
        let frames = [Ok(Frame::data("x".into())), Ok(Frame::trailers(fields))];
        Response::new(StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync())
    })
    .await;
    let address = free();
    let table = Table::new().edge(address, "web", "s").upstream("s", Protocol::Grpc, &[replica]);
    let mut plane = Plane::with(&table.0).await;
    for (path, status) in [("/", "0"), ("/", "13"), ("/head", "5"), ("/head", "2")] {
        let uri = format!("http://app.example{path}");
        let call = with(request("POST", &uri, ""), "content-type", "application/grpc");
        let response = fetch_h2(address, with(call, "wanted", status)).await;
        response.into_body().collect().await.unwrap();
    }
    let edge = edge(&mut plane, Some("web"), 4).await;
    let counts = [(0, 1), (2, 1), (5, 1), (13, 1)].into();
    assert_eq!((edge.requests.outcomes.success, edge.requests.outcomes.failed), (4, 2));
    assert_eq!((&edge.requests.grpc, &edge.releases[0].1.grpc), (&counts, &counts));
    let failed = spans(&mut plane, 4).await.into_iter().filter(|span| span.kept == Kept::Failed);
    let mut statuses: Vec<_> = failed.map(|span| span.grpc_status.unwrap()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [2, 13]);
}

/// The gateway leads to `web`, which calls `db` for `/call…` and answers as that does.
async fn chain() -> (Plane, SocketAddr) {
    let (gateway, to_db) = (free(), free());
    let db = backend(false, |request| async move {
        answer(if request.uri().path() == "/call-bad" { 500 } else { 200 }, "")
    })
    .await;
    let web = backend(false, move |request| async move {
        let path = request.uri().path().to_owned();
        match path.as_str() {
            "/own-bad" => answer(500, ""),
            path => {
                let parent = request.headers()["traceparent"].to_str().unwrap();
                answer(traced(to_db, path, parent).await, "")
            }
        }
    })
    .await;
    let table = Table::new()
        .gateway(gateway, vec![route("/", "web")])
        .edge(to_db, "web", "db")
        .upstream("web", Protocol::Http, &[web])
        .upstream("db", Protocol::Http, &[db]);
    (Plane::with(&table.0).await, gateway)
}

#[tokio::test]
async fn a_failure_is_passed_on_if_a_call_of_the_same_trace_had_failed() {
    let (mut plane, gateway) = chain().await;
    for (path, status) in
        [("/call", 200), ("/call-bad", 500), ("/own-bad", 500), ("/own-bad", 500), ("/call-bad", 500)]
    {
        assert_eq!(get(gateway, path).await.0, status);
    }
    let (outer, inner) = (edge(&mut plane, None, 5).await, edge(&mut plane, Some("web"), 3).await);
    let counts = |o: Outcomes| (o.failed, o.passed_on);
    assert_eq!(counts(outer.requests.outcomes), (4, 2), "two are the own failures of web");
    assert_eq!(counts(outer.releases[0].1.outcomes), (4, 2));
    assert_eq!(counts(inner.requests.outcomes), (2, 0), "db calls nobody: its failures are its own");
    let failed = spans(&mut plane, 6).await;
    let passed_on = failed.iter().filter(|span| span.passed_on).count();
    assert_eq!(passed_on, 2);
}

#[tokio::test]
async fn spans_of_a_request_hang_below_each_other() {
    let (mut plane, gateway) = chain().await;
    assert_eq!(get(gateway, "/call?secret=1").await.0, 200);
    let spans = spans(&mut plane, 2).await;
    let of = |callee: &str| spans.iter().find(|span| span.callee.as_str() == callee).unwrap();
    let (web, db) = (of("web"), of("db"));
    assert_eq!((web.trace, web.parent, db.parent), (db.trace, None, Some(web.id)));
    assert_eq!((web.path.as_str(), web.method.as_str(), web.status), ("/call", "GET", Some(200)));
    assert_eq!((web.caller.as_ref(), db.caller.as_ref().unwrap().as_str()), (None, "web"));
    assert_eq!(
        (db.replica.as_ref().unwrap().to_string().as_str(), db.attempts, db.kept),
        ("db-1", 1, Kept::Sampled)
    );
    assert!(web.start <= db.start && web.start + web.duration >= db.start + db.duration);
    assert!(web.head.unwrap() <= web.duration && !web.failed() && !web.cancelled);
}

#[tokio::test]
async fn failures_are_kept_and_of_the_rest_what_was_sampled() {
    let (flaky, _) = scripted(false, |_, request| match request.uri().path() {
        "/flaky" if !request.headers().contains_key("x-isles-attempt") => answer(503, ""),
        "/bad" => answer(500, ""),
        _ => answer(200, ""),
    })
    .await;
    let (mut plane, address) = edge_to(&[flaky]).await;
    let other = "1af7651916cd43dd8448eb211c80319c";
    for (path, trace, sampled) in
        [("/", TRACE, false), ("/", TRACE, true), ("/bad", other, false), ("/flaky", TRACE, true)]
    {
        traced(address, path, &parent(trace, sampled)).await;
    }
    // Beyond the first few of a second, new traces are not recorded.
    for _ in 0..200 {
        get(address, "/").await;
    }
    edge(&mut plane, Some("web"), 204).await;
    let spans = spans(&mut plane, 3).await;
    let mut given: Vec<_> = spans.iter().filter(|span| span.parent.is_some()).collect();
    given.sort_by_key(|span| span.start);
    let [good, bad, flaky] = given.as_slice() else { panic!("{given:?}") };
    let trace = (good.trace.to_string(), good.parent.unwrap().to_string());
    assert_eq!(trace, (TRACE.to_owned(), "b7ad6b7169203331".to_owned()));
    assert_eq!((good.kept, good.sampled), (Kept::Sampled, true));
    assert_eq!(
        (bad.kept, bad.sampled, bad.status, bad.trace.to_string().as_str()),
        (Kept::Failed, false, Some(500), other)
    );
    assert_eq!((flaky.attempts, flaky.failed_attempts.len(), flaky.status), (2, 1, Some(200)));
    assert_eq!(flaky.failed_attempts[0].outcome, "503");
    let new = spans.len() - given.len();
    assert!((1..200).contains(&new), "{new}");
    assert!(plane.client.spans().await.unwrap().spans.is_empty(), "they are handed out once");
}

#[tokio::test]
async fn what_is_called_often_does_not_hide_what_is_called_rarely() {
    let address = free();
    let mut table = Table::new().edge(address, "web", "s").upstream("s", Protocol::Http, &[mirror().await]);
    let operation = |path: &str| Operation { method: "GET".into(), path: path.into(), name: path.into() };
    table.0.upstreams.get_mut("s").unwrap().operations = ["/often", "/rarely"].map(operation).to_vec();
    let mut plane = Plane::with(&table.0).await;
    for n in 0..200 {
        get(address, "/often").await;
        // The first of its second, whichever that is, comes when many others have come.
        if n == 150 {
            get(address, "/rarely").await;
        }
    }
    edge(&mut plane, Some("web"), 201).await;
    let spans = spans(&mut plane, 2).await;
    let of = |path: &str| spans.iter().filter(|span| span.path == path).count();
    assert_eq!(of("/rarely"), 1);
    assert!((1..150).contains(&of("/often")), "{}", of("/often"));
}

#[tokio::test]
async fn the_next_hop_is_told_the_span_of_this_one() {
    let (mut plane, address) = edge_to(&[mirror().await]).await;
    let sent = with(request("GET", "/", ""), "traceparent", &parent(TRACE, true));
    let seen = text(fetch(address, sent).await).await;
    let span = spans(&mut plane, 1).await.remove(0);
    let expected = format!("traceparent: 00-{TRACE}-{}-01", span.id);
    assert!(seen.contains(&expected), "{seen} has not {expected}");
}

#[tokio::test]
async fn nobody_is_told_of_what_is_quiet() {
    let replica = backend(false, |request| async move {
        answer(request.uri().path().trim_start_matches('/').parse().unwrap(), "done")
    })
    .await;
    let (loud, quiet) = (free(), free());
    let table = Table::new()
        .edge(loud, "web", "s")
        .edge(quiet, "web", "isles-telemetry")
        .upstream("s", Protocol::Http, &[replica])
        .upstream("isles-telemetry", Protocol::Http, &[replica])
        .quiet("isles-telemetry");
    let mut plane = Plane::with(&table.0).await;
    for address in [quiet, loud] {
        assert_eq!(traced(address, "/200", &parent(TRACE, true)).await, 200);
        assert_eq!(traced(address, "/500", &parent(TRACE, true)).await, 500);
    }
    edge(&mut plane, Some("web"), 2).await;
    let told = signals(&mut plane).await;
    let callees: Vec<_> = told.edges.iter().map(|edge| edge.callee.as_str()).collect();
    let replicas: Vec<_> = told.replicas.iter().map(|r| r.replica.service.as_str()).collect();
    let services: Vec<_> = told.services.iter().map(|s| s.service.as_str()).collect();
    assert_eq!((callees, replicas, services), (vec!["s"], vec!["s"], vec!["s"]));
    let spans = spans(&mut plane, 2).await;
    assert!(spans.len() == 2 && spans.iter().all(|span| span.callee.as_str() == "s"), "{spans:?}");
}

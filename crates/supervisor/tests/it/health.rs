//! Probes against real servers, which stand beside the process here so that a test can break them.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use model::{HealthCheck, Phase, ReplicaId};
use tokio::net::TcpListener;

use crate::yard::{Yard, health};

/// What the servers answer, to be changed at any time: an HTTP status, or a gRPC status × 10 + health status.
type Answer = Arc<AtomicU32>;

fn answer(status: u32) -> Answer {
    Arc::new(AtomicU32::new(status))
}

async fn http_server(answer: Answer) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = answer.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let status = if request.uri() == "/health" { answer.load(Ordering::SeqCst) } else { 404 };
                async move {
                    let body = Full::new(Bytes::from("database is away"));
                    let response = Response::builder().status(u16::try_from(status).unwrap()).body(body);
                    Ok::<_, Infallible>(response.unwrap())
                }
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    address
}

async fn grpc_server(answer: Answer) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = answer.clone();
            let service = service_fn(move |request| grpc_check(request, answer.load(Ordering::SeqCst)));
            let http2 = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(http2.serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

async fn grpc_check(
    request: Request<Incoming>,
    answer: u32,
) -> Result<Response<http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>>, Infallible> {
    assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
    assert_eq!(request.headers()["te"], "trailers");
    assert_eq!(request.into_body().collect().await.unwrap().to_bytes().as_ref(), [0, 0, 0, 0, 0]);
    let (code, status) = (answer / 10, u8::try_from(answer % 10).unwrap());
    let response = Response::builder().header("content-type", "application/grpc");
    if code != 0 {
        let headers = response.header("grpc-status", code.to_string());
        return Ok(headers.body(Full::default().boxed_unsync()).unwrap());
    }
    let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
    let body = Full::new(Bytes::from(vec![0, 0, 0, 0, 2, 8, status]));
    Ok(response.body(body.with_trailers(async move { Some(Ok(trailers)) }).boxed_unsync()).unwrap())
}

async fn start(yard: &mut Yard, check: HealthCheck, address: SocketAddr) {
    let mut spec = yard.script("exec sleep 1000");
    spec.address = address;
    spec.health = health(check);
    yard.start(&spec).await;
}

fn http(path: &str) -> HealthCheck {
    HealthCheck::Http { path: path.to_owned() }
}

#[tokio::test]
async fn http_health_goes_and_comes_back() {
    let mut yard = Yard::new();
    let status = answer(204);
    let address = http_server(status.clone()).await;
    start(&mut yard, http("/health"), address).await;
    yard.until_phase(Phase::Ready).await;
    status.store(503, Ordering::SeqCst);
    let unready = yard.until_phase(Phase::Unready).await;
    assert_eq!(
        unready.probe_error.unwrap(),
        "GET /health answered 503 Service Unavailable: database is away"
    );
    status.store(302, Ordering::SeqCst);
    let ready = yard.until_phase(Phase::Ready).await;
    assert_eq!((ready.probe_error, ready.failures), (None, 0));
}

#[tokio::test]
async fn a_replica_that_never_answers_stays_starting_and_says_why() {
    let mut yard = Yard::new();
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for (check, address, expected) in [
        (HealthCheck::Tcp, closed, "nothing listens on 127.0.0.1"),
        (http("/wrong"), http_server(answer(200)).await, "GET /wrong answered 404"),
        (http("not a path"), http_server(answer(200)).await, "not a path"),
        (HealthCheck::Grpc, http_server(answer(200)).await, "grpc.health.v1.Health/Check"),
        (HealthCheck::Grpc, grpc_server(answer(120)).await, "register the standard health service"),
        (HealthCheck::Grpc, grpc_server(answer(2)).await, "NOT_SERVING"),
        (HealthCheck::Grpc, grpc_server(answer(140)).await, "status 14"),
    ] {
        start(&mut yard, check, address).await;
        let state = yard.until(expected, |state| state.probe_error.is_some()).await;
        assert_eq!(state.phase, Phase::Starting);
        assert!(state.probe_error.clone().unwrap().contains(expected), "{expected}: {state:?}");
        yard.supervisor.stop(&crate::yard::id()).await;
    }
}

#[tokio::test]
async fn grpc_and_tcp_health_go_and_come_back() {
    let mut yard = Yard::new();
    let status = answer(1);
    let address = grpc_server(status.clone()).await;
    start(&mut yard, HealthCheck::Grpc, address).await;
    yard.until_phase(Phase::Ready).await;
    status.store(2, Ordering::SeqCst);
    yard.until_phase(Phase::Unready).await;
    status.store(1, Ordering::SeqCst);
    yard.until_phase(Phase::Ready).await;
    yard.supervisor.stop(&crate::yard::id()).await;

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    start(&mut yard, HealthCheck::Tcp, address).await;
    yard.until_phase(Phase::Ready).await;
    drop(listener);
    yard.until_phase(Phase::Unready).await;
    let _listener = TcpListener::bind(address).await.unwrap();
    yard.until_phase(Phase::Ready).await;
}

#[tokio::test]
async fn a_probe_that_hangs_is_bounded_and_delays_nobody() {
    let mut yard = Yard::new();
    // Accepts connections into its backlog and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut hanging = yard.script("exec sleep 1000");
    hanging.id = "orders-2".parse().unwrap();
    hanging.address = silent.local_addr().unwrap();
    hanging.health = health(http("/health"));
    hanging.health.timeout = Duration::from_secs(3600);
    yard.start(&hanging).await;
    let status = answer(200);
    let address = http_server(status.clone()).await;
    start(&mut yard, http("/health"), address).await;
    yard.until_phase(Phase::Ready).await;
    status.store(500, Ordering::SeqCst);
    yard.until_phase(Phase::Unready).await;
    let other: ReplicaId = hanging.id.clone();
    assert_eq!(yard.supervisor.observed().borrow().replicas[&other].phase, Phase::Starting);
    yard.supervisor.stop(&other).await;

    hanging.id = crate::yard::id();
    yard.supervisor.stop(&hanging.id).await;
    hanging.health.timeout = Duration::from_millis(50);
    yard.start(&hanging).await;
    let state = yard.until("timed out", |state| state.probe_error.is_some()).await;
    assert!(state.probe_error.unwrap().contains("no answer within 50ms"));
}

//! Requests without a pause, each failure remembered: over HTTP/1.1 or HTTP/2, as gRPC calls, as tunnels.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::Response;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::streams;

/// Messages of a gRPC call, or of a WebSocket connection.
pub const MESSAGES: usize = 10;
/// Milliseconds before each of them.
pub(crate) const PAUSE_MS: u64 = 50;

/// Running load: some connections with keep-alive, each sending one `GET` after the other.
pub struct Load {
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    stop: AtomicBool,
    good: AtomicU64,
    failures: Mutex<Vec<String>>,
    slowest: Mutex<Duration>,
}

/// What came of it.
#[derive(Debug)]
pub struct Report {
    /// Answers with a status below 400.
    pub good: u64,
    /// Everything else, for a person.
    pub failures: Vec<String>,
    /// The longest time to a whole answer.
    pub slowest: Duration,
}

impl Load {
    /// Begins to send `GET path` on `connections` connections of HTTP/1.1.
    pub fn start(address: SocketAddr, path: &str, connections: usize) -> Self {
        Self::over(Means::Http1, address, path, connections)
    }

    /// The same on connections of HTTP/2 (h2c, with prior knowledge).
    pub fn start_h2(address: SocketAddr, path: &str, connections: usize) -> Self {
        Self::over(Means::Http2, address, path, connections)
    }

    /// gRPC calls, one after the other on each connection; every one has to bring [`MESSAGES`] messages and the status OK.
    pub fn start_grpc(address: SocketAddr, connections: usize) -> Self {
        let path = format!("/stream?n={MESSAGES}&ms={PAUSE_MS}");
        Self::over(Means::Grpc, address, &path, connections)
    }

    /// WebSocket connections, one after the other, of which each sends [`MESSAGES`] times something and has to get it back.
    pub fn start_websocket(address: SocketAddr, connections: usize) -> Self {
        Self::over(Means::WebSocket, address, "/tunnel", connections)
    }

    fn over(means: Means, address: SocketAddr, path: &str, connections: usize) -> Self {
        let state = Arc::new(State::default());
        let (shared, path) = (state.clone(), path.to_owned());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let local = tokio::task::LocalSet::new();
            for _ in 0..connections {
                local.spawn_local(customer(shared.clone(), means, address, path.clone()));
            }
            runtime.block_on(local);
        });
        Self { state, thread: Some(thread) }
    }

    /// How many requests went well so far.
    pub fn good(&self) -> u64 {
        self.state.good.load(Ordering::Relaxed)
    }

    /// Waits until this many more requests went well, so that what was done before has been under load.
    #[track_caller]
    pub fn wait_for_more(&self, requests: u64) {
        let target = self.good() + requests;
        crate::wait_until("requests under load", || self.good(), |good| *good >= target);
    }

    /// Ends the load after the requests in flight.
    pub fn stop(mut self) -> Report {
        self.state.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        Report {
            good: self.good(),
            failures: std::mem::take(&mut self.state.failures.lock().unwrap()),
            slowest: *self.state.slowest.lock().unwrap(),
        }
    }
}

async fn customer(state: Arc<State>, means: Means, address: SocketAddr, path: String) {
    let mut connection = None;
    while !state.stop.load(Ordering::Relaxed) {
        let begin = Instant::now();
        let went = match means {
            Means::WebSocket => streams::websocket(address, &path).await,
            _ => one(&mut connection, means, address, &path).await,
        };
        match went {
            Ok(()) => {
                state.good.fetch_add(1, Ordering::Relaxed);
                let mut slowest = state.slowest.lock().unwrap();
                *slowest = slowest.max(begin.elapsed());
            }
            Err(error) => {
                connection = None;
                state.failures.lock().unwrap().push(error);
            }
        }
    }
}

/// How requests are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Means {
    Http1,
    Http2,
    Grpc,
    WebSocket,
}

enum Connection {
    Http1(http1::SendRequest<Empty<Bytes>>),
    Http2(http2::SendRequest<Empty<Bytes>>),
}

impl Connection {
    async fn open(means: Means, address: SocketAddr) -> Result<Self, Box<dyn std::error::Error>> {
        let stream = tokio::net::TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        if means != Means::Http1 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
            tokio::task::spawn_local(async move { drop(connection.await) });
            return Ok(Self::Http2(sender));
        }
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::task::spawn_local(async move { drop(connection.await) });
        Ok(Self::Http1(sender))
    }

    async fn is_ready(&mut self) -> bool {
        match self {
            Self::Http1(sender) => sender.ready().await.is_ok(),
            Self::Http2(sender) => sender.ready().await.is_ok(),
        }
    }

    async fn send(
        &mut self,
        means: Means,
        address: SocketAddr,
        path: &str,
    ) -> hyper::Result<Response<Incoming>> {
        let mut request = hyper::Request::get(format!("http://{address}{path}"));
        if means == Means::Grpc {
            request =
                request.method("POST").header("content-type", "application/grpc").header("te", "trailers");
        }
        match self {
            Self::Http1(sender) => {
                let request = hyper::Request::get(path).header("host", address.to_string());
                sender.send_request(request.body(Empty::new()).unwrap()).await
            }
            Self::Http2(sender) => sender.send_request(request.body(Empty::new()).unwrap()).await,
        }
    }
}

async fn one(
    connection: &mut Option<Connection>,
    means: Means,
    address: SocketAddr,
    path: &str,
) -> Result<(), String> {
    // A server may close an idle connection whenever it likes; only a request that was sent can fail.
    let reusable = match connection.as_mut() {
        Some(connection) => connection.is_ready().await,
        None => false,
    };
    if !reusable {
        *connection = Some(Connection::open(means, address).await.map_err(|e| format!("connect: {e}"))?);
    }
    let Some(connection) = connection.as_mut() else { return Err("no connection".into()) };
    let answer = connection.send(means, address, path).await.map_err(|e| format!("request: {e} ({e:?})"))?;
    let status = answer.status();
    if means == Means::Grpc && status.is_success() {
        return streams::grpc(answer).await;
    }
    let body = answer.into_body().collect().await.map_err(|e| format!("body: {e}"))?.to_bytes();
    if status.as_u16() >= 400 {
        return Err(format!("{status}: {}", String::from_utf8_lossy(&body)));
    }
    Ok(())
}

//! Requests without a pause, each failure remembered.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;

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
    /// Begins to send `GET path` on `connections` connections.
    pub fn start(address: SocketAddr, path: &str, connections: usize) -> Self {
        let state = Arc::new(State::default());
        let (shared, path) = (state.clone(), path.to_owned());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let local = tokio::task::LocalSet::new();
            for _ in 0..connections {
                local.spawn_local(customer(shared.clone(), address, path.clone()));
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

async fn customer(state: Arc<State>, address: SocketAddr, path: String) {
    let mut connection = None;
    while !state.stop.load(Ordering::Relaxed) {
        let begin = Instant::now();
        match one(&mut connection, address, &path).await {
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

type Connection = SendRequest<Empty<Bytes>>;

async fn one(connection: &mut Option<Connection>, address: SocketAddr, path: &str) -> Result<(), String> {
    // A server may close an idle connection whenever it likes; only a request that was sent can fail.
    let reusable = match connection.as_mut() {
        Some(sender) => sender.ready().await.is_ok(),
        None => false,
    };
    if !reusable {
        *connection = Some(connect(address).await.map_err(|e| format!("connect: {e}"))?);
    }
    let Some(sender) = connection.as_mut() else { return Err("no connection".into()) };
    let request = hyper::Request::get(path).header("host", address.to_string()).body(Empty::new()).unwrap();
    let answer = sender.send_request(request).await.map_err(|e| format!("request: {e} ({e:?})"))?;
    let status = answer.status();
    let body = answer.into_body().collect().await.map_err(|e| format!("body: {e}"))?.to_bytes();
    if status.as_u16() >= 400 {
        return Err(format!("{status}: {}", String::from_utf8_lossy(&body)));
    }
    Ok(())
}

async fn connect(address: SocketAddr) -> Result<Connection, Box<dyn std::error::Error>> {
    let stream = tokio::net::TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::task::spawn_local(async move { drop(connection.await) });
    Ok(sender)
}

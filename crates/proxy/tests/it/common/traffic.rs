//! Closed loops of requests, each outcome counted.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::{Body, request};

/// Clients that send one request after the other until they are stopped.
pub struct Traffic {
    state: Arc<State>,
    clients: JoinSet<()>,
}

#[derive(Default)]
struct State {
    stop: AtomicBool,
    done: AtomicUsize,
    seen: Mutex<Report>,
}

/// What came of it.
#[derive(Debug, Default, Clone)]
pub struct Report {
    /// How often each outcome was seen: a status, with the data plane's code where it has one, or what broke.
    pub outcomes: BTreeMap<String, usize>,
    /// Connections that were opened, by clients that each need one.
    pub connections: usize,
    /// The time to each whole answer.
    pub times: Vec<Duration>,
}

impl Report {
    pub fn all(&self) -> usize {
        self.outcomes.values().sum()
    }

    pub fn count(&self, outcome: &str) -> usize {
        self.outcomes.get(outcome).copied().unwrap_or(0)
    }

    pub fn failed(&self) -> usize {
        self.all() - self.count("200")
    }

    /// The 99th percentile, in milliseconds.
    pub fn p99(&self) -> f64 {
        let mut times = self.times.clone();
        times.sort();
        times.get(times.len() * 99 / 100).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
    }

    pub fn slowest(&self) -> Duration {
        self.times.iter().max().copied().unwrap_or_default()
    }
}

impl Traffic {
    pub fn new() -> Self {
        Self { state: Arc::default(), clients: JoinSet::new() }
    }

    /// `clients` with a kept-alive HTTP/1.1 connection each.
    pub fn h1(
        mut self,
        address: SocketAddr,
        clients: usize,
        method: &'static str,
        path: &'static str,
    ) -> Self {
        for _ in 0..clients {
            let state = Arc::clone(&self.state);
            self.clients.spawn(async move {
                let mut connection: Option<http1::SendRequest<Body>> = None;
                while !state.stop.load(Relaxed) {
                    let begun = Instant::now();
                    // A server may end an idle connection; what has been sent must be answered.
                    let usable = match connection.as_mut() {
                        Some(sender) => sender.ready().await.is_ok(),
                        None => false,
                    };
                    if !usable {
                        connection = dial_h1(address).await;
                        state.connected();
                    }
                    let outcome = match connection.as_mut() {
                        Some(sender) => outcome(sender.send_request(request(method, path, "")).await).await,
                        None => "no connection".to_owned(),
                    };
                    if broken(&outcome) {
                        connection = None;
                    }
                    state.count(outcome, begun);
                }
            });
        }
        self
    }

    /// `clients` with an HTTP/2 connection each.
    pub fn h2(mut self, address: SocketAddr, clients: usize, path: &'static str) -> Self {
        for _ in 0..clients {
            let state = Arc::clone(&self.state);
            self.clients.spawn(async move {
                let mut connection: Option<http2::SendRequest<Body>> = None;
                while !state.stop.load(Relaxed) {
                    let begun = Instant::now();
                    let usable = match connection.as_mut() {
                        Some(sender) => sender.ready().await.is_ok(),
                        None => false,
                    };
                    if !usable {
                        connection = dial_h2(address).await;
                        state.connected();
                    }
                    let Some(sender) = connection.as_mut() else {
                        state.count("no connection".to_owned(), begun);
                        continue;
                    };
                    let mut request = request("GET", path, "");
                    *request.uri_mut() = format!("http://app.example{path}").parse().unwrap();
                    let outcome = match sender.try_send_request(request).await {
                        Ok(response) => outcome(Ok(response)).await,
                        // Told to go away before anything was sent.
                        Err(mut refused) => match refused.take_message() {
                            Some(_) => {
                                connection = None;
                                continue;
                            }
                            None => outcome(Err(refused.into_error())).await,
                        },
                    };
                    // The server's word that it has not looked at the request (RFC 9113, 6.8).
                    if outcome.contains("GoAway") && outcome.contains("NO_ERROR,Remote") {
                        connection = None;
                        continue;
                    };
                    if broken(&outcome) {
                        connection = None;
                    }
                    state.count(outcome, begun);
                }
            });
        }
        self
    }

    /// `clients` that open a TCP connection, have a line echoed a few times, and open the next one.
    pub fn tcp(mut self, address: SocketAddr, clients: usize) -> Self {
        for _ in 0..clients {
            let state = Arc::clone(&self.state);
            self.clients.spawn(async move {
                while !state.stop.load(Relaxed) {
                    let begun = Instant::now();
                    let outcome = match echo(address).await {
                        Ok(()) => "200".to_owned(),
                        Err(error) => format!("{error}"),
                    };
                    state.connected();
                    state.count(outcome, begun);
                }
            });
        }
        self
    }

    /// Waits until so many more requests have ended, so that what was done before happened under load.
    pub async fn more(&self, requests: usize) {
        let target = self.state.done.load(Relaxed) + requests;
        let begun = Instant::now();
        while self.state.done.load(Relaxed) < target {
            assert!(
                begun.elapsed() < Duration::from_secs(120),
                "no progress: {:?}",
                self.state.seen.lock().unwrap().outcomes
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// What has been seen so far.
    pub fn so_far(&self) -> Report {
        self.state.seen.lock().unwrap().clone()
    }

    /// Ends after the requests that are under way.
    pub async fn stop(mut self) -> Report {
        self.state.stop.store(true, Relaxed);
        while let Some(ended) = self.clients.join_next().await {
            ended.unwrap();
        }
        self.so_far()
    }
}

impl State {
    fn connected(&self) {
        self.seen.lock().unwrap().connections += 1;
    }

    fn count(&self, outcome: String, begun: Instant) {
        let mut seen = self.seen.lock().unwrap();
        *seen.outcomes.entry(outcome).or_default() += 1;
        seen.times.push(begun.elapsed());
        self.done.fetch_add(1, Relaxed);
    }
}

/// A connection after which nothing more can be sent.
fn broken(outcome: &str) -> bool {
    outcome.parse::<u16>().is_err() && !outcome.contains(' ') || outcome.contains("cut")
}

async fn outcome(answer: hyper::Result<http::Response<hyper::body::Incoming>>) -> String {
    let response = match answer {
        Ok(response) => response,
        Err(error) => return format!("broken:{error:?}").replace(' ', ""),
    };
    let status = response.status().as_u16();
    let code = response.headers().get("x-isles-error").map(|code| format!(" {}", code.to_str().unwrap()));
    match response.into_body().collect().await {
        Ok(_) => format!("{status}{}", code.unwrap_or_default()),
        Err(_) => format!("{status} cut short"),
    }
}

async fn dial_h1(address: SocketAddr) -> Option<http1::SendRequest<Body>> {
    let stream = TcpStream::connect(address).await.ok()?;
    stream.set_nodelay(true).ok()?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    tokio::spawn(connection);
    Some(sender)
}

async fn dial_h2(address: SocketAddr) -> Option<http2::SendRequest<Body>> {
    let stream = TcpStream::connect(address).await.ok()?;
    stream.set_nodelay(true).ok()?;
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.ok()?;
    tokio::spawn(connection);
    Some(sender)
}

async fn echo(address: SocketAddr) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    for _ in 0..5 {
        say(&mut stream, b"hello").await?;
    }
    Ok(())
}

/// Sends `words` and reads them back.
pub async fn say(
    stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin),
    words: &[u8],
) -> std::io::Result<()> {
    stream.write_all(words).await?;
    let mut back = vec![0; words.len()];
    stream.read_exact(&mut back).await?;
    if back == words { Ok(()) } else { Err(std::io::Error::other("something else came back")) }
}

/// Serves an echo of bytes.
pub async fn echoing() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
        }
    });
    address
}

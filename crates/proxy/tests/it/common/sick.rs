//! Replicas that misbehave on the wire, each in its own way, and can be cured and made sick again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::read_head;

/// What is wrong with a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sickness {
    /// Nothing.
    Well,
    /// Nobody listens; connections that there were are reset, as when the process is killed.
    Killed,
    /// Reads the request and resets the connection.
    Reset,
    /// Takes connections and requests, and never answers.
    Hang,
    /// Answers late, but in time.
    Slow,
    /// Sends the head of an answer, and then a byte now and then.
    Trickle,
    /// Sends the head and half of the body, and then nothing.
    Stall,
    /// Reads the request and ends its side of the connection in order.
    HalfClose,
    /// Answers 503.
    Unavailable,
    /// Answers 500.
    Error,
    /// Ends the connection before the length that it announced is reached.
    Short,
    /// Sends more than the length that it announced: what looks like another answer.
    Long,
    /// Ends the connection before the last chunk.
    Unfinished,
    /// Answers with something that is not HTTP.
    Garbage,
    /// Well for 20 requests, then 503 for 20, and so on.
    Flapping,
}

pub const WELL: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nwell";
/// How late a slow replica answers, and how often a trickling one sends a byte.
pub const SLOWNESS: Duration = Duration::from_millis(100);

/// A replica whose health a test decides.
pub struct Patient {
    pub address: SocketAddr,
    /// Requests that it has got.
    pub seen: Arc<AtomicUsize>,
    state: watch::Sender<Sickness>,
}

impl Patient {
    pub async fn new(sickness: Sickness) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, state) = (Arc::new(AtomicUsize::new(0)), watch::Sender::new(sickness));
        tokio::spawn(listen(listener, state.subscribe(), Arc::clone(&seen)));
        let patient = Self { address, seen, state };
        if sickness == Sickness::Killed {
            patient.gone().await;
        }
        patient
    }

    pub fn seen(&self) -> usize {
        self.seen.load(Relaxed)
    }

    /// Changes what is wrong with it.
    pub async fn becomes(&self, sickness: Sickness) {
        self.state.send_replace(sickness);
        match sickness {
            Sickness::Killed => self.gone().await,
            _ => {
                super::until("it listens", async || TcpStream::connect(self.address).await.ok().map(drop))
                    .await;
            }
        }
    }

    async fn gone(&self) {
        super::until("nobody listens", async || TcpStream::connect(self.address).await.err()).await;
    }
}

async fn listen(listener: TcpListener, mut state: watch::Receiver<Sickness>, seen: Arc<AtomicUsize>) {
    let address = listener.local_addr().unwrap();
    let mut listener = Some(listener);
    loop {
        let now = *state.borrow_and_update();
        if now == Sickness::Killed {
            listener = None;
        } else if listener.is_none() {
            listener = Some(TcpListener::bind(address).await.unwrap());
        }
        let accepted = async {
            match &listener {
                Some(listener) => listener.accept().await.unwrap().0,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            stream = accepted => {
                tokio::spawn(serve(stream, state.clone(), Arc::clone(&seen)));
            }
            changed = state.changed() => if changed.is_err() { return },
        }
    }
}

async fn serve(mut stream: TcpStream, mut state: watch::Receiver<Sickness>, seen: Arc<AtomicUsize>) {
    stream.set_nodelay(true).unwrap();
    loop {
        let head = tokio::select! {
            head = read_head(&mut stream) => head,
            killed = state.wait_for(|now| *now == Sickness::Killed) => {
                drop(killed);
                return reset(stream);
            }
        };
        if head.is_empty() {
            return;
        }
        let number = seen.fetch_add(1, Relaxed);
        let now = *state.borrow();
        if !act(&mut stream, now, number).await {
            if now == Sickness::Reset {
                reset(stream);
            }
            return;
        }
    }
}

fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
}

/// Answers one request; false ends the connection.
async fn act(stream: &mut TcpStream, sickness: Sickness, number: usize) -> bool {
    let unavailable = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nsick";
    let (text, goes_on) = match sickness {
        Sickness::Well => (WELL, true),
        Sickness::Killed | Sickness::Reset => return false,
        Sickness::Hang => return end_of(stream).await,
        Sickness::Slow => {
            tokio::time::sleep(SLOWNESS).await;
            (WELL, true)
        }
        Sickness::Trickle => return trickle(stream).await,
        Sickness::Stall => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nwell").await;
            return end_of(stream).await;
        }
        Sickness::HalfClose => {
            let _ = stream.shutdown().await;
            return end_of(stream).await;
        }
        Sickness::Unavailable => (unavailable, true),
        Sickness::Error => ("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 4\r\n\r\nsick", true),
        Sickness::Short => ("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nwell", false),
        Sickness::Long => (
            "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nwellHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged",
            true,
        ),
        Sickness::Unfinished => ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nwell\r\n", false),
        Sickness::Garbage => ("\x16\x03\x01 this is not HTTP\r\n\r\n", false),
        Sickness::Flapping if number / 20 % 2 == 1 => (unavailable, true),
        Sickness::Flapping => (WELL, true),
    };
    stream.write_all(text.as_bytes()).await.is_ok() && goes_on
}

/// Waits until the other side ends the connection.
async fn end_of(stream: &mut TcpStream) -> bool {
    let mut buffer = [0; 256];
    while matches!(stream.read(&mut buffer).await, Ok(1..)) {}
    false
}

async fn trickle(stream: &mut TcpStream) -> bool {
    let mut sent = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n").await.is_ok();
    for byte in b"well" {
        tokio::time::sleep(SLOWNESS).await;
        sent = sent && stream.write_all(&[*byte]).await.is_ok();
    }
    sent
}

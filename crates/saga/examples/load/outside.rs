//! Load from outside: sagas begun over HTTP, at Isles or at somebody else, and the calls of a saga without any of them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;

/// What is sent, over a connection for each lane that stays open.
pub struct Target {
    /// Where.
    pub address: SocketAddr,
    /// The path of one request.
    pub path: String,
    /// How many requests make one unit of what is counted: one for a saga, four for the bare calls of one.
    pub requests: usize,
}

impl Target {
    /// From `http://address/path`.
    pub fn of(url: &str, requests: usize) -> Self {
        let url: Uri = url.parse().unwrap();
        let address = url.authority().unwrap().as_str().parse().unwrap();
        Self { address, path: url.path().to_owned(), requests }
    }

    /// Each lane sends a unit, waits for its end, and sends the next.
    pub async fn round(&self, lanes: usize, time: Duration) -> Vec<Duration> {
        let until = Instant::now() + time;
        let lanes = (0..lanes).map(|_| async {
            let (mut times, mut connection) = (Vec::new(), connect(self.address).await);
            while Instant::now() < until {
                let began = Instant::now();
                for _ in 0..self.requests {
                    send(&mut connection, &self.path).await;
                }
                times.push(began.elapsed());
            }
            times
        });
        futures_util::future::join_all(lanes).await.concat()
    }
}

async fn connect(address: SocketAddr) -> SendRequest<Full<Bytes>> {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn send(connection: &mut SendRequest<Full<Bytes>>, path: &str) {
    connection.ready().await.unwrap();
    let request = Request::post(path)
        .header("host", "bench")
        .header("content-type", "application/json")
        .header("idempotency-key", uuid::Uuid::new_v4().to_string())
        .header("prefer", "wait=60")
        .body(Full::new(Bytes::from(super::input().to_string())))
        .unwrap();
    let response = connection.send_request(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(status, StatusCode::OK, "{}", String::from_utf8_lossy(&body));
}

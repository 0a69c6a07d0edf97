//! Kept HTTP/1.1 connections, and requests over them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use super::lock;

/// Connections that are kept to one address while nobody uses them, and for how long.
const MOST_IDLE: usize = 256;
const LONGEST_IDLE: Duration = Duration::from_secs(20);
/// A longer answer is an error.
const LARGEST_ANSWER: usize = 1024 * 1024;
/// A refusal that is longer than this is not kept.
const LARGEST_REFUSAL: usize = 4 * 1024;

type Connection = SendRequest<Full<Bytes>>;

/// Connections that nobody uses now.
#[derive(Default)]
pub struct Pool {
    idle: Mutex<HashMap<SocketAddr, Vec<(Connection, Instant)>>>,
}

/// An answer.
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// What it says: JSON, or a text. `null` if nobody wanted to know.
    pub body: Value,
}

/// Why there is no answer.
pub enum Fault {
    /// There was no connection: nothing was sent.
    Connect(String),
    /// The connection ended before the answer did.
    Broken(String),
}

impl Pool {
    /// Sends a request. The body of a good answer is read as JSON if it is wanted, that of any other always.
    pub async fn send(
        &self,
        address: SocketAddr,
        request: Request<Full<Bytes>>,
        wants_body: bool,
    ) -> Result<Reply, Fault> {
        let mut request = request;
        while let Some(mut kept) = self.take(address) {
            match kept.try_send_request(request).await {
                Ok(response) => return self.read(address, kept, response, wants_body).await,
                Err(mut error) => match error.take_message() {
                    // The connection was closed meanwhile, and nothing was sent.
                    Some(unsent) => request = unsent,
                    None => return Err(Fault::Broken(error.into_error().to_string())),
                },
            }
        }
        let mut new = connect(address).await?;
        let response = new.send_request(request).await.map_err(|e| Fault::Broken(e.to_string()))?;
        self.read(address, new, response, wants_body).await
    }

    async fn read(
        &self,
        address: SocketAddr,
        connection: Connection,
        response: http::Response<Incoming>,
        wants_body: bool,
    ) -> Result<Reply, Fault> {
        let (head, body) = response.into_parts();
        let body = Limited::new(body, LARGEST_ANSWER)
            .collect()
            .await
            .map_err(|e| Fault::Broken(e.to_string()))?
            .to_bytes();
        self.put(address, connection);
        let good = head.status.is_success();
        let body = if good && !wants_body || !good && body.len() > LARGEST_REFUSAL {
            Value::Null
        } else {
            parse(&body)
        };
        Ok(Reply { status: head.status, headers: head.headers, body })
    }

    /// The connection that was used last: the others may then become old enough to be dropped. One whose last answer has only
    /// just been read may not be ready yet.
    fn take(&self, address: SocketAddr) -> Option<Connection> {
        let mut idle = lock(&self.idle);
        let list = idle.get_mut(&address)?;
        let at = list.iter().rposition(|(connection, _)| connection.is_ready())?;
        let (connection, since) = list.remove(at);
        if since.elapsed() > LONGEST_IDLE {
            list.clear();
            return None;
        }
        Some(connection)
    }

    fn put(&self, address: SocketAddr, connection: Connection) {
        if connection.is_closed() {
            return;
        }
        let mut idle = lock(&self.idle);
        let list = idle.entry(address).or_default();
        if list.len() >= MOST_IDLE {
            list.retain(|(connection, _)| !connection.is_closed());
        }
        if list.len() < MOST_IDLE {
            list.push((connection, Instant::now()));
        }
    }
}

async fn connect(address: SocketAddr) -> Result<Connection, Fault> {
    let stream =
        TcpStream::connect(address).await.map_err(|e| Fault::Connect(format!("no connection: {e}")))?;
    // Small requests that somebody waits for.
    let _ = stream.set_nodelay(true);
    let (send, connection) =
        handshake(TokioIo::new(stream)).await.map_err(|e| Fault::Connect(e.to_string()))?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!("a connection to {address} ended: {error}");
        }
    });
    Ok(send)
}

fn parse(body: &Bytes) -> Value {
    if body.is_empty() {
        return Value::Null;
    }
    serde_json::from_slice(body).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(body).into_owned()))
}

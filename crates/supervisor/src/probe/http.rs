//! `GET path`: 200 to 399 is healthy.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

use super::Failure;

/// How much of a bad answer is read, and how much of it is told.
const READ: usize = 4096;
const TOLD: usize = 200;

pub(super) const USER_AGENT: &str = "isles-health/1";

pub(super) async fn check(stream: TcpStream, address: SocketAddr, path: &str) -> Result<(), Failure> {
    let (mut sender, connection) =
        http1::handshake::<_, Empty<Bytes>>(TokioIo::new(stream)).await.map_err(Failure::other)?;
    let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
    let request = Request::get(path)
        .header(header::HOST, address.to_string())
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::CONNECTION, "close")
        .body(Empty::new())
        .map_err(|error| Failure::Other(format!("`{path}` is not a path that can be asked for: {error}")))?;
    let response = sender
        .send_request(request)
        .await
        .map_err(|error| Failure::Other(format!("GET {path} got no answer: {error}")))?;
    let status = response.status();
    if status.is_success() || status.is_redirection() {
        return Ok(());
    }
    let body = Limited::new(response.into_body(), READ).collect().await;
    let said =
        body.map(|body| String::from_utf8_lossy(&body.to_bytes()).trim().to_owned()).unwrap_or_default();
    let said: String = said.chars().take(TOLD).collect();
    let colon = if said.is_empty() { "" } else { ": " };
    Err(Failure::Other(format!("GET {path} answered {status}{colon}{said}")))
}

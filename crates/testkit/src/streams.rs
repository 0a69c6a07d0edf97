//! What takes a while: calls that bring one message after the other, and tunnels.

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper::Response;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::load::{MESSAGES, PAUSE_MS};

/// A gRPC message as the scripted service sends it: not compressed, four bytes long.
const LENGTH: usize = 9;

/// Reads the answer of a gRPC call to its end.
pub(crate) async fn grpc(answer: Response<Incoming>) -> Result<(), String> {
    let in_head = answer.headers().get("grpc-status").cloned();
    let answer = answer.into_body().collect().await.map_err(|e| format!("gRPC body: {e} ({e:?})"))?;
    let status = answer.trailers().and_then(|trailers| trailers.get("grpc-status")).cloned().or(in_head);
    let messages = answer.to_bytes().len() / LENGTH;
    match status {
        Some(status) if status == "0" && messages == MESSAGES => Ok(()),
        status => Err(format!("gRPC: {messages} messages, status {status:?}")),
    }
}

/// Opens a WebSocket connection and sends through it what has to come back. The frames are not looked at by anybody.
pub(crate) async fn websocket(address: SocketAddr, path: &str) -> Result<(), String> {
    let talk = async {
        let stream = tokio::net::TcpStream::connect(address).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::task::spawn_local(async move { drop(connection.with_upgrades().await) });
        let request = hyper::Request::get(path)
            .header("host", address.to_string())
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA==");
        let answer = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
        if answer.status() != 101 {
            return Err(format!("no tunnel: {}", answer.status()).into());
        }
        let mut tunnel = TokioIo::new(hyper::upgrade::on(answer).await?);
        for number in 0..MESSAGES {
            let sent = format!("message {number:3}");
            tunnel.write_all(sent.as_bytes()).await?;
            let mut got = vec![0; sent.len()];
            tunnel.read_exact(&mut got).await?;
            if got != sent.as_bytes() {
                return Err("other bytes came back".into());
            }
            tokio::time::sleep(Duration::from_millis(PAUSE_MS)).await;
        }
        tunnel.shutdown().await?;
        Ok::<_, Box<dyn std::error::Error>>(())
    };
    talk.await.map_err(|error| format!("WebSocket: {error}"))
}

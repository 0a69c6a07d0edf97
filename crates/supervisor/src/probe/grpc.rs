//! `grpc.health.v1.Health/Check` over HTTP/2 without TLS, for the whole server.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

use super::{Failure, http::USER_AGENT};

/// The method that is called.
pub(super) const METHOD: &str = "grpc.health.v1.Health/Check";
/// An uncompressed message of no bytes: a `HealthCheckRequest` for the service "".
const REQUEST: &[u8] = &[0, 0, 0, 0, 0];
/// No health answer is longer.
const LONGEST: usize = 4096;
const UNIMPLEMENTED: &str = "12";

pub(super) async fn check(stream: TcpStream, address: SocketAddr) -> Result<(), Failure> {
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .map_err(|error| Failure::Other(format!("{address} does not speak HTTP/2: {error}")))?;
    let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
    let request = Request::post(format!("http://{address}/{METHOD}"))
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .header(header::USER_AGENT, USER_AGENT)
        .body(Full::new(Bytes::from_static(REQUEST)))
        .map_err(Failure::other)?;
    let response = sender
        .send_request(request)
        .await
        .map_err(|error| Failure::Other(format!("{METHOD} got no answer: {error}")))?;
    let (head, body) = response.into_parts();
    if !head.status.is_success() {
        return Err(Failure::Other(format!(
            "{METHOD} answered HTTP {}: is this a gRPC server?",
            head.status
        )));
    }
    let body = Limited::new(body, LONGEST)
        .collect()
        .await
        .map_err(|error| Failure::Other(format!("{METHOD} broke off: {error}")))?;
    // An answer without a message has its status in the headers.
    grpc_status(body.trailers().unwrap_or(&head.headers))?;
    serving(&body.to_bytes())
}

fn grpc_status(headers: &HeaderMap) -> Result<(), Failure> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match text("grpc-status") {
        "0" => Ok(()),
        UNIMPLEMENTED => Err(Failure::Other(format!(
            "the server has no {METHOD}: register the standard health service in it, or set health = \"tcp\""
        ))),
        "" => Err(Failure::Other(format!("{METHOD} answered without a grpc-status"))),
        code => Err(Failure::Other(format!("{METHOD} answered status {code}: {}", text("grpc-message")))),
    }
}

/// Reads `HealthCheckResponse { ServingStatus status = 1; }` from a length-prefixed message.
fn serving(frame: &[u8]) -> Result<(), Failure> {
    let Some(([0, length @ ..], message)) = frame.split_first_chunk::<5>() else {
        return Err(Failure::Other(format!("{METHOD} answered a message that cannot be read")));
    };
    if u32::from_be_bytes(*length) as usize != message.len() {
        return Err(Failure::Other(format!("{METHOD} answered a message that is cut off")));
    }
    // Field 1 as a varint; the default, 0, is not sent. Status values are below 128.
    match message {
        [0x08, 1] => Ok(()),
        [] | [0x08, 0] => Err(Failure::Other("the server says UNKNOWN of its health".to_owned())),
        [0x08, 2] => Err(Failure::Other("the server says NOT_SERVING".to_owned())),
        [0x08, 3] => Err(Failure::Other("the server says SERVICE_UNKNOWN of its health".to_owned())),
        _ => Err(Failure::Other(format!("{METHOD} answered something that is not a health status"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_serving_is_healthy() {
        assert_eq!(serving(&[0, 0, 0, 0, 2, 8, 1]), Ok(()));
        for bad in [
            &[][..],
            &[0, 0, 0, 0, 0],
            &[0, 0, 0, 0, 2, 8, 0],
            &[0, 0, 0, 0, 2, 8, 2],
            &[0, 0, 0, 0, 2, 8, 3],
            &[0, 0, 0, 0, 3, 8, 1],
            &[1, 0, 0, 0, 2, 8, 1],
            &[0, 0, 0, 0, 2, 9, 1],
        ] {
            assert!(serving(bad).is_err(), "{bad:?}");
        }
    }
}

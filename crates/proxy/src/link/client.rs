//! The control plane's end of the link.

use std::io;
use std::path::Path;
use std::time::Duration;

use model::RouteTable;
use serde::Serialize;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::{Applied, Hello, LinkError, PROTOCOL, Reply, Signals, Spans, Stats, frame, path};

/// How long an answer may take. It takes milliseconds; a data plane that is stopped or stuck gives none at all.
const ANSWER: Duration = Duration::from_secs(10);

/// A connection to a data plane.
///
/// A call that is dropped before it returns leaves the connection unusable: later calls fail with
/// [`LinkError::OutOfStep`].
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    in_step: bool,
}

/// As [`super::Request`], but borrows the table.
#[derive(Serialize)]
#[serde(tag = "do", rename_all = "snake_case")]
enum Request<'a> {
    Apply { table: &'a RouteTable },
    Stats,
    Signals,
    Spans,
    Shutdown,
}

impl Client {
    /// Connects and waits for the greeting.
    ///
    /// # Errors
    /// What the system reports; `InvalidData` if the other side speaks another protocol.
    pub async fn connect(socket: &Path) -> io::Result<(Self, Hello)> {
        let mut stream = path::connect(socket).await?;
        let greeting = timeout(ANSWER, frame::read(&mut stream)).await;
        match greeting.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?? {
            Some(Reply::Hello(hello)) if hello.protocol == PROTOCOL => {
                Ok((Self { stream, in_step: true }, hello))
            }
            Some(Reply::Hello(hello)) => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("the data plane speaks protocol {}, this program {PROTOCOL}", hello.protocol),
            )),
            Some(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "the data plane did not greet")),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Puts a route table in force. A version that is not above the one in force changes no route; listeners of
    /// that version that failed before are tried again.
    ///
    /// # Errors
    /// See [`LinkError`]. Listeners that do not come up are no error but part of the answer.
    pub async fn apply(&mut self, table: &RouteTable) -> Result<Applied, LinkError> {
        match self.ask(&Request::Apply { table }).await? {
            Reply::Applied(applied) => Ok(applied),
            other => Err(unexpected(other)),
        }
    }

    /// Reads the counters.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn stats(&mut self) -> Result<Stats, LinkError> {
        match self.ask(&Request::Stats).await? {
            Reply::Stats(stats) => Ok(stats),
            other => Err(unexpected(other)),
        }
    }

    /// Reads what was counted of all requests.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn signals(&mut self) -> Result<Signals, LinkError> {
        match self.ask(&Request::Signals).await? {
            Reply::Signals(signals) => Ok(signals),
            other => Err(unexpected(other)),
        }
    }

    /// Takes the spans that were kept since the last time; there may be more where many come at a time.
    ///
    /// # Errors
    /// See [`LinkError`]. Spans of an answer that is lost are lost.
    pub async fn spans(&mut self) -> Result<Spans, LinkError> {
        match self.ask(&Request::Spans).await? {
            Reply::Spans(spans) => Ok(spans),
            other => Err(unexpected(other)),
        }
    }

    /// Asks the data plane to drain and end; returns once it begins to.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn shutdown(&mut self) -> Result<(), LinkError> {
        match self.ask(&Request::Shutdown).await? {
            Reply::ShuttingDown => Ok(()),
            other => Err(unexpected(other)),
        }
    }

    async fn ask(&mut self, request: &Request<'_>) -> Result<Reply, LinkError> {
        if !std::mem::replace(&mut self.in_step, false) {
            return Err(LinkError::OutOfStep);
        }
        let exchange = async {
            frame::write(&mut self.stream, request).await?;
            frame::read(&mut self.stream).await
        };
        let reply =
            timeout(ANSWER, exchange).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        let reply = reply.ok_or(io::Error::from(io::ErrorKind::UnexpectedEof))?;
        self.in_step = true;
        Ok(reply)
    }
}

fn unexpected(reply: Reply) -> LinkError {
    match reply {
        Reply::Refused { reason } => LinkError::Refused(reason),
        other => LinkError::Protocol(format!("unexpected reply {other:?}")),
    }
}

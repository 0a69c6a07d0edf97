//! The control plane's end of the link.

use std::io;
use std::path::Path;
use std::time::Duration;

use model::RouteTable;
use serde::Serialize;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::stable::Ask;
use super::{Applied, Hello, LinkError, Load, PROTOCOL, Reply, Signals, Spans, Stats, frame, path};

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
    /// Which protocol the data plane speaks.
    protocol: u32,
}

/// As [`super::Request`], but borrows the table.
#[derive(Serialize)]
#[serde(tag = "do", rename_all = "snake_case")]
enum Request<'a> {
    Apply { table: &'a RouteTable },
    Stats,
    Signals,
    Spans,
    Lead,
}

impl Client {
    /// Connects and waits for the greeting. A data plane of another protocol can be asked what is stable only:
    /// [`Self::hand_over`], [`Self::load`] and [`Self::shutdown`].
    ///
    /// # Errors
    /// What the system reports; `InvalidData` if the other side does not greet.
    pub async fn connect(socket: &Path) -> io::Result<(Self, Hello)> {
        let mut stream = path::connect(socket).await?;
        let greeting = timeout(ANSWER, frame::read(&mut stream)).await;
        match greeting.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?? {
            Some(Reply::Hello(hello)) => {
                Ok((Self { stream, in_step: true, protocol: hello.protocol }, hello))
            }
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
        match self.ask_own(&Request::Apply { table }).await? {
            Reply::Applied(applied) => Ok(applied),
            other => Err(unexpected(other)),
        }
    }

    /// Reads the counters.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn stats(&mut self) -> Result<Stats, LinkError> {
        match self.ask_own(&Request::Stats).await? {
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
        match self.ask(&Ask::Shutdown).await? {
            Reply::ShuttingDown => Ok(()),
            other => Err(unexpected(other)),
        }
    }

    /// Asks it to pass its listening sockets to the successor that listens at `to`. It serves on, until the successor
    /// leads.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn hand_over(&mut self, to: &Path) -> Result<(), LinkError> {
        match self.ask(&Ask::HandOver { to: to.to_owned() }).await? {
            Reply::HandedOver => Ok(()),
            other => Err(unexpected(other)),
        }
    }

    /// Tells a successor, which has got sockets and a table, to take its predecessor's place. It will, also if this
    /// control plane ends before the answer.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn lead(&mut self) -> Result<(), LinkError> {
        match self.ask_own(&Request::Lead).await? {
            Reply::Leading => Ok(()),
            other => Err(unexpected(other)),
        }
    }

    /// What it has in flight.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn load(&mut self) -> Result<Load, LinkError> {
        match self.ask(&Ask::Load).await? {
            Reply::Load(load) => Ok(load),
            other => Err(unexpected(other)),
        }
    }

    /// Asks what only a data plane of the same protocol understands.
    async fn ask_own(&mut self, request: &Request<'_>) -> Result<Reply, LinkError> {
        if self.protocol != PROTOCOL {
            let theirs = self.protocol;
            return Err(LinkError::Protocol(format!("it speaks protocol {theirs}, this program {PROTOCOL}")));
        }
        self.ask(request).await
    }

    async fn ask(&mut self, request: &impl Serialize) -> Result<Reply, LinkError> {
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

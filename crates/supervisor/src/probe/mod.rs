//! Asks a replica for its health, in a task of its own, so that one that hangs delays nobody else.

mod grpc;
mod http;
mod pace;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use model::{Health, HealthCheck};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use self::pace::Pace;

/// Why a probe failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nobody listens there (yet): noticed at once, at no cost to the service.
    Refused,
    /// Anything else, for a person.
    Other(String),
}

impl Failure {
    fn other(what: impl ToString) -> Self {
        Self::Other(what.to_string())
    }
}

/// The probes of one process. They end when this is dropped.
pub(crate) struct Probes {
    results: mpsc::Receiver<Result<(), String>>,
    _task: Option<AbortOnDropHandle<()>>,
}

impl Probes {
    /// Never gives a result.
    pub fn none() -> Self {
        Self { results: mpsc::channel(1).1, _task: None }
    }

    /// `was_ready`: the replica has been healthy before, so that there is no start to wait for.
    pub fn start(health: &Health, address: SocketAddr, was_ready: bool) -> Self {
        let (sender, results) = mpsc::channel(1);
        let task = tokio::spawn(probe_on(health.clone(), address, was_ready, sender));
        Self { results, _task: Some(AbortOnDropHandle::new(task)) }
    }

    /// Cancel-safe.
    pub async fn next(&mut self) -> Result<(), String> {
        match self.results.recv().await {
            Some(result) => result,
            None => std::future::pending().await,
        }
    }
}

async fn probe_on(
    health: Health,
    address: SocketAddr,
    was_ready: bool,
    results: mpsc::Sender<Result<(), String>>,
) {
    let mut pace = Pace::new(health.interval, was_ready);
    loop {
        let result = probe(&health.check, address, health.timeout).await;
        let pause = pace.after(&result);
        let result = result.map_err(|failure| match failure {
            Failure::Refused => format!("nothing listens on {address}"),
            Failure::Other(what) => what,
        });
        if results.send(result).await.is_err() || health.check == HealthCheck::None {
            return;
        }
        sleep(pause).await;
    }
}

/// One probe, which takes no longer than `limit`.
async fn probe(check: &HealthCheck, address: SocketAddr, limit: Duration) -> Result<(), Failure> {
    let asked = async {
        match check {
            HealthCheck::None => Ok(()),
            HealthCheck::Tcp => connect(address).await.map(drop),
            HealthCheck::Http { path } => http::check(connect(address).await?, address, path).await,
            HealthCheck::Grpc => grpc::check(connect(address).await?, address).await,
        }
    };
    match timeout(limit, asked).await {
        Ok(result) => result,
        Err(_) => {
            Err(Failure::Other(format!("{} gave no answer within {limit:?}", describe(check, address))))
        }
    }
}

fn describe(check: &HealthCheck, address: SocketAddr) -> String {
    match check {
        HealthCheck::None => "the process".to_owned(),
        HealthCheck::Tcp => format!("tcp {address}"),
        HealthCheck::Http { path } => format!("GET http://{address}{path}"),
        HealthCheck::Grpc => format!("{} at {address}", grpc::METHOD),
    }
}

async fn connect(address: SocketAddr) -> Result<TcpStream, Failure> {
    let stream = TcpStream::connect(address).await.map_err(|error| match error.kind() {
        io::ErrorKind::ConnectionRefused => Failure::Refused,
        _ => Failure::Other(format!("{address} cannot be connected to: {error}")),
    })?;
    // On loopback a connection to a free port can connect to itself, which is not a service.
    match (stream.local_addr(), stream.peer_addr()) {
        (Ok(local), Ok(peer)) if local == peer => Err(Failure::Refused),
        _ => Ok(stream),
    }
}

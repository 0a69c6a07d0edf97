//! What the control plane and the data plane say to each other, over a Unix socket.
//!
//! The data plane greets with [`Hello`]; then every request of the control plane gets exactly one reply. One control
//! plane is heard at a time: the first request on a newer connection replaces the one before.
//!
//! A data plane is replaced by a newer one without a pause ([`handover`] shows how); what planes of different versions
//! have to understand for that is in [`stable`] and never changes.

mod client;
pub(crate) mod frame;
pub(crate) mod handover;
mod pass;
pub mod path;
pub(crate) mod server;
mod signals;
mod stable;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use model::{ReleaseId, ReplicaId, RouteTable, ServiceName};
use serde::{Deserialize, Serialize};

pub use client::Client;
pub use signals::{
    Drift, DriftFinding, DriftSide, EdgeSignals, OperationCounts, OperationDrift, ReplicaSignals,
    ServiceSignals, Signals, Spans, Undocumented,
};
pub use stable::{Hello, Load};

/// The version of this protocol. Planes of different versions speak of hand-overs only.
pub const PROTOCOL: u32 = 3;

/// Tells one build of the program from another: its version, and which file it is (device, inode, size, time of change).
///
/// Of the file that this process runs, also where another one has taken its place by now.
pub fn build() -> String {
    use std::os::unix::fs::MetadataExt;
    let version = env!("CARGO_PKG_VERSION");
    let own = if cfg!(target_os = "linux") { Ok("/proc/self/exe".into()) } else { std::env::current_exe() };
    match own.and_then(std::fs::metadata) {
        Ok(file) => {
            let changed = (file.mtime(), file.mtime_nsec());
            format!(
                "{version} {:x}-{:x}-{:x}-{:x}.{:x}",
                file.dev(),
                file.ino(),
                file.size(),
                changed.0,
                changed.1
            )
        }
        // Then only the version tells them apart.
        Err(_) => version.to_owned(),
    }
}

/// [`ListenFailure::reason`] where somebody else listens.
pub const IN_USE: &str = "address in use";

/// The answer to a route table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// The version in force now: the one sent, or a newer one that was there before.
    pub version: u64,
    /// Listeners of that version that are not up; everything else is in force.
    pub failed: Vec<ListenFailure>,
}

/// A listener that could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenFailure {
    /// Where it should listen.
    pub address: SocketAddr,
    /// Why it does not.
    pub reason: String,
}

/// Counters since the data plane started; they only grow, `in_flight` and `connections` aside.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// The version of the route table in force.
    pub version: Option<u64>,
    /// Every endpoint of the table, and those that left it and still have requests in flight.
    pub endpoints: Vec<EndpointStats>,
    /// Every listener of the table.
    pub listeners: Vec<ListenerStats>,
    /// Every system outside that the table speaks of.
    #[serde(default)]
    pub outside: Vec<OutsideStats>,
    /// Every service of the table: requests under way until the last byte of their answer, those that wait for a replica to
    /// start included.
    #[serde(default)]
    pub in_flight: BTreeMap<ServiceName, u64>,
}

/// Counters of one endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointStats {
    /// Which replica.
    pub replica: ReplicaId,
    /// Of which release.
    pub release: ReleaseId,
    /// Where it listens.
    pub address: SocketAddr,
    /// False once it left the route table.
    pub routed: bool,
    /// Attempts that have not ended: requests whose response body is not yet passed on, upgraded and TCP connections.
    pub in_flight: u64,
    /// Attempts made.
    pub requests: u64,
    /// Attempts that got no answer (refused, closed, timed out), or one with a status of 500 and above.
    pub failures: u64,
    /// Gets no requests for a while, but a few on trial, because it failed while others did not.
    #[serde(default)]
    pub ejected: bool,
}

/// Counters of one listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerStats {
    /// Where it listens.
    pub address: SocketAddr,
    /// The calling service; none at a gateway.
    pub caller: Option<ServiceName>,
    /// The called service; none at a gateway.
    pub callee: Option<ServiceName>,
    /// Requests that arrived (connections, for TCP).
    pub requests: u64,
    /// Requests that were answered with a status of 500 and above, made here or by the upstream.
    pub failures: u64,
    /// Where they went.
    pub targets: Vec<TargetStats>,
    /// Connections that were refused because their process is not one of the caller's.
    #[serde(default)]
    pub refused: u64,
    /// Whether a circuit of it is not closed.
    #[serde(default)]
    pub circuit_open: bool,
    /// What a person has to look after, such as a certificate that cannot be used.
    #[serde(default)]
    pub problem: Option<String>,
}

/// How a system outside is found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutsideStats {
    /// Its name.
    pub name: ServiceName,
    /// Its addresses as they were found last.
    pub addresses: Vec<SocketAddr>,
    /// Why it cannot be called, or why what is known may be out of date.
    pub trouble: Option<String>,
}

/// Counters of one listener's attempts at one endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetStats {
    /// Which replica.
    pub replica: ReplicaId,
    /// Of which release.
    pub release: ReleaseId,
    /// Attempts made.
    pub requests: u64,
    /// Attempts that failed, as in [`EndpointStats::failures`].
    pub failures: u64,
}

/// Why a call over the link failed.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The connection broke: connect again.
    #[error("the connection to the data plane broke: {0}")]
    Io(#[from] io::Error),
    /// The other side sent something that is not part of the protocol.
    #[error("the data plane does not speak this protocol: {0}")]
    Protocol(String),
    /// The data plane refused the request.
    #[error("the data plane refused: {0}")]
    Refused(String),
    /// An earlier call was dropped before its answer came, so answers would be mixed up: connect again.
    #[error("an earlier call was abandoned half way; connect again")]
    OutOfStep,
}

/// What is asked of a data plane. The stable ones are those of [`stable`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub(crate) enum Request {
    Apply { table: RouteTable },
    Stats,
    Signals,
    Spans,
    Shutdown,
    HandOver { to: PathBuf },
    Load,
    Take { listeners: Vec<SocketAddr> },
    Lead,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub(crate) enum Reply {
    Hello(Hello),
    Applied(Applied),
    Stats(Stats),
    Signals(Signals),
    Spans(Spans),
    ShuttingDown,
    HandedOver,
    Load(Load),
    Taken,
    Leading,
    Refused { reason: String },
}

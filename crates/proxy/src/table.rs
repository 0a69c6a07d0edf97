//! A route table in the form in which requests look things up.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use http::HeaderValue;
use model::{Protocol, ReleaseId, ReplicaId, ServiceName, Timeouts};

use crate::access::Log;
use crate::callers::Processes;
use crate::conformance::Contract;
use crate::counters::Counters;
use crate::edge::Edge;
use crate::latency::Latency;
use crate::operations::Usage;
use crate::outlier::Health;
use crate::outside::Outside;
use crate::places::Places;
use crate::records::Records;
use crate::route::Router;
use crate::service::Service;
use crate::split::Split;
use crate::sticky::Sticky;
use crate::tls::Tls;

/// An immutable snapshot.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// None before the first table came.
    pub version: Option<u64>,
    pub entries: HashMap<SocketAddr, Entry>,
    pub lanes: Vec<Lane>,
    /// Set where callers are verified.
    pub processes: Option<Arc<Processes>>,
}

/// What arrives at one listener, and where it can go.
#[derive(Debug)]
pub(crate) struct Entry {
    pub kind: Kind,
    pub counters: Arc<Counters>,
    /// Its lanes, by index.
    pub lanes: Vec<usize>,
    /// How many connections it may have, where that is limited.
    pub places: Option<Arc<Places>>,
    /// Where its requests are written down.
    pub log: Option<Arc<Log>>,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Gateway(Box<Gateway>),
    /// Answers with a redirect to the gateway that listens there.
    Redirect {
        gateway: SocketAddr,
    },
    Edge {
        caller: ServiceName,
        callee: ServiceName,
        caller_header: HeaderValue,
        lane: usize,
    },
}

/// What is asked of all requests from outside.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub router: Router,
    pub tls: Option<Arc<Tls>>,
    /// `Strict-Transport-Security`, for answers over TLS.
    pub hsts: Option<HeaderValue>,
}

impl Entry {
    /// The service that calls here; none where clients do.
    pub(crate) fn caller(&self) -> Option<&ServiceName> {
        match &self.kind {
            Kind::Edge { caller, .. } => Some(caller),
            Kind::Gateway(_) | Kind::Redirect { .. } => None,
        }
    }

    /// What it needs to speak TLS, if it does.
    pub(crate) fn tls(&self) -> Option<&Arc<Tls>> {
        match &self.kind {
            Kind::Gateway(gateway) => gateway.tls.as_ref(),
            Kind::Redirect { .. } | Kind::Edge { .. } => None,
        }
    }
}

/// The way from one listener to one service.
#[derive(Debug)]
pub(crate) struct Lane {
    pub service: ServiceName,
    pub protocol: Protocol,
    pub timeouts: Timeouts,
    pub retries: u32,
    pub targets: Vec<Target>,
    /// Set where the service is a system outside.
    pub outside: Option<Arc<Outside>>,
    /// Why there may be no target.
    pub trouble: Option<String>,
    /// Where there is no target, one is on its way: requests wait for it.
    pub hold: bool,
    /// Nobody is told of what is sent there.
    pub quiet: bool,
    /// How requests are divided among releases; none where every target counts the same.
    pub split: Option<Split>,
    /// What tells the users apart who are held to one of them.
    pub sticky: Option<Sticky>,
    /// What is called of the service, where its operations are known.
    pub usage: Option<Arc<Usage>>,
    /// What real requests and answers are held to, where that is known.
    pub contract: Option<Arc<Contract>>,
    pub edge: Arc<Edge>,
    pub service_state: Arc<Service>,
}

/// An endpoint as the goal of one lane.
#[derive(Debug)]
pub(crate) struct Target {
    pub endpoint: Arc<Endpoint>,
    pub counters: Arc<Counters>,
    /// Attempts of this lane at all replicas of the same release.
    pub release: Arc<Records>,
}

/// A replica's address, and what is known about it.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// Unique in this process: the key of connection pools.
    pub id: u64,
    pub replica: ReplicaId,
    pub release: ReleaseId,
    pub address: SocketAddr,
    /// The system outside that this is an address of.
    pub outside: Option<Arc<Outside>>,
    pub counters: Counters,
    /// Attempts of all callers.
    pub records: Records,
    pub latency: Latency,
    pub health: Health,
    /// When it was first routed, in milliseconds on the process's clock.
    pub born: u64,
    /// Milliseconds on the process's clock before which another endpoint is preferred.
    pub avoid_until: AtomicU64,
}

impl Endpoint {
    /// Prefers others until `until`, in milliseconds on the process's clock.
    pub(crate) fn avoid(&self, until: u64) {
        self.avoid_until.store(until, Relaxed);
    }
}

//! What happens between services: the data plane's counts as rates over a window.
//!
//! The planner and the admin API read this; nothing of it outlives the control plane, and the data plane needs none of it.

mod series;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::{Circuit, ProcessId, ReleaseId, ReplicaId, ServiceName, Tally};
use proxy::link::{Drift, EdgeSignals, ReplicaSignals, ServiceSignals, Signals};
use telemetry::Edge;

pub use series::HISTORY;
use series::{Series, millis};

/// A listener's address, the caller (none: the gateway) and the callee.
type EdgeKey = (SocketAddr, Option<ServiceName>, ServiceName);

/// One process of a replica: the next one has another address, and counts anew.
type ReplicaKey = (ReplicaId, ReleaseId, SocketAddr);

/// The history of all traffic. Every method returns copies.
#[derive(Debug, Default)]
pub struct Traffic {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The data plane that counts.
    process: Option<ProcessId>,
    edges: BTreeMap<EdgeKey, Series>,
    releases: BTreeMap<(EdgeKey, ReleaseId), Series>,
    replicas: BTreeMap<ReplicaKey, Series>,
    latest: Signals,
}

/// What a reading of the data plane brought.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Taken {
    /// What was added to each edge.
    pub added: Vec<(Edge, Tally)>,
    /// What is in another state now.
    pub news: Vec<News>,
}

/// A circuit breaker or a replica that is in another state.
#[derive(Debug, Clone, PartialEq)]
pub struct News {
    /// `circuit` or `ejection`.
    pub kind: &'static str,
    /// Whose.
    pub service: ServiceName,
    /// A sentence.
    pub text: String,
}

/// Traffic within a window.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// The window.
    pub window: Duration,
    /// The edges of the routing table in force.
    pub edges: Vec<EdgeTraffic>,
    /// The releases that got calls in the window, those that left since included.
    pub releases: Vec<ReleaseTraffic>,
    /// The replicas that run.
    pub replicas: Vec<ReplicaTraffic>,
    /// Places and limits of every service.
    pub services: Vec<ServiceSignals>,
}

/// The calls of one caller to one callee.
#[derive(Debug, Clone, PartialEq)]
pub struct EdgeTraffic {
    /// Requests in the window.
    pub window: Tally,
    /// All that was counted since the data plane began, and how things are now.
    pub now: EdgeSignals,
}

/// The attempts of one caller at one release of a callee, within the window: what a deploy is judged by.
#[derive(Debug, Clone, PartialEq)]
pub struct ReleaseTraffic {
    /// Who calls; none is the gateway.
    pub caller: Option<ServiceName>,
    /// Whom.
    pub callee: ServiceName,
    /// Which release of it.
    pub release: ReleaseId,
    /// Attempts.
    pub window: Tally,
}

/// The attempts at one replica.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplicaTraffic {
    /// Attempts in the window.
    pub window: Tally,
    /// All that was counted, and how things are now.
    pub now: ReplicaSignals,
}

impl Traffic {
    /// How real requests and answers of a service compare with its contract, as far as the data plane has looked.
    pub fn drift(&self, service: &str) -> Option<Drift> {
        self.lock().latest.drift.iter().find(|drift| drift.service.as_str() == service).cloned()
    }

    /// Takes what the data plane `process` has counted by `at` (milliseconds). Gives what that adds to each edge, and which
    /// breakers and replicas are in another state now.
    pub fn take(&self, process: ProcessId, signals: Signals, at: u64) -> Taken {
        let mut taken = Taken::default();
        let mut state = self.lock();
        // Of the first data plane nothing is known before this; a later one was started by this control plane and
        // counts from zero.
        let begins = state.process.is_none();
        if !begins && state.process != Some(process) {
            state.restart();
        }
        state.process = Some(process);
        for edge in &signals.edges {
            let key = edge_key(edge);
            for (release, tally) in &edge.releases {
                let series = state.releases.entry((key.clone(), release.clone())).or_default();
                series.take(tally.clone(), at, begins);
            }
            let added = state.edges.entry(key).or_default().take(edge.requests.clone(), at, begins);
            let of = || Edge { caller: edge.caller.clone(), callee: edge.callee.clone() };
            taken.added.extend(added.map(|added| (of(), added)));
        }
        for replica in &signals.replicas {
            let series = state.replicas.entry(replica_key(replica)).or_default();
            series.take(replica.attempts.clone(), at, begins);
        }
        taken.news = news(&state.latest, &signals);
        state.latest = signals;
        state.forget(at);
        taken
    }

    /// What happened within `window` before `at` (milliseconds); at most [`HISTORY`] is known.
    pub fn report(&self, window: Duration, at: u64) -> Report {
        let state = self.lock();
        let from = at.saturating_sub(millis(window));
        let since = |series: Option<&Series>| series.map(|series| series.since(from)).unwrap_or_default();
        let edges = state
            .latest
            .edges
            .iter()
            .map(|now| EdgeTraffic { window: since(state.edges.get(&edge_key(now))), now: now.clone() });
        let replicas = state.latest.replicas.iter().map(|now| ReplicaTraffic {
            window: since(state.replicas.get(&replica_key(now))),
            now: now.clone(),
        });
        let releases = state.releases.iter().map(|(((_, caller, callee), release), series)| ReleaseTraffic {
            caller: caller.clone(),
            callee: callee.clone(),
            release: release.clone(),
            window: series.since(from),
        });
        Report {
            window,
            edges: edges.collect(),
            releases: releases.filter(|release| !release.window.is_empty()).collect(),
            replicas: replicas.collect(),
            services: state.latest.services.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every step leaves it whole enough: these are counts for people and for judgements over many.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Circuit breakers that opened or closed, and replicas that were ejected or let back in.
fn news(before: &Signals, after: &Signals) -> Vec<News> {
    let mut news = Vec::new();
    let mut tell =
        |kind, service: &ServiceName, text| news.push(News { kind, service: service.clone(), text });
    for edge in &after.edges {
        let same = |known: &&EdgeSignals| edge_key(known) == edge_key(edge);
        let known = before.edges.iter().find(same);
        let caller = edge.caller.as_ref().map_or("the gateway", |caller| caller.as_str());
        if known.is_some_and(|known| edge.openings > known.openings) {
            tell("circuit", &edge.callee, format!("the circuit breaker of {caller} opened"));
        }
        if edge.circuit == Circuit::Closed && known.is_some_and(|known| known.circuit != Circuit::Closed) {
            tell("circuit", &edge.callee, format!("the circuit breaker of {caller} closed"));
        }
    }
    for replica in &after.replicas {
        let same = |known: &&ReplicaSignals| replica_key(known) == replica_key(replica);
        let known = before.replicas.iter().find(same);
        if replica.ejected && known.is_none_or(|known| !known.ejected) {
            tell("ejection", &replica.replica.service, format!("{} is out for failing", replica.replica));
        } else if !replica.ejected && known.is_some_and(|known| known.ejected) {
            tell("ejection", &replica.replica.service, format!("{} is let back in", replica.replica));
        }
    }
    news
}

impl State {
    fn restart(&mut self) {
        self.edges.values_mut().for_each(Series::restart);
        self.releases.values_mut().for_each(Series::restart);
        self.replicas.values_mut().for_each(Series::restart);
    }

    /// Forgets what is not counted any more and of which no history is left. What is still counted must stay: its next
    /// counts go on from the last.
    fn forget(&mut self, at: u64) {
        let edges: BTreeSet<EdgeKey> = self.latest.edges.iter().map(edge_key).collect();
        let replicas: BTreeSet<ReplicaKey> = self.latest.replicas.iter().map(replica_key).collect();
        let of_edge = |edge: &EdgeSignals| {
            let key = edge_key(edge);
            edge.releases.iter().map(|(release, _)| (key.clone(), release.clone())).collect::<Vec<_>>()
        };
        let releases: BTreeSet<(EdgeKey, ReleaseId)> = self.latest.edges.iter().flat_map(of_edge).collect();
        self.edges.retain(|key, series| edges.contains(key) || !series.is_over(at));
        self.releases.retain(|key, series| releases.contains(key) || !series.is_over(at));
        self.replicas.retain(|key, series| replicas.contains(key) || !series.is_over(at));
    }
}

fn edge_key(edge: &EdgeSignals) -> EdgeKey {
    (edge.listener, edge.caller.clone(), edge.callee.clone())
}

fn replica_key(replica: &ReplicaSignals) -> ReplicaKey {
    (replica.replica.clone(), replica.release.clone(), replica.address)
}

#[cfg(test)]
mod tests;

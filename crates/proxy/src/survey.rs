//! Reads what the workers counted, for the control plane; and what is learned from it here.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use model::{ServiceName, Tally};

use crate::link::{EdgeSignals, ReplicaSignals, ServiceSignals, Signals};
use crate::table::{Endpoint, Entry, Kind, Lane, Table};

/// Everything that was counted of the table in force, and of the endpoints that `endpoints` gives.
pub(crate) fn signals<'a>(
    table: &Table,
    endpoints: impl Iterator<Item = &'a Arc<Endpoint>>,
    now: u64,
) -> Signals {
    let entries = table.entries.iter();
    let mut edges: Vec<_> = entries
        .flat_map(|(address, entry)| {
            let told = entry.lanes.iter().filter(|number| !table.lanes[**number].quiet);
            told.map(|number| edge(*address, entry, table, *number, now))
        })
        .collect();
    edges.sort_by(|a, b| (a.listener, &a.callee).cmp(&(b.listener, &b.callee)));
    let quiet: HashSet<&ServiceName> =
        table.lanes.iter().filter(|lane| lane.quiet).map(|lane| &lane.service).collect();
    let told = endpoints.filter(|endpoint| !quiet.contains(&endpoint.replica.service));
    let mut replicas: Vec<_> =
        told.map(|endpoint| replica(endpoint)).filter(|r| !r.attempts.is_empty()).collect();
    replicas.sort_by(|a, b| (&a.replica, a.address).cmp(&(&b.replica, b.address)));
    let mut services: Vec<_> = services(table).filter(|lane| !lane.quiet).map(service).collect();
    services.sort_by(|a, b| a.service.cmp(&b.service));
    let mut drift: Vec<_> =
        self::services(table).filter_map(|lane| Some(lane.contract.as_ref()?.drift(&lane.service))).collect();
    drift.sort_by(|a, b| a.service.cmp(&b.service));
    Signals { edges, replicas, services, drift }
}

/// The requests under way at each service, those that wait for a replica included.
pub(crate) fn in_flight(table: &Table) -> BTreeMap<ServiceName, u64> {
    services(table).map(|lane| (lane.service.clone(), lane.service_state.bulkhead.crowd().inside())).collect()
}

/// Learns how many requests each service can take.
pub(crate) fn learn(table: &Table) {
    services(table).for_each(|lane| lane.service_state.learn(&lane.targets));
}

/// Learns which requests are slow for their edge.
pub(crate) fn learn_slow(table: &Table) {
    table.lanes.iter().for_each(|lane| lane.edge.signals.learn_slow());
}

/// One lane of each service.
fn services(table: &Table) -> impl Iterator<Item = &Lane> {
    let mut seen = HashSet::new();
    table.lanes.iter().filter(move |lane| seen.insert(Arc::as_ptr(&lane.service_state)))
}

fn edge(listener: SocketAddr, entry: &Entry, table: &Table, number: usize, now: u64) -> EdgeSignals {
    let lane = &table.lanes[number];
    let caller = match &entry.kind {
        Kind::Gateway(_) | Kind::Redirect { .. } => None,
        Kind::Edge { caller, .. } => Some(caller.clone()),
    };
    let mut releases: Vec<(_, Tally)> = Vec::new();
    for target in &lane.targets {
        if releases.iter().all(|(release, _)| *release != target.endpoint.release) {
            releases.push((target.endpoint.release.clone(), target.release.tally()));
        }
    }
    let (signals, breaker) = (&lane.edge.signals, &lane.edge.breaker);
    let totals = signals.totals();
    EdgeSignals {
        listener,
        caller,
        callee: lane.service.clone(),
        requests: signals.requests.tally(),
        whole: signals.whole.tally().latency,
        releases,
        codes: totals.codes,
        in_flight: lane.edge.crowd.inside(),
        retries: totals.retries,
        retries_refused: totals.retries_refused,
        shed: totals.shed,
        over_share: totals.over_share,
        circuit: breaker.circuit(now),
        openings: breaker.openings(),
        operations: lane.usage.as_ref().map(|usage| usage.counts()).unwrap_or_default(),
        routes: routes(entry, number),
    }
}

/// The routes that lead to a lane, and the requests that took each.
fn routes(entry: &Entry, lane: usize) -> Vec<(String, u64)> {
    let Kind::Gateway(gateway) = &entry.kind else { return Vec::new() };
    let routes = gateway.router.routes().filter(|route| route.lane == lane);
    routes.map(|route| (route.asked.name.to_string(), route.asked.counters.totals().requests)).collect()
}

fn replica(endpoint: &Endpoint) -> ReplicaSignals {
    ReplicaSignals {
        replica: endpoint.replica.clone(),
        release: endpoint.release.clone(),
        address: endpoint.address,
        attempts: endpoint.records.tally(),
        in_flight: endpoint.counters.in_flight(),
        ejected: endpoint.health.is_ejected(),
        ejections: endpoint.health.ejections(),
    }
}

fn service(lane: &Lane) -> ServiceSignals {
    let bulkhead = &lane.service_state.bulkhead;
    ServiceSignals {
        service: lane.service.clone(),
        in_flight: bulkhead.crowd().inside(),
        waiting: bulkhead.crowd().waiting(),
        limit: bulkhead.limit(),
        learned_limit: Some(bulkhead.learned()).filter(|learned| *learned < bulkhead.limit()),
    }
}

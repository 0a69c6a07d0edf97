//! The control plane's traffic in the words of the admin API.

use console::api::{Calls, EdgeTotals, EdgeTraffic, ReleaseTraffic, ReplicaTraffic, ServiceTraffic, Traffic};
use control::traffic::{self, Report};
use model::{Circuit, Tally};

/// A report about a window of so many seconds.
pub fn traffic(report: &Report, seconds: u64) -> Traffic {
    Traffic {
        seconds,
        edges: report.edges.iter().map(|edge| self::edge(edge, report, seconds)).collect(),
        replicas: report.replicas.iter().map(|replica| self::replica(replica, seconds)).collect(),
        services: report.services.iter().map(|service| self::service(service, report, seconds)).collect(),
    }
}

fn edge(edge: &traffic::EdgeTraffic, report: &Report, seconds: u64) -> EdgeTraffic {
    let now = &edge.now;
    let of_edge = |r: &&traffic::ReleaseTraffic| r.caller == now.caller && r.callee == now.callee;
    let releases = report.releases.iter().filter(of_edge).map(|release| ReleaseTraffic {
        release: release.release.to_string(),
        attempts: Calls::of(&release.window, seconds),
    });
    EdgeTraffic {
        caller: now.caller.as_ref().map(ToString::to_string),
        callee: now.callee.to_string(),
        listener: now.listener.to_string(),
        requests: Calls::of(&edge.window, seconds),
        in_flight: now.in_flight,
        circuit: match now.circuit {
            Circuit::Closed => "closed",
            Circuit::Open => "open",
            Circuit::HalfOpen => "half_open",
        }
        .to_owned(),
        total: EdgeTotals {
            requests: now.requests.outcomes.all(),
            failed: now.requests.outcomes.failed,
            retries: now.retries,
            retries_refused: now.retries_refused,
            shed: now.shed,
            over_share: now.over_share,
            openings: now.openings,
            codes: now.codes.clone(),
        },
        releases: releases.collect(),
    }
}

fn replica(replica: &traffic::ReplicaTraffic, seconds: u64) -> ReplicaTraffic {
    let now = &replica.now;
    ReplicaTraffic {
        id: now.replica.to_string(),
        release: now.release.to_string(),
        address: now.address.to_string(),
        attempts: Calls::of(&replica.window, seconds),
        in_flight: now.in_flight,
        ejected: now.ejected,
        ejections: now.ejections,
    }
}

fn service(service: &proxy::link::ServiceSignals, report: &Report, seconds: u64) -> ServiceTraffic {
    let mut requests = Tally::default();
    let edges = report.edges.iter().filter(|edge| edge.now.callee == service.service);
    edges.for_each(|edge| requests.add(&edge.window));
    ServiceTraffic {
        service: service.service.to_string(),
        requests: Calls::of(&requests, seconds),
        in_flight: service.in_flight,
        waiting: service.waiting,
        limit: service.limit,
        learned_limit: service.learned_limit,
    }
}

//! From what is declared and observed to what the data plane is told. Pure.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use model::{
    DesiredState, Endpoint, External, Listener, ListenerKind, ObservedState, Outside, Phase, ProcessId,
    Protocol, Route, RouteTable, ServiceName, ServiceSpec, Timeouts, Upstream,
};

use crate::store::EdgeKey;

/// A connection on loopback is made in microseconds or not at all; this leaves room for a machine under load.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// To a system outside a lost packet costs one second at first, and there is a TLS handshake.
const OUTSIDE_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The whole table but for its version, which is the publisher's.
///
/// With `open` false the gateway is left out: nothing new comes in while the app ends.
pub fn table(
    desired: &DesiredState,
    observed: &ObservedState,
    edges: &BTreeMap<EdgeKey, SocketAddr>,
    open: bool,
) -> RouteTable {
    let gateway = desired.gateway.as_ref().filter(|_| open).map(|gateway| Listener {
        address: gateway.listen,
        kind: ListenerKind::Gateway { routes: gateway.routes.iter().map(route).collect() },
    });
    let edges = edges.iter().map(|((caller, callee), address)| Listener {
        address: *address,
        kind: ListenerKind::Edge { caller: caller.clone(), callee: callee.clone() },
    });
    RouteTable {
        app: desired.name.clone(),
        version: 0,
        listeners: gateway.into_iter().chain(edges).collect(),
        upstreams: desired
            .services
            .values()
            .map(|s| (s.name.clone(), upstream(s, observed)))
            .chain(desired.externals.values().map(|e| (e.name.clone(), outside(e))))
            .collect(),
        verify_callers: desired.verify_callers,
        processes: processes(observed),
    }
}

fn processes(observed: &ObservedState) -> BTreeMap<ServiceName, Vec<ProcessId>> {
    let mut processes: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (id, state) in &observed.replicas {
        processes.entry(id.service.clone()).or_default().extend(state.process);
    }
    processes
}

fn route(route: &model::GatewayRoute) -> Route {
    Route {
        path: route.path.clone(),
        host: route.host.clone(),
        methods: route.methods.clone(),
        service: route.service.clone(),
        strip: route.strip,
        timeout: route.timeout,
    }
}

fn upstream(service: &ServiceSpec, observed: &ObservedState) -> Upstream {
    let ready =
        observed.replicas.iter().filter(|(id, r)| id.service == service.name && r.phase == Phase::Ready);
    Upstream {
        protocol: service.protocol,
        endpoints: ready
            .map(|(id, r)| Endpoint { replica: id.clone(), release: r.release.clone(), address: r.address })
            .collect(),
        timeouts: Timeouts {
            connect: CONNECT_TIMEOUT.min(service.limits.timeout),
            request: service.limits.timeout,
        },
        retries: service.limits.retries,
        in_flight: service.limits.in_flight,
        outside: None,
    }
}

fn outside(external: &External) -> Upstream {
    let limits = &external.limits;
    Upstream {
        protocol: Protocol::Http,
        endpoints: vec![],
        timeouts: Timeouts { connect: OUTSIDE_CONNECT_TIMEOUT.min(limits.timeout), request: limits.timeout },
        retries: limits.retries,
        in_flight: limits.in_flight,
        outside: Some(Outside { url: external.url.clone(), ca: external.ca.clone(), trace: external.trace }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{desired, service};
    use model::{ReleaseId, ReplicaState};

    #[test]
    fn only_ready_replicas_and_declared_edges_are_routed() {
        let desired = desired([service("web", &["db"]), service("db", &[])]);
        let phases =
            [Phase::Starting, Phase::Ready, Phase::Unready, Phase::Draining, Phase::Stopping, Phase::Exited];
        let replica = |(i, phase): (usize, &Phase)| {
            let state = ReplicaState {
                release: ReleaseId("r".into()),
                address: ([127, 0, 0, 1], 100 + i as u16).into(),
                phase: *phase,
                process: None,
                started_at: 0,
                since: 0,
                restarts: 0,
                failures: 0,
                last_exit: None,
                probe_error: None,
            };
            (format!("web-{}", i + 1).parse().unwrap(), state)
        };
        let observed = ObservedState { replicas: phases.iter().enumerate().map(replica).collect() };
        let edges = [(("web".parse().unwrap(), "db".parse().unwrap()), ([127, 0, 0, 1], 7).into())].into();

        let open = table(&desired, &observed, &edges, true);
        let ports = |t: &RouteTable, s: &str| {
            t.upstreams[s].endpoints.iter().map(|e| e.address.port()).collect::<Vec<_>>()
        };
        assert_eq!(ports(&open, "web"), [101]);
        assert_eq!(ports(&open, "db"), [0u16; 0]);
        assert_eq!(open.listeners.len(), 2);
        let limits = &desired.services["db"].limits;
        let db = &open.upstreams["db"];
        assert_eq!((db.retries, db.in_flight), (limits.retries, limits.in_flight));

        let closed = table(&desired, &observed, &edges, false);
        assert_eq!(closed.listeners.len(), 1);
        assert!(
            matches!(&closed.listeners[0].kind, ListenerKind::Edge { caller, .. } if caller.as_str() == "web")
        );
    }
}

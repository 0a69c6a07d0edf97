//! From what is declared and observed to what the data plane is told. Pure.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use model::{
    AccessLog, DesiredState, Endpoint, External, Gateway, GatewaySettings, GatewayTls, Listener,
    ListenerKind, ObservedState, Outside, Phase, ProcessId, Protocol, ReleaseId, ReplicaId, Route,
    RouteTable, ServiceName, ServiceSpec, Share, Timeouts, TlsSource, Upstream,
};

use crate::inner::{Inner, SAGAS, TELEMETRY};
use crate::paths::Paths;
use crate::store::EdgeKey;
use crate::world::Operations;

/// The directory of Let's Encrypt, <https://letsencrypt.org/docs/acme-protocol-updates/>.
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// A connection on loopback is made in microseconds or not at all; this leaves room for a machine under load.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// To a system outside a lost packet costs one second at first, and there is a TLS handshake.
const OUTSIDE_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Somebody may wait for the end of a saga for a minute.
const OWN_TIMEOUT: Duration = Duration::from_secs(65);

/// What a table is made of, beside the declaration.
#[derive(Clone, Copy)]
pub struct Known<'k> {
    /// What runs.
    pub observed: &'k ObservedState,
    /// The address of each edge.
    pub edges: &'k BTreeMap<EdgeKey, SocketAddr>,
    /// How requests are divided among the releases of a service.
    pub shares: &'k BTreeMap<ServiceName, Vec<Share>>,
    /// What a service can be asked for.
    pub operations: &'k BTreeMap<ServiceName, Operations>,
}

/// The whole table but for its version, which is the publisher's. With `open` false the gateway is left out: nothing new comes
/// in while the app ends.
pub fn table(desired: &DesiredState, known: &Known<'_>, inner: &Inner, open: bool) -> RouteTable {
    let paths = Paths::new(&desired.root);
    let gateway = desired.gateway.iter().filter(|_| open).flat_map(|gateway| listeners(gateway, &paths));
    let edges = known.edges.iter().map(|((caller, callee), address)| Listener {
        address: *address,
        kind: ListenerKind::Edge { caller: caller.clone(), callee: callee.clone() },
    });
    RouteTable {
        app: desired.name.clone(),
        version: 0,
        listeners: gateway.chain(edges).collect(),
        upstreams: desired
            .services
            .values()
            .map(|s| (s.name.clone(), upstream(s, known)))
            .chain(inner.sagas.as_ref().map(|s| (SAGAS.clone(), own(&SAGAS, s.api))))
            .chain(inner.otlp.map(|at| (TELEMETRY.clone(), own(&TELEMETRY, at))))
            .chain(desired.externals.values().map(|e| (e.name.clone(), outside(e))))
            .collect(),
        verify_callers: desired.verify_callers,
        processes: processes(known.observed, inner),
    }
}

/// Whose connections are whose: a saga's calls are the control plane's own.
fn processes(observed: &ObservedState, inner: &Inner) -> BTreeMap<ServiceName, Vec<ProcessId>> {
    let mut processes: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (id, state) in &observed.replicas {
        processes.entry(id.service.clone()).or_default().extend(state.process);
    }
    processes.extend(inner.sagas.as_ref().map(|sagas| (SAGAS.clone(), vec![sagas.process])));
    processes
}

/// The gateway, and the redirect to it.
fn listeners(gateway: &Gateway, paths: &Paths) -> impl Iterator<Item = Listener> {
    let routes = gateway.routes.iter().map(route).collect();
    let settings = GatewaySettings {
        tls: gateway.tls.as_ref().map(|tls| certificate(tls, paths)),
        hsts: gateway.hsts,
        max_body: gateway.max_body,
        max_connections: gateway.max_connections,
        access_log: gateway.access_log.as_ref().map(|log| match log {
            AccessLog::Standard => paths.access_log(),
            AccessLog::File(path) => path.clone(),
        }),
    };
    let secure = Listener { address: gateway.listen, kind: ListenerKind::Gateway { routes, settings } };
    let redirect = gateway
        .redirect
        .map(|address| Listener { address, kind: ListenerKind::Redirect { gateway: gateway.listen } });
    [secure].into_iter().chain(redirect)
}

fn certificate(tls: &GatewayTls, paths: &Paths) -> TlsSource {
    match tls.clone() {
        GatewayTls::Files { cert, key } => TlsSource::Files { cert, key },
        GatewayTls::Acme { domains, email, directory, ca } => TlsSource::Acme {
            domains,
            email,
            directory: directory.unwrap_or_else(|| LETS_ENCRYPT.to_owned()),
            ca,
            store: paths.acme(),
        },
    }
}

/// How people name a route of the gateway.
pub fn route_name(declared: &model::GatewayRoute) -> String {
    route(declared).name()
}

/// The gateway's route as the data plane is told of it.
pub(crate) fn route(route: &model::GatewayRoute) -> Route {
    Route {
        path: route.path.clone(),
        host: route.host.clone(),
        methods: route.methods.clone(),
        service: route.service.clone(),
        strip: route.strip,
        timeout: route.timeout,
        rate_limit: route.rate_limit,
        max_body: route.max_body,
        enforce_contract: route.enforce_contract,
    }
}

fn upstream(service: &ServiceSpec, known: &Known<'_>) -> Upstream {
    let ready = known
        .observed
        .replicas
        .iter()
        .filter(|(id, r)| id.service == service.name && r.phase == Phase::Ready);
    let contract = known.operations.get(&service.name);
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
        shares: known.shares.get(&service.name).cloned().unwrap_or_default(),
        sticky: service.deploy.sticky.clone(),
        operations: contract.map(|of| of.all.to_vec()).unwrap_or_default(),
        shapes: contract.and_then(|of| of.shapes.clone()),
        outside: None,
        hold: service.scale.to_zero(),
        patient: false,
        quiet: false,
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
        shares: vec![],
        sticky: None,
        operations: vec![],
        shapes: None,
        hold: false,
        patient: false,
        quiet: false,
        outside: Some(Outside { url: external.url.clone(), ca: external.ca.clone(), trace: external.trace }),
    }
}

/// What this process offers: to those who call it an upstream like any other.
fn own(name: &ServiceName, address: SocketAddr) -> Upstream {
    let replica = ReplicaId { service: name.clone(), index: 1 };
    Upstream {
        protocol: Protocol::Http,
        endpoints: vec![Endpoint { replica, release: ReleaseId("isles".to_owned()), address }],
        timeouts: Timeouts { connect: CONNECT_TIMEOUT, request: OWN_TIMEOUT },
        retries: 2,
        in_flight: u32::MAX,
        shares: vec![],
        sticky: None,
        operations: vec![],
        shapes: None,
        outside: None,
        hold: false,
        // Whoever wants the outcome waits for a whole saga.
        patient: true,
        // What tells of requests would have to tell of itself.
        quiet: *name == *TELEMETRY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{desired, service};
    use model::ReplicaState;

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

        let share = Share { release: ReleaseId("r".into()), weight: 1 };
        let shares = [("web".parse().unwrap(), vec![share])].into();
        let operations = BTreeMap::new();
        let known = Known { observed: &observed, edges: &edges, shares: &shares, operations: &operations };
        let open = table(&desired, &known, &Inner::default(), true);
        assert_eq!((open.upstreams["web"].shares.len(), open.upstreams["db"].shares.len()), (1, 0));
        let ports = |t: &RouteTable, s: &str| {
            t.upstreams[s].endpoints.iter().map(|e| e.address.port()).collect::<Vec<_>>()
        };
        assert_eq!(ports(&open, "web"), [101]);
        assert_eq!(ports(&open, "db"), [0u16; 0]);
        assert_eq!(open.listeners.len(), 2);
        let limits = &desired.services["db"].limits;
        let db = &open.upstreams["db"];
        assert_eq!((db.retries, db.in_flight), (limits.retries, limits.in_flight));

        let closed = table(&desired, &known, &Inner::default(), false);
        assert_eq!(closed.listeners.len(), 1);
        assert!(
            matches!(&closed.listeners[0].kind, ListenerKind::Edge { caller, .. } if caller.as_str() == "web")
        );
    }

    #[test]
    fn a_gateway_is_told_all_that_the_manifest_says_of_it_and_no_key() {
        let mut desired = desired([service("web", &[])]);
        let gateway = desired.gateway.as_mut().unwrap();
        gateway.redirect = Some(([127, 0, 0, 1], 80).into());
        gateway.hsts = Some(Duration::from_secs(60));
        gateway.access_log = Some(AccessLog::Standard);
        let (domains, email) = (vec!["a.example".to_owned()], "ops@a.example".to_owned());
        gateway.tls = Some(GatewayTls::Acme { domains, email, directory: None, ca: None });
        let nothing = (ObservedState::default(), BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (observed, edges, shares, operations) = &nothing;
        let known = Known { observed, edges, shares, operations };
        let routed = table(&desired, &known, &Inner::default(), true);
        let [Listener { kind: ListenerKind::Gateway { settings, .. }, .. }, redirect] = &routed.listeners[..]
        else {
            panic!("{routed:?}");
        };
        assert_eq!((settings.max_body, settings.max_connections), (100_000_000, 10_000));
        assert_eq!(settings.access_log, Some("/app/.isles/logs/gateway-access.log".into()));
        let Some(TlsSource::Acme { directory, store, .. }) = &settings.tls else { panic!("{settings:?}") };
        assert_eq!((directory.as_str(), store.to_str()), (LETS_ENCRYPT, Some("/app/.isles/acme")));
        assert_eq!(redirect.kind, ListenerKind::Redirect { gateway: ([127, 0, 0, 1], 8080).into() });

        let closed = table(&desired, &known, &Inner::default(), false);
        assert!(closed.listeners.is_empty(), "both ways in are closed");
    }
}

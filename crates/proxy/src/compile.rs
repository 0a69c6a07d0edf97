//! From the routing table that came to the one that requests look things up in, and the counters that outlive both.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use http::HeaderValue;
use model::shapes::ShapesFile;
use model::{
    GatewaySettings, ListenerKind, Operation, Protocol, ReleaseId, ReplicaId, RouteTable, ServiceName,
    Timeouts, TlsSource,
};
use tracing::error;

use crate::access::Log;
use crate::callers::Processes;
use crate::counters::Counters;
use crate::edge::Edge;
use crate::latency::Latency;
use crate::link::OutsideStats;
use crate::operations::{Operations, Usage};
use crate::outlier::Health;
use crate::outside::resolve::{Found, Host};
use crate::outside::{Outside, Outsides, Reach};
use crate::places::Places;
use crate::rate::{Clients, Rate};
use crate::records::Records;
use crate::route::{self, Router};
use crate::service::Service;
use crate::split::Split;
use crate::sticky::Sticky;
use crate::tls::Tls;

use crate::conformance::{Checker, Contract};
use crate::table::{Endpoint, Entry, Gateway, Kind, Lane, Table, Target};

/// Caller and callee.
type Pair = (ServiceName, ServiceName);
/// A listener, the caller it belongs to (none for a gateway), and the service behind it.
type EdgeKey = (SocketAddr, Option<ServiceName>, ServiceName);
/// A route of a gateway: path, host and methods.
type RouteKey = (SocketAddr, String, Option<String>, Vec<String>);
/// The number is the one of [`Outside`], or 0.
type EndpointKey = (ReplicaId, ReleaseId, SocketAddr, u64);

/// Compiles tables, and gives what stays the same from one to the next the same counters.
#[derive(Debug)]
pub(crate) struct Compiler {
    workers: usize,
    /// The time of the present table, in milliseconds on the process's clock.
    now: u64,
    next_id: u64,
    endpoints: HashMap<EndpointKey, Arc<Endpoint>>,
    listeners: HashMap<(SocketAddr, Option<Pair>), Arc<Counters>>,
    targets: HashMap<(SocketAddr, ServiceName, u64), Arc<Counters>>,
    releases: HashMap<(SocketAddr, ServiceName, ReleaseId), Arc<Records>>,
    usages: HashMap<(SocketAddr, ServiceName), Arc<Usage>>,
    operations: HashMap<ServiceName, Arc<Operations>>,
    contracts: HashMap<ServiceName, Arc<Contract>>,
    /// Set once there is a contract.
    checker: Option<Checker>,
    edges: HashMap<EdgeKey, Arc<Edge>>,
    services: HashMap<ServiceName, Arc<Service>>,
    outsides: Outsides,
    places: HashMap<SocketAddr, Arc<Places>>,
    clients: HashMap<RouteKey, Arc<Clients>>,
    /// By gateway and name.
    routes: HashMap<(SocketAddr, String), Arc<Counters>>,
    certificates: HashMap<TlsSource, Arc<Tls>>,
    logs: HashMap<PathBuf, Arc<Log>>,
}

impl Compiler {
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            workers,
            now: 0,
            next_id: 0,
            endpoints: HashMap::new(),
            listeners: HashMap::new(),
            targets: HashMap::new(),
            releases: HashMap::new(),
            usages: HashMap::new(),
            operations: HashMap::new(),
            contracts: HashMap::new(),
            checker: None,
            edges: HashMap::new(),
            services: HashMap::new(),
            outsides: Outsides::default(),
            places: HashMap::new(),
            clients: HashMap::new(),
            routes: HashMap::new(),
            certificates: HashMap::new(),
            logs: HashMap::new(),
        }
    }

    /// `now` is the process's clock in milliseconds.
    pub(crate) fn compile(&mut self, source: &RouteTable, now: u64) -> Table {
        self.now = now;
        self.outsides.retain(source);
        let processes = source.verify_callers.then(|| {
            let (app, by_service) = (source.app.to_string(), source.processes.clone());
            Arc::new(Processes { app, by_service })
        });
        let mut table = Table { version: Some(source.version), processes, ..Table::default() };
        for listener in &source.listeners {
            let entry = self.entry(source, listener, &mut table.lanes);
            table.entries.insert(listener.address, entry);
        }
        self.forget_unused(&table);
        table
    }

    /// Takes note of the addresses of a host. Returns whether the next table would be another one for it.
    pub(crate) fn learn(&mut self, host: Host, found: Found) -> bool {
        self.outsides.learn(host, found)
    }

    /// How every system outside is found.
    pub(crate) fn outside_stats(&self) -> Vec<OutsideStats> {
        self.outsides.stats()
    }

    /// Every endpoint that is routed or still has requests.
    pub(crate) fn endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.endpoints.values()
    }

    /// Forgets counters that neither `table` nor a request in flight refers to.
    pub(crate) fn forget_unused(&mut self, table: &Table) {
        let routed: std::collections::HashSet<u64> =
            table.lanes.iter().flat_map(|lane| lane.targets.iter().map(|t| t.endpoint.id)).collect();
        self.endpoints.retain(|_, e| routed.contains(&e.id) || e.counters.in_flight() > 0);
        self.listeners.retain(|_, counters| Arc::strong_count(counters) > 1);
        self.targets.retain(|_, counters| Arc::strong_count(counters) > 1);
        self.releases.retain(|_, records| Arc::strong_count(records) > 1);
        self.usages.retain(|_, usage| Arc::strong_count(usage) > 1);
        self.contracts.retain(|_, contract| Arc::strong_count(contract) > 1);
        self.operations.retain(|_, operations| Arc::strong_count(operations) > 1);
        self.edges.retain(|_, edge| Arc::strong_count(edge) > 1);
        self.services.retain(|_, service| Arc::strong_count(service) > 1);
        self.places.retain(|_, places| Arc::strong_count(places) > 1);
        self.routes.retain(|_, counters| Arc::strong_count(counters) > 1);
        self.clients.retain(|_, clients| Arc::strong_count(clients) > 1);
        self.certificates.retain(|_, tls| Arc::strong_count(tls) > 1);
        self.logs.retain(|_, log| Arc::strong_count(log) > 1);
    }

    fn entry(&mut self, source: &RouteTable, listener: &model::Listener, lanes: &mut Vec<Lane>) -> Entry {
        let first = lanes.len();
        let address = listener.address;
        let (kind, edge) = match &listener.kind {
            ListenerKind::Gateway { routes, settings } => {
                let mut by_service = HashMap::new();
                let compiled = routes
                    .iter()
                    .map(|declared| {
                        let lane = *by_service.entry(&declared.service).or_insert_with(|| {
                            lanes.push(self.lane(source, address, None, &declared.service));
                            lanes.len() - 1
                        });
                        if let Some(contract) =
                            lanes[lane].contract.as_ref().filter(|_| declared.enforce_contract)
                        {
                            contract.prepare();
                        }
                        let (rate, counters) = (self.rate(address, declared), self.asked(address, declared));
                        route::compile(declared, lane, settings.max_body, rate, counters)
                    })
                    .collect();
                (Kind::Gateway(Box::new(self.gateway(Router::new(compiled), settings))), None)
            }
            ListenerKind::Redirect { gateway } => (Kind::Redirect { gateway: *gateway }, None),
            ListenerKind::Edge { caller, callee } => {
                lanes.push(self.lane(source, listener.address, Some(caller), callee));
                let kind = Kind::Edge {
                    caller: caller.clone(),
                    callee: callee.clone(),
                    // A service's name is made of letters that a header may have.
                    caller_header: HeaderValue::from_str(caller.as_str())
                        .unwrap_or_else(|_| HeaderValue::from_static("unknown")),
                    lane: first,
                };
                (kind, Some((caller.clone(), callee.clone())))
            }
        };
        let counters = self.listeners.entry((listener.address, edge));
        let counters = Arc::clone(counters.or_insert_with(|| Arc::new(Counters::new(self.workers))));
        let settings = settings_of(source, &listener.kind);
        Entry {
            kind,
            counters,
            lanes: (first..lanes.len()).collect(),
            places: settings.map(|settings| self.places(address, settings.max_connections)),
            log: settings.and_then(|settings| self.log(settings.access_log.as_deref()?)),
        }
    }

    fn gateway(&mut self, router: Router, settings: &GatewaySettings) -> Gateway {
        let tls = settings.tls.as_ref().and_then(|source| self.tls(source));
        let hsts = settings.hsts.filter(|_| tls.is_some());
        let hsts = hsts.and_then(|age| HeaderValue::try_from(format!("max-age={}", age.as_secs())).ok());
        Gateway { router, tls, hsts }
    }

    fn asked(&mut self, gateway: SocketAddr, declared: &model::Route) -> Arc<Counters> {
        let counters = self.routes.entry((gateway, declared.name()));
        Arc::clone(counters.or_insert_with(|| Arc::new(Counters::new(self.workers))))
    }

    fn rate(&mut self, gateway: SocketAddr, declared: &model::Route) -> Option<Rate> {
        let limit = declared.rate_limit?;
        let key = (gateway, declared.path.clone(), declared.host.clone(), declared.methods.clone());
        Some(Rate::new(limit, Arc::clone(self.clients.entry(key).or_default())))
    }

    fn tls(&mut self, source: &TlsSource) -> Option<Arc<Tls>> {
        if let Some(known) = self.certificates.get(source) {
            return Some(Arc::clone(known));
        }
        let tls = Tls::start(source).inspect_err(|error| error!(%error, "no TLS"));
        let tls = Arc::new(tls.ok()?);
        self.certificates.insert(source.clone(), Arc::clone(&tls));
        Some(tls)
    }

    fn places(&mut self, address: SocketAddr, limit: u32) -> Arc<Places> {
        let places = self.places.entry(address).or_insert_with(|| Arc::new(Places::new(self.workers)));
        places.set_limit(limit);
        Arc::clone(places)
    }

    fn log(&mut self, path: &Path) -> Option<Arc<Log>> {
        if let Some(known) = self.logs.get(path) {
            return Some(Arc::clone(known));
        }
        let log = Log::start(path).inspect_err(|error| error!(%error, "no access log"));
        let log = Arc::new(log.ok()?);
        self.logs.insert(path.to_owned(), Arc::clone(&log));
        Some(log)
    }

    /// Every access log there is.
    pub(crate) fn logs(&self) -> impl Iterator<Item = &Arc<Log>> {
        self.logs.values()
    }

    fn lane(
        &mut self,
        source: &RouteTable,
        listener: SocketAddr,
        caller: Option<&ServiceName>,
        service: &ServiceName,
    ) -> Lane {
        let key = (listener, caller.cloned(), service.clone());
        let caller = caller.map(|caller| self.service(caller));
        let edge = self.edges.entry(key);
        let edge = Arc::clone(edge.or_insert_with(|| Arc::new(Edge::new(self.workers, caller))));
        let service_state = self.service(service);
        let Some(upstream) = source.upstreams.get(service) else {
            // A table without it is answered as one without replicas: both may be mended by the next table.
            let timeouts = Timeouts { connect: Duration::from_secs(1), request: Duration::from_secs(10) };
            let (service, protocol) = (service.clone(), Protocol::Http);
            return Lane {
                service,
                protocol,
                timeouts,
                retries: 0,
                targets: Vec::new(),
                outside: None,
                trouble: None,
                hold: false,
                quiet: false,
                split: None,
                sticky: None,
                usage: None,
                contract: None,
                edge,
                service_state,
            };
        };
        let reach = upstream.outside.as_ref().map(|declared| self.outsides.reach(service, declared));
        let Reach { outside, endpoints, trouble } = reach.unwrap_or_else(|| Reach {
            outside: None,
            endpoints: upstream.endpoints.clone(),
            trouble: None,
        });
        let (endpoints, split) = divided(&endpoints, &upstream.shares);
        let targets: Vec<_> = endpoints
            .into_iter()
            .map(|declared| {
                let endpoint = self.endpoint(declared, outside.as_ref());
                let counters = self.targets.entry((listener, service.clone(), endpoint.id));
                let counters = Arc::clone(counters.or_insert_with(|| Arc::new(Counters::new(self.workers))));
                let release = self.releases.entry((listener, service.clone(), declared.release.clone()));
                let release = Arc::clone(release.or_insert_with(|| Arc::new(Records::new(self.workers))));
                Target { endpoint, counters, release }
            })
            .collect();
        if targets.iter().any(|target| target.endpoint.born == self.now) {
            edge.breaker.hasten(self.now);
        }
        // Where nothing is divided, nobody has to be told apart.
        let sticky = upstream.sticky.as_ref().filter(|_| split.is_some());
        let sticky = sticky.and_then(|declared| Sticky::new(service, declared));
        let usage = self.usage(listener, service, &upstream.operations);
        let contract = upstream.shapes.as_ref().zip(usage.as_ref());
        let contract = contract.map(|(file, usage)| self.contract(service, file, &usage.operations));
        service_state.follow(&targets, upstream, self.now);
        Lane {
            service: service.clone(),
            protocol: upstream.protocol,
            timeouts: upstream.timeouts,
            retries: upstream.retries,
            targets,
            outside,
            trouble,
            hold: upstream.hold,
            quiet: upstream.quiet,
            split,
            sticky,
            usage,
            contract,
            edge,
            service_state,
        }
    }

    /// What counts the calls of a listener to a service's operations: anew when there are others.
    fn usage(
        &mut self,
        listener: SocketAddr,
        service: &ServiceName,
        declared: &[Operation],
    ) -> Option<Arc<Usage>> {
        if declared.is_empty() {
            return None;
        }
        let operations = self.operations.entry(service.clone());
        let operations = operations.or_insert_with(|| Arc::new(Operations::new(declared)));
        if !operations.is_of(declared) {
            *operations = Arc::new(Operations::new(declared));
        }
        let fresh = || Arc::new(Usage::new(Arc::clone(operations), self.workers));
        let usage = self.usages.entry((listener, service.clone())).or_insert_with(fresh);
        if !Arc::ptr_eq(&usage.operations, operations) {
            *usage = fresh();
        }
        Some(Arc::clone(usage))
    }

    /// What requests and answers are held to: anew when the contract is another one.
    fn contract(&mut self, service: &ServiceName, file: &ShapesFile, of: &Arc<Operations>) -> Arc<Contract> {
        let checker = self.checker.get_or_insert_with(Checker::start);
        let fresh = || Arc::new(Contract::new(file, of, checker));
        let contract = self.contracts.entry(service.clone()).or_insert_with(fresh);
        if !contract.is_of(file, of) {
            *contract = fresh();
        }
        Arc::clone(contract)
    }

    fn service(&mut self, name: &ServiceName) -> Arc<Service> {
        let service = self.services.entry(name.clone());
        Arc::clone(service.or_insert_with(|| Arc::new(Service::new(self.workers))))
    }

    fn endpoint(&mut self, declared: &model::Endpoint, outside: Option<&Arc<Outside>>) -> Arc<Endpoint> {
        let id = outside.map_or(0, |outside| outside.id);
        let key = (declared.replica.clone(), declared.release.clone(), declared.address, id);
        let endpoint = self.endpoints.entry(key).or_insert_with(|| {
            self.next_id += 1;
            Arc::new(Endpoint {
                id: self.next_id,
                replica: declared.replica.clone(),
                release: declared.release.clone(),
                address: declared.address,
                outside: outside.cloned(),
                counters: Counters::new(self.workers),
                records: Records::new(self.workers),
                latency: Latency::new(self.workers),
                health: Health::new(self.workers),
                born: self.now,
                avoid_until: AtomicU64::new(0),
            })
        });
        Arc::clone(endpoint)
    }
}

/// What holds at a gateway; a redirect shares it with the gateway that it leads to.
fn settings_of<'a>(source: &'a RouteTable, kind: &'a ListenerKind) -> Option<&'a GatewaySettings> {
    match kind {
        ListenerKind::Gateway { settings, .. } => Some(settings),
        ListenerKind::Edge { .. } => None,
        ListenerKind::Redirect { gateway } => {
            source.listeners.iter().find_map(|listener| match &listener.kind {
                ListenerKind::Gateway { settings, .. } if listener.address == *gateway => Some(settings),
                _ => None,
            })
        }
    }
}

/// The endpoints of an upstream in the order in which their releases' shares are given, and how requests are divided among them.
fn divided<'a>(
    endpoints: &'a [model::Endpoint],
    shares: &[model::Share],
) -> (Vec<&'a model::Endpoint>, Option<Split>) {
    let mut endpoints: Vec<_> = endpoints.iter().collect();
    if shares.is_empty() {
        return (endpoints, None);
    }
    let weight = |endpoint: &model::Endpoint| {
        let share = shares.iter().find(|share| share.release == endpoint.release);
        share.map_or(0, |share| share.weight)
    };
    let place = |endpoint: &model::Endpoint| {
        let weighty = |share: &model::Share| share.release == endpoint.release && share.weight > 0;
        shares.iter().position(weighty).unwrap_or(shares.len())
    };
    endpoints.sort_by_cached_key(|e| (place(e), e.release.clone()));
    let groups = endpoints.chunk_by(|a, b| a.release == b.release);
    let groups: Vec<_> = groups.map(|group| (group.len(), weight(group[0]))).collect();
    let split = Split::new(&groups);
    (endpoints, split)
}

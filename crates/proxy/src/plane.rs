//! The data plane as the control plane sees it: applies tables, opens and closes listeners, adds up counters.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use model::RouteTable;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{info, warn};

use crate::callers::Verifier;
use crate::compile::Compiler;
use crate::link::{
    self, Applied, EndpointStats, IN_USE, ListenFailure, ListenerStats, Load, Signals, Stats, TargetStats,
};
use crate::listen;
use crate::outside;
use crate::outside::resolve::{Found, Host, Resolver};
use crate::patience::Patience;
use crate::spans::Spans;
use crate::survey;
use crate::table::{Entry, Kind, Table};
use crate::worker::{self, Command, Retirement, Waiting};

/// How often limits are learned anew.
const LEARN: Duration = Duration::from_millis(250);
/// What is slow is learned anew once in so many times.
const LEARN_SLOW: u64 = 20;

/// What all threads read.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The table in force.
    pub table: ArcSwap<Table>,
    /// Its version, for those who wait for a newer one.
    pub changed: watch::Sender<u64>,
    /// The zero of the process's clock.
    pub clock: Instant,
    /// Spans that wait to be fetched.
    pub spans: Spans,
    /// Tells whose a connection is.
    pub verifier: Option<Verifier>,
    /// How long a client may take.
    pub patience: Patience,
}

impl Shared {
    /// Milliseconds on this process's clock.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.clock.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// The coordinator; lives on the main thread.
#[derive(Debug)]
pub(crate) struct Plane {
    shared: Arc<Shared>,
    workers: Vec<mpsc::UnboundedSender<Command>>,
    compiler: Compiler,
    resolver: Resolver,
    /// What the table in force was made from.
    source: Option<RouteTable>,
    /// What the workers accept at; they have copies of their own.
    open: HashMap<SocketAddr, Vec<TcpListener>>,
    /// Sockets of a predecessor, until the first table says which of them are wanted.
    inherited: HashMap<SocketAddr, Vec<TcpListener>>,
    failed: BTreeMap<SocketAddr, String>,
    ending: bool,
    settled: Arc<AtomicBool>,
}

/// A worker's copies of listening sockets, one for each order to open.
type Copies = Vec<(usize, SocketAddr, TcpListener)>;

impl Plane {
    /// Starts the worker threads. Look-ups of hosts outside are told to `resolver`'s other end.
    pub(crate) fn start(workers: usize, patience: Patience, resolver: Resolver) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            table: ArcSwap::from_pointee(Table::default()),
            changed: watch::channel(0).0,
            clock: Instant::now(),
            spans: Spans::new(workers),
            verifier: Some(Verifier::start()?),
            patience,
        });
        let workers = (0..workers)
            .map(|index| worker::spawn(index, Arc::clone(&shared)))
            .collect::<io::Result<Vec<_>>>()?;
        Ok(Self {
            shared,
            compiler: Compiler::new(workers.len()),
            workers,
            resolver,
            source: None,
            open: HashMap::new(),
            inherited: HashMap::new(),
            failed: BTreeMap::new(),
            ending: false,
            settled: Arc::default(),
        })
    }

    /// The version in force.
    pub(crate) fn version(&self) -> Option<u64> {
        self.shared.table.load().version
    }

    /// Puts `source` in force unless it is old, and tries listeners that are missing. The future ends when listeners
    /// that left are closed, so that their addresses are free again.
    pub(crate) fn apply(&mut self, source: &RouteTable) -> (Applied, impl Future<Output = ()> + use<>) {
        let mut closing = Vec::new();
        if self.version().is_none_or(|version| version < source.version) && !self.ending {
            self.resolver.follow(&outside::hosts(source));
            self.source = Some(source.clone());
            let table = Arc::new(self.compiler.compile(source, self.shared.now()));
            let sockets = self.open_missing(&table);
            // A predecessor has those that are not wanted, for as long as it serves.
            self.inherited.clear();
            self.shared.table.store(Arc::clone(&table));
            self.shared.changed.send_replace(source.version);
            self.start_listeners(sockets);
            closing = self.stop_listeners(&table);
            info!(version = source.version, failed = self.failed.len(), "a new route table is in force");
        } else if self.version() == Some(source.version) && !self.ending {
            let table = self.shared.table.load_full();
            let sockets = self.open_missing(&table);
            self.start_listeners(sockets);
        }
        let failed = self.failed.iter();
        let applied = Applied {
            version: self.version().unwrap_or_default(),
            failed: failed.map(|(a, r)| ListenFailure { address: *a, reason: r.clone() }).collect(),
        };
        (applied, all(closing))
    }

    /// Takes note of the addresses of a host outside, and puts a table with them in force if they are news.
    pub(crate) fn resolved(&mut self, host: Host, found: Found) {
        if !self.compiler.learn(host, found) || self.ending {
            return;
        }
        let Some(source) = &self.source else { return };
        let table = Arc::new(self.compiler.compile(source, self.shared.now()));
        self.shared.table.store(Arc::clone(&table));
        self.shared.changed.send_replace(source.version);
        // Nobody waits for it: no listener leaves, only connections to addresses that are gone are let go.
        drop(self.stop_listeners(&table));
    }

    /// Ends all work: stops listening, lets requests in flight end, ten seconds at most.
    pub(crate) fn drain(&mut self) -> impl Future<Output = ()> + use<> {
        self.ending = true;
        // The workers' copies are the last ones then: with them the addresses close.
        self.open.clear();
        self.inherited.clear();
        let mut ends = Vec::new();
        for worker in &self.workers {
            let (done, ended) = oneshot::channel();
            if worker.send(Command::Drain { done }).is_ok() {
                ends.push(ended);
            }
        }
        all(ends)
    }

    /// Ready once all that was to be written down is.
    pub(crate) fn end_logs(&self) -> impl Future<Output = ()> + use<> {
        all(self.compiler.logs().map(|log| log.written()).collect())
    }

    /// Every listening socket, with its address, for a successor.
    pub(crate) fn sockets(&self) -> impl Iterator<Item = (SocketAddr, &TcpListener)> {
        self.open.iter().flat_map(|(address, sockets)| sockets.iter().map(|socket| (*address, socket)))
    }

    /// Takes the sockets of a predecessor, to be used by the first table.
    pub(crate) fn inherit(&mut self, sockets: Vec<(SocketAddr, TcpListener)>) {
        for (address, socket) in sockets {
            self.inherited.entry(address).or_default().push(socket);
        }
    }

    /// Leaves the listening sockets to another data plane that accepts there. The first future ends when nothing is
    /// accepted any more, the second when nothing is left of what was.
    pub(crate) fn retire(
        &mut self,
        waiting: Waiting,
    ) -> (impl Future<Output = ()> + use<>, impl Future<Output = ()> + use<>) {
        self.ending = true;
        self.open.clear();
        self.inherited.clear();
        let (mut stopped, mut settled, mut empty) = (Vec::new(), Vec::new(), Vec::new());
        for worker in &self.workers {
            let [(a, stop), (b, settle), (c, end)] = std::array::from_fn(|_| oneshot::channel());
            let stages = Retirement { waiting, stopped: a, settled: b, empty: c };
            if worker.send(Command::Retire(stages)).is_ok() {
                stopped.push(stop);
                settled.push(settle);
                empty.push(end);
            }
        }
        let flag = Arc::clone(&self.settled);
        let end = async move {
            all(settled).await;
            flag.store(true, Relaxed);
            all(empty).await;
        };
        (all(stopped), end)
    }

    /// What is in flight.
    pub(crate) fn load(&self) -> Load {
        let mut in_flight = BTreeMap::new();
        for endpoint in self.compiler.endpoints() {
            let now = endpoint.counters.in_flight();
            if now > 0 {
                *in_flight.entry(endpoint.replica.clone()).or_default() += now;
            }
        }
        Load { settled: self.settled.load(Relaxed), in_flight }
    }

    /// Adds up the counters of all workers.
    pub(crate) fn stats(&mut self) -> Stats {
        let table = self.shared.table.load_full();
        self.compiler.forget_unused(&table);
        let routed: HashSet<u64> =
            table.lanes.iter().flat_map(|lane| lane.targets.iter().map(|t| t.endpoint.id)).collect();
        let mut endpoints: Vec<_> = self
            .compiler
            .endpoints()
            .map(|endpoint| {
                let totals = endpoint.counters.totals();
                EndpointStats {
                    replica: endpoint.replica.clone(),
                    release: endpoint.release.clone(),
                    address: endpoint.address,
                    routed: routed.contains(&endpoint.id),
                    in_flight: totals.in_flight,
                    requests: totals.requests,
                    failures: totals.failures,
                    ejected: endpoint.health.is_ejected(),
                }
            })
            .collect();
        endpoints.sort_by(|a, b| (&a.replica, a.address).cmp(&(&b.replica, b.address)));
        let mut listeners: Vec<_> =
            table.entries.iter().map(|(address, entry)| listener_stats(&table, *address, entry)).collect();
        listeners.sort_by_key(|listener| listener.address);
        Stats {
            version: table.version,
            endpoints,
            listeners,
            outside: self.compiler.outside_stats(),
            in_flight: survey::in_flight(&table),
        }
    }

    /// Everything that was counted of requests.
    pub(crate) fn signals(&mut self) -> Signals {
        let table = self.shared.table.load_full();
        self.compiler.forget_unused(&table);
        survey::signals(&table, self.compiler.endpoints(), self.shared.now())
    }

    /// Takes the spans that are there.
    pub(crate) fn take_spans(&self) -> link::Spans {
        let (spans, dropped) = self.shared.spans.take();
        link::Spans { spans, dropped }
    }

    /// Learns from what was counted, for ever: limits from latencies, and what is slow.
    pub(crate) fn learn(&self) -> impl Future<Output = ()> + use<> {
        let shared = Arc::clone(&self.shared);
        async move {
            let mut tick = tokio::time::interval(LEARN);
            tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            for nth in 0_u64.. {
                tick.tick().await;
                let table = shared.table.load_full();
                survey::learn(&table);
                if nth.is_multiple_of(LEARN_SLOW) {
                    survey::learn_slow(&table);
                }
            }
        }
    }

    /// Opens what `table` wants and is not open; what fails is remembered and reported.
    fn open_missing(&mut self, table: &Table) -> Copies {
        self.failed.clear();
        let mut copies = Vec::new();
        let missing = table.entries.keys().filter(|address| !self.open.contains_key(address));
        for address in missing.copied().collect::<Vec<_>>() {
            let opened = match self.inherited.remove(&address) {
                Some(sockets) => listen::widen(address, sockets, self.workers.len()),
                None => listen::open(address, self.workers.len()),
            };
            match opened.and_then(|sockets| Ok((self.copies(address, &sockets)?, sockets))) {
                Ok((more, sockets)) => {
                    copies.extend(more);
                    self.open.insert(address, sockets);
                }
                Err(error) => {
                    warn!(%address, %error, "cannot listen");
                    let reason = match error.kind() {
                        io::ErrorKind::AddrInUse => IN_USE.to_owned(),
                        _ => error.to_string(),
                    };
                    self.failed.insert(address, reason);
                }
            }
        }
        copies
    }

    /// A copy of every socket for one of the workers; where a predecessor had more workers, some get several.
    fn copies(&self, address: SocketAddr, sockets: &[TcpListener]) -> io::Result<Copies> {
        let copy =
            |(n, socket): (usize, &TcpListener)| Ok((n % self.workers.len(), address, socket.try_clone()?));
        sockets.iter().enumerate().map(copy).collect()
    }

    fn start_listeners(&self, copies: Copies) {
        for (worker, address, socket) in copies {
            // A worker that is gone has panicked; the others serve on.
            let _ = self.workers[worker].send(Command::Open { address, socket });
        }
    }

    fn stop_listeners(&mut self, table: &Table) -> Vec<oneshot::Receiver<()>> {
        self.open.retain(|address, _| table.entries.contains_key(address));
        let swap = |worker: &mpsc::UnboundedSender<Command>| {
            let (done, closed) = oneshot::channel();
            worker.send(Command::Swapped { done }).ok().map(|()| closed)
        };
        self.workers.iter().filter_map(swap).collect()
    }
}

async fn all(ends: Vec<oneshot::Receiver<()>>) {
    for end in ends {
        // An error says that the thread is gone: it has ended too.
        let _ = end.await;
    }
}

fn listener_stats(table: &Table, address: SocketAddr, entry: &Entry) -> ListenerStats {
    let totals = entry.counters.totals();
    let (caller, callee) = match &entry.kind {
        Kind::Gateway(_) | Kind::Redirect { .. } => (None, None),
        Kind::Edge { caller, callee, .. } => (Some(caller.clone()), Some(callee.clone())),
    };
    let targets = entry.lanes.iter().flat_map(|lane| &table.lanes[*lane].targets).map(|target| {
        let totals = target.counters.totals();
        TargetStats {
            replica: target.endpoint.replica.clone(),
            release: target.endpoint.release.clone(),
            requests: totals.requests,
            failures: totals.failures,
        }
    });
    let targets = targets.collect();
    let edges = || entry.lanes.iter().map(|lane| &table.lanes[*lane].edge);
    ListenerStats {
        address,
        caller,
        callee,
        requests: totals.requests,
        failures: totals.failures,
        targets,
        refused: edges().map(|edge| edge.refusals.total()).sum(),
        circuit_open: edges().any(|edge| !edge.breaker.is_closed()),
        problem: entry.tls().and_then(|tls| tls.problem()),
    }
}

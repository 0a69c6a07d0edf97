//! One thread of the data plane: its listeners, its connections, its pools.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use model::Span;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tracing::warn;

use crate::access::Lines;
use crate::callers::Verifier;
use crate::connection;
use crate::drain::Gate;
use crate::patience::Patience;
use crate::plane::Shared;
use crate::pool::Pools;
use crate::table::Table;

/// How long requests may still run once the end is ordered.
const DRAIN: Duration = Duration::from_secs(10);
/// How long a retired thread waits for the last requests on connections that are kept alive.
const LINGER: Duration = Duration::from_secs(5);
/// The pause after the system refused to accept, which mostly means that descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Orders of the coordinator.
#[derive(Debug)]
pub(crate) enum Command {
    /// Accept connections of a socket that listens already.
    Open { address: SocketAddr, socket: std::net::TcpListener },
    /// A new table is in force: close listeners and connections that are not in it.
    Swapped { done: oneshot::Sender<()> },
    /// Close all listeners, let requests end, and end.
    Drain { done: oneshot::Sender<()> },
    /// Another data plane accepts at the same addresses: leave it to that one, and end what there is.
    Retire(Retirement),
}

/// What becomes of connections that nobody has accepted yet when a thread stops accepting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// They are served: closing the socket would reset them.
    Serve,
    /// They are somebody else's, who accepts at the same socket.
    Leave,
}

/// The stages of a thread's retirement: each is told when it is reached.
#[derive(Debug)]
pub(crate) struct Retirement {
    pub waiting: Waiting,
    /// It accepts no more connections.
    pub stopped: oneshot::Sender<()>,
    /// No request can begin any more.
    pub settled: oneshot::Sender<()>,
    /// Nothing is left.
    pub empty: oneshot::Sender<()>,
}

/// A thread's state. Never leaves its thread.
#[derive(Debug)]
pub(crate) struct Worker {
    pub index: usize,
    pub pools: Pools,
    /// What is to be written down.
    pub lines: Lines,
    shared: Arc<Shared>,
    view: RefCell<Rc<View>>,
}

/// Who decides, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// The calling thread's worker.
    pub worker: usize,
    /// Milliseconds on this process's clock.
    pub now: u64,
}

/// A thread's reference to a table: requests count references without touching what threads share.
#[derive(Debug)]
pub(crate) struct View(Arc<Table>);

impl Deref for View {
    type Target = Table;
    fn deref(&self) -> &Table {
        &self.0
    }
}

impl Worker {
    /// The table in force: one atomic load if it is the same as last time.
    pub(crate) fn view(&self) -> Rc<View> {
        let current = self.shared.table.load();
        let mut view = self.view.borrow_mut();
        if !Arc::ptr_eq(&current, &view.0) {
            *view = Rc::new(View(Arc::clone(&current)));
        }
        Rc::clone(&view)
    }

    /// Waits until a table other than `seen` is in force.
    pub(crate) async fn changed(&self, seen: &View) {
        let mut changes = self.shared.changed.subscribe();
        // Subscribed first: a table that comes in between is seen here or wakes the wait.
        if Arc::ptr_eq(&self.shared.table.load(), &seen.0) && changes.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Whoever tells whose a connection is.
    pub(crate) fn verifier(&self) -> Option<&Verifier> {
        self.shared.verifier.as_ref()
    }

    /// How long a client may take.
    pub(crate) fn patience(&self) -> Patience {
        self.shared.patience
    }

    /// Nanoseconds on this process's clock.
    pub(crate) fn nanos(&self) -> u64 {
        u64::try_from(self.shared.clock.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// This worker, now.
    pub(crate) fn moment(&self) -> Moment {
        Moment { worker: self.index, now: self.now() }
    }

    /// Milliseconds on this process's clock.
    pub(crate) fn now(&self) -> u64 {
        self.shared.now()
    }

    /// Keeps a span until it is fetched.
    pub(crate) fn keep(&self, span: Span) {
        self.shared.spans.keep(self.index, span);
    }
}

/// Starts a worker thread.
pub(crate) fn spawn(index: usize, shared: Arc<Shared>) -> io::Result<mpsc::UnboundedSender<Command>> {
    let (orders, receive) = mpsc::unbounded_channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
        let view = RefCell::new(Rc::new(View(shared.table.load_full())));
        let worker =
            Rc::new(Worker { index, pools: Pools::default(), lines: Lines::default(), shared, view });
        LocalSet::new().block_on(&runtime, obey(worker, receive));
    })?;
    Ok(orders)
}

struct Listening {
    address: SocketAddr,
    stop: oneshot::Sender<Waiting>,
    task: JoinHandle<()>,
    gate: Gate,
}

async fn obey(worker: Rc<Worker>, mut orders: mpsc::UnboundedReceiver<Command>) {
    let mut listening: Vec<Listening> = Vec::new();
    let mut gates: Vec<Gate> = Vec::new();
    spawn_local(sweep(Rc::clone(&worker)));
    while let Some(order) = orders.recv().await {
        match order {
            Command::Open { address, socket } => match TcpListener::from_std(socket) {
                Ok(socket) => {
                    let opened = start(Rc::clone(&worker), address, socket);
                    gates.push(opened.gate.clone());
                    listening.push(opened);
                }
                Err(error) => warn!(%address, %error, "cannot watch a listener"),
            },
            Command::Swapped { done } => {
                let view = worker.view();
                for gone in listening.extract_if(.., |l| !view.entries.contains_key(&l.address)) {
                    stop(gone, Waiting::Serve).await.close();
                }
                gates.retain(|gate| !gate.is_closed() || !gate.is_empty());
                worker.pools.retain(&view);
                // The coordinator may have stopped waiting.
                let _ = done.send(());
            }
            Command::Drain { done } => {
                for gone in listening.drain(..) {
                    stop(gone, Waiting::Serve).await;
                }
                gates.iter().for_each(Gate::close);
                if tokio::time::timeout(DRAIN, all_empty(&gates)).await.is_err() {
                    warn!("requests were still in flight at the end of the drain");
                }
                worker.lines.end();
                let _ = done.send(());
                return;
            }
            Command::Retire(stages) => {
                for gone in listening.drain(..) {
                    stop(gone, stages.waiting).await;
                }
                // Whoever waits for the stages may have left.
                let _ = stages.stopped.send(());
                spawn_local(retire(gates.clone(), stages.settled, stages.empty));
            }
        }
    }
    worker.lines.end();
}

/// Lets every connection end at its own time: after the next answer, or when it has been quiet for long.
async fn retire(gates: Vec<Gate>, settled: oneshot::Sender<()>, empty: oneshot::Sender<()>) {
    gates.iter().for_each(Gate::retire);
    if tokio::time::timeout(LINGER, all_empty(&gates)).await.is_err() {
        gates.iter().for_each(Gate::close);
        let _ = tokio::time::timeout(connection::LAST_CALL, all_empty(&gates)).await;
    }
    let _ = settled.send(());
    all_empty(&gates).await;
    let _ = empty.send(());
}

async fn all_empty(gates: &[Gate]) {
    for gate in gates {
        gate.empty().await;
    }
}

fn start(worker: Rc<Worker>, address: SocketAddr, socket: TcpListener) -> Listening {
    let (stop, stopped) = oneshot::channel();
    let gate = Gate::default();
    let task = spawn_local(accept(worker, address, socket, gate.clone(), stopped));
    Listening { address, stop, task, gate }
}

/// Stops accepting.
async fn stop(gone: Listening, waiting: Waiting) -> Gate {
    // Gone already if the task ended.
    let _ = gone.stop.send(waiting);
    let _ = gone.task.await;
    gone.gate
}

async fn accept(
    worker: Rc<Worker>,
    address: SocketAddr,
    socket: TcpListener,
    gate: Gate,
    mut stopped: oneshot::Receiver<Waiting>,
) {
    let serve = |stream: TcpStream, peer: SocketAddr| {
        spawn_local(connection::serve(Rc::clone(&worker), address, stream, peer, gate.clone()));
    };
    let waiting = loop {
        tokio::select! {
            accepted = socket.accept() => match accepted {
                Ok((stream, peer)) => serve(stream, peer),
                Err(error) => {
                    warn!(%address, %error, "cannot accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            how = &mut stopped => break how.unwrap_or(Waiting::Serve),
        }
    };
    while waiting == Waiting::Serve
        && let Some(Ok((stream, peer))) = socket.accept().now_or_never()
    {
        serve(stream, peer);
    }
}

/// Closes connections that idle for too long, as long as there are any.
async fn sweep(worker: Rc<Worker>) {
    loop {
        worker.pools.filled().await;
        tokio::time::sleep(crate::pool::IDLE).await;
        worker.pools.sweep();
    }
}

//! One thread of the data plane: its listeners, its connections, its pools.

use std::cell::RefCell;
use std::collections::HashMap;
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
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
    gate: Gate,
}

async fn obey(worker: Rc<Worker>, mut orders: mpsc::UnboundedReceiver<Command>) {
    let mut listening: HashMap<SocketAddr, Listening> = HashMap::new();
    let mut gates: Vec<Gate> = Vec::new();
    spawn_local(sweep(Rc::clone(&worker)));
    while let Some(order) = orders.recv().await {
        match order {
            Command::Open { address, socket } => match TcpListener::from_std(socket) {
                Ok(socket) => {
                    let opened = start(Rc::clone(&worker), address, socket);
                    gates.push(opened.gate.clone());
                    listening.insert(address, opened);
                }
                Err(error) => warn!(%address, %error, "cannot watch a listener"),
            },
            Command::Swapped { done } => {
                let view = worker.view();
                for (_, gone) in listening.extract_if(|address, _| !view.entries.contains_key(address)) {
                    stop(gone).await;
                }
                gates.retain(|gate| !gate.is_closed() || !gate.is_empty());
                worker.pools.retain(&view);
                // The coordinator may have stopped waiting.
                let _ = done.send(());
            }
            Command::Drain { done } => {
                for (_, gone) in listening.drain() {
                    stop(gone).await;
                }
                let empty = async {
                    for gate in &gates {
                        gate.empty().await;
                    }
                };
                if tokio::time::timeout(DRAIN, empty).await.is_err() {
                    warn!("requests were still in flight at the end of the drain");
                }
                worker.lines.end();
                let _ = done.send(());
                return;
            }
        }
    }
    worker.lines.end();
}

fn start(worker: Rc<Worker>, address: SocketAddr, socket: TcpListener) -> Listening {
    let (stop, stopped) = oneshot::channel();
    let gate = Gate::default();
    let task = spawn_local(accept(worker, address, socket, gate.clone(), stopped));
    Listening { stop, task, gate }
}

async fn stop(gone: Listening) {
    // Gone already if the task ended.
    let _ = gone.stop.send(());
    let _ = gone.task.await;
    gone.gate.close();
}

async fn accept(
    worker: Rc<Worker>,
    address: SocketAddr,
    socket: TcpListener,
    gate: Gate,
    mut stopped: oneshot::Receiver<()>,
) {
    let serve = |stream: TcpStream, peer: SocketAddr| {
        spawn_local(connection::serve(Rc::clone(&worker), address, stream, peer, gate.clone()));
    };
    loop {
        tokio::select! {
            accepted = socket.accept() => match accepted {
                Ok((stream, peer)) => serve(stream, peer),
                Err(error) => {
                    warn!(%address, %error, "cannot accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            _ = &mut stopped => break,
        }
    }
    // Connections that the kernel has established are served: closing the socket would reset them.
    while let Some(Ok((stream, peer))) = socket.accept().now_or_never() {
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

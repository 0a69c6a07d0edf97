//! The whole process: signals, threads, link, and an orderly end.

use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::LocalSet;
use tracing::{info, warn};

use crate::link;
use crate::link::handover::{End, Role, Seat};
use crate::outside::resolve::Resolver;
use crate::patience::Patience;
use crate::plane::Plane;

/// How long a retired data plane lets streams, WebSockets and TCP connections live.
const RETIREMENT: Duration = Duration::from_secs(600);
/// How long a successor waits for somebody to make use of it.
const UNUSED: Duration = Duration::from_secs(30);

/// What a data plane is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// The Unix socket at which it takes orders from the control plane; created with mode 0600.
    pub socket: PathBuf,
    /// Threads that serve requests; at least one is started.
    pub workers: usize,
    /// How long clients may take.
    pub patience: Patience,
    /// Started to take the place of the data plane that is asked at `socket`: until it leads it is asked at
    /// [`link::path::own`], and it ends if it comes to nothing.
    pub successor: bool,
}

/// Why a data plane could not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket for the control plane could not be opened.
    #[error("cannot listen at {path}: {source}")]
    Socket {
        /// Where it should be.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The system refused a thread, a signal handler or an event queue.
    #[error("cannot start the data plane: {0}")]
    Start(#[from] io::Error),
}

/// Runs a data plane until SIGTERM or the control plane's order to end, and drains then for at most ten seconds; or until a
/// successor has taken its place and nothing is left of what it had, ten minutes at most.
///
/// Blocks the calling thread and must not be called inside an async runtime. It ignores SIGINT, which a terminal
/// sends to the whole process group, and SIGHUP: when to end is the control plane's decision.
///
/// # Errors
/// See [`Error`].
pub fn run(options: Options) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        let mut signals = Signals::install()?;
        allow_many_files();
        let (order, mut ordered) = mpsc::channel(1);
        let (resolver, mut resolved) = Resolver::new();
        let plane = || Plane::start(options.workers.max(1), options.patience, resolver);
        let seat = Seat::open(&options.socket, options.successor, plane, order)
            .map_err(|source| Error::Socket { path: options.socket.clone(), source })?;
        let seat = Rc::new(seat);
        let learning = Rc::clone(&seat);
        tokio::task::spawn_local(async move {
            while let Some((host, found)) = resolved.recv().await {
                learning.plane.borrow_mut().resolved(host, found);
            }
        });
        let mut serving = tokio::task::spawn_local(link::server::serve(Rc::clone(&seat)));
        let learning = tokio::task::spawn_local(seat.plane.borrow().learn());
        info!(socket = %options.socket.display(), successor = options.successor, "the data plane is up");
        let end = tokio::select! {
            () = signals.end() => End::Drain,
            order = ordered.recv() => order.unwrap_or(End::Drain),
            () = outlived(&seat) => End::Drain,
            failed = &mut serving => match failed {
                Ok(Err(error)) => return Err(error.into()),
                _ => End::Drain,
            },
        };
        if end == End::Drain {
            info!("draining");
            let drained = seat.plane.borrow_mut().drain();
            drained.await;
        }
        learning.abort();
        let logged = seat.plane.borrow().end_logs();
        logged.await;
        serving.abort();
        // Its end removes the socket's file.
        let _ = serving.await;
        Ok(())
    })
}

/// Asks for as many open files as this process may have: a connection is one, and what systems give by default is 1024.
fn allow_many_files() {
    let limit = getrlimit(Resource::Nofile);
    let all = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, all) {
        warn!(%error, files = ?limit.current, "the limit of open files stays as it is");
    }
}

/// Ends when a part that is not for ever has been played for too long.
async fn outlived(seat: &Rc<Seat>) {
    tokio::time::sleep(UNUSED).await;
    if seat.role() == Role::Successor {
        warn!("nobody made this data plane lead");
        let seat = Rc::clone(seat);
        tokio::task::spawn_local(async move { seat.withdraw().await });
    }
    seat.retired().await;
    tokio::time::sleep(RETIREMENT).await;
    warn!("connections of a retired data plane are cut: they have had ten minutes");
}

struct Signals {
    terminate: Signal,
    // Held, not read: once a handler is there the default action, which would end the process, is not taken.
    _ignored: [Signal; 2],
}

impl Signals {
    fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            _ignored: [signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?],
        })
    }

    async fn end(&mut self) {
        self.terminate.recv().await;
    }
}

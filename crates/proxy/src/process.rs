//! The whole process: signals, threads, link, and an orderly end.

use std::cell::RefCell;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::LocalSet;
use tracing::{info, warn};

use crate::link;
use crate::outside::resolve::Resolver;
use crate::patience::Patience;
use crate::plane::Plane;

/// What a data plane is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// The Unix socket at which it takes orders from the control plane; created with mode 0600.
    pub socket: PathBuf,
    /// Threads that serve requests; at least one is started.
    pub workers: usize,
    /// How long clients may take.
    pub patience: Patience,
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

/// Runs a data plane until SIGTERM or the control plane's order to end; then drains for at most ten seconds.
///
/// Blocks the calling thread and must not be called inside an async runtime. It ignores SIGINT, which a terminal
/// sends to the whole process group, and SIGHUP: when to end is the control plane's decision.
///
/// # Errors
/// See [`Error`].
pub fn run(options: Options) -> Result<(), Error> {
    let bound = link::path::bind(&options.socket)
        .map_err(|source| Error::Socket { path: options.socket.clone(), source })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        let mut signals = Signals::install()?;
        allow_many_files();
        let (resolver, mut resolved) = Resolver::new();
        let plane = Plane::start(options.workers.max(1), options.patience, resolver)?;
        let plane = Rc::new(RefCell::new(plane));
        let learning = Rc::clone(&plane);
        tokio::task::spawn_local(async move {
            while let Some((host, found)) = resolved.recv().await {
                learning.borrow_mut().resolved(host, found);
            }
        });
        let (order, mut ordered) = mpsc::channel(1);
        let mut serving = tokio::task::spawn_local(link::server::serve(bound, Rc::clone(&plane), order));
        let learning = tokio::task::spawn_local(plane.borrow().learn());
        info!(socket = %options.socket.display(), "the data plane is up");
        tokio::select! {
            () = signals.end() => info!("SIGTERM: draining"),
            _ = ordered.recv() => info!("the control plane asks for the end: draining"),
            failed = &mut serving => if let Ok(Err(error)) = failed { return Err(error.into()) },
        }
        let drained = plane.borrow_mut().drain();
        drained.await;
        learning.abort();
        let logged = plane.borrow().end_logs();
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

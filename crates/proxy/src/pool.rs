//! Connections to replicas, kept per worker: no locks, no connection ever changes its thread.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::spawn_local;
use tracing::debug;

use crate::alarm::Alarm;
use crate::body::Outgoing;
use crate::connection::{CONNECTION_WINDOW, LocalExecutor, STREAM_WINDOW};
use crate::outbound::Speech;
use crate::outside::tls::{Tls, agreed_on_h2};
use crate::table::{Endpoint, Table};
use crate::wire::Short;

/// How long an unused connection is kept. Below the five seconds after which the common servers of Node and Python
/// close theirs: a request must not meet that moment.
pub(crate) const IDLE: Duration = Duration::from_secs(4);
/// The same for connections to systems outside, where a new one costs several round trips: less than what the common
/// servers and balancers allow, and more than what lies between two requests of a busy caller.
const IDLE_OUTSIDE: Duration = Duration::from_secs(30);
/// Unused HTTP/1.1 connections kept per endpoint.
const IDLE_MOST: usize = 256;
/// Requests at one time on one HTTP/2 connection before another is opened.
const STREAMS: usize = 100;

/// The pools of all endpoints, of one worker.
#[derive(Debug, Default)]
pub(crate) struct Pools {
    by_endpoint: RefCell<HashMap<u64, Rc<Pool>>>,
    filled: Rc<Notify>,
}

/// The connections to one endpoint.
pub(crate) struct Pool {
    idle: RefCell<Vec<Idle>>,
    multiplexed: RefCell<Vec<Rc<Multiplexed>>>,
    connecting: tokio::sync::Mutex<()>,
    closed: Cell<bool>,
    filled: Rc<Notify>,
    /// How long an unused connection is kept.
    idle_limit: Duration,
    /// The other side prefers HTTP/1.1, as was seen when it was asked.
    prefers_h1: Cell<bool>,
}

/// A connection that can take a request.
pub(crate) enum Line {
    Single(Single),
    Shared(Rc<Multiplexed>),
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool({} idle, {} multiplexed)", self.idle.borrow().len(), self.multiplexed.borrow().len())
    }
}

struct Idle {
    connection: Single,
    since: Instant,
}

/// An HTTP/1.1 connection: one request at a time.
#[derive(Debug)]
pub(crate) struct Single {
    pub sender: http1::SendRequest<Outgoing>,
    /// For the time limits of its requests.
    pub alarm: Alarm,
}

/// An HTTP/2 connection that many requests share.
pub(crate) struct Multiplexed {
    sender: http2::SendRequest<Outgoing>,
    last_used: Cell<Instant>,
}

impl Multiplexed {
    pub(crate) fn sender(&self) -> http2::SendRequest<Outgoing> {
        self.sender.clone()
    }
}

impl Pools {
    pub(crate) fn of(&self, endpoint: &Endpoint) -> Rc<Pool> {
        let mut pools = self.by_endpoint.borrow_mut();
        let pool = pools.entry(endpoint.id).or_insert_with(|| {
            Rc::new(Pool {
                idle: RefCell::default(),
                multiplexed: RefCell::default(),
                connecting: tokio::sync::Mutex::new(()),
                closed: Cell::new(false),
                filled: Rc::clone(&self.filled),
                idle_limit: if endpoint.outside.is_some() { IDLE_OUTSIDE } else { IDLE },
                prefers_h1: Cell::new(false),
            })
        });
        Rc::clone(pool)
    }

    /// Closes the pools of endpoints that left the table; requests in flight end first.
    pub(crate) fn retain(&self, table: &Table) {
        let routed: HashSet<u64> =
            table.lanes.iter().flat_map(|lane| lane.targets.iter().map(|t| t.endpoint.id)).collect();
        self.by_endpoint.borrow_mut().retain(|id, pool| {
            let keep = routed.contains(id);
            if !keep {
                pool.close();
            }
            keep
        });
    }

    /// Waits until a connection is idle.
    pub(crate) async fn filled(&self) {
        while !self.by_endpoint.borrow().values().any(|pool| pool.holds_any()) {
            self.filled.notified().await;
        }
    }

    /// Closes connections that have been idle for long.
    pub(crate) fn sweep(&self) {
        for pool in self.by_endpoint.borrow().values() {
            pool.idle
                .borrow_mut()
                .retain(|idle| idle.since.elapsed() < pool.idle_limit && !idle.connection.sender.is_closed());
            pool.multiplexed.borrow_mut().retain(|shared| {
                let used = Rc::strong_count(shared) > 1 || shared.last_used.get().elapsed() < IDLE * 8;
                used && !shared.sender.is_closed()
            });
        }
    }
}

impl Pool {
    /// An unused HTTP/1.1 connection, the one used last first: the others get a chance to grow old.
    pub(crate) fn take(&self) -> Option<Single> {
        let mut idle = self.idle.borrow_mut();
        let mut at = idle.len();
        while at > 0 {
            at -= 1;
            let candidate = &idle[at];
            if candidate.connection.sender.is_closed() || candidate.since.elapsed() >= self.idle_limit {
                idle.swap_remove(at);
            } else if candidate.connection.sender.is_ready() {
                return Some(idle.remove(at).connection);
            }
            // Neither: it has yet to notice that its last response is over.
        }
        None
    }

    /// Gives a connection back after its response has ended.
    pub(crate) fn put(&self, connection: Single) {
        let mut idle = self.idle.borrow_mut();
        if self.closed.get() || connection.sender.is_closed() || idle.len() >= IDLE_MOST {
            return;
        }
        idle.push(Idle { connection, since: Instant::now() });
        if idle.len() == 1 {
            self.filled.notify_one();
        }
    }

    /// Opens an HTTP/1.1 connection.
    pub(crate) async fn connect(&self, endpoint: &Endpoint) -> io::Result<Single> {
        let stream = dial(endpoint).await?;
        match tls(endpoint) {
            None => single(stream).await,
            Some(tls) => single(tls.connect(stream, Speech::Http1).await?).await,
        }
    }

    /// An HTTP/2 connection with room for one more request; opens one if there is none. The flag says that it is new.
    pub(crate) async fn share(&self, endpoint: &Endpoint) -> io::Result<(Rc<Multiplexed>, bool)> {
        if let Some(shared) = self.roomy() {
            return Ok((shared, false));
        }
        let _alone = self.connecting.lock().await;
        if let Some(shared) = self.roomy() {
            return Ok((shared, false));
        }
        let stream = dial(endpoint).await?;
        let shared = match tls(endpoint) {
            None => multiplexed(stream).await,
            Some(tls) => multiplexed(tls.connect(stream, Speech::Http2).await?).await,
        };
        Ok((self.keep(shared?), true))
    }

    /// A connection on which whatever the other side prefers is spoken; opens one if there is none. The flag says that
    /// it is new.
    pub(crate) async fn negotiate(&self, endpoint: &Endpoint) -> io::Result<(Line, bool)> {
        if let Some(line) = self.free() {
            return Ok((line, false));
        }
        // While it is not known that each request needs a connection of its own, they wait for the first one.
        let _alone = if self.prefers_h1.get() { None } else { Some(self.connecting.lock().await) };
        if let Some(line) = self.free() {
            return Ok((line, false));
        }
        let stream = dial(endpoint).await?;
        let Some(tls) = tls(endpoint) else { return Ok((Line::Single(single(stream).await?), true)) };
        let stream = tls.connect(stream, Speech::Negotiated).await?;
        let h2 = agreed_on_h2(&stream);
        self.prefers_h1.set(!h2);
        let line = match h2 {
            true => Line::Shared(self.keep(multiplexed(stream).await?)),
            false => Line::Single(single(stream).await?),
        };
        Ok((line, true))
    }

    fn free(&self) -> Option<Line> {
        self.roomy().map(Line::Shared).or_else(|| self.take().map(Line::Single))
    }

    fn keep(&self, shared: Rc<Multiplexed>) -> Rc<Multiplexed> {
        if !self.closed.get() {
            self.multiplexed.borrow_mut().push(Rc::clone(&shared));
            self.filled.notify_one();
        }
        shared
    }

    /// Forgets a connection that takes no more requests.
    pub(crate) fn discard(&self, gone: &Rc<Multiplexed>) {
        self.multiplexed.borrow_mut().retain(|shared| !Rc::ptr_eq(shared, gone));
    }

    fn roomy(&self) -> Option<Rc<Multiplexed>> {
        let mut all = self.multiplexed.borrow_mut();
        all.retain(|shared| !shared.sender.is_closed());
        // Each request in flight holds one reference, the pool another.
        let shared = all.iter().find(|shared| Rc::strong_count(shared) <= STREAMS)?;
        shared.last_used.set(Instant::now());
        Some(Rc::clone(shared))
    }

    fn holds_any(&self) -> bool {
        !self.idle.borrow().is_empty() || !self.multiplexed.borrow().is_empty()
    }

    fn close(&self) {
        self.closed.set(true);
        self.idle.borrow_mut().clear();
        self.multiplexed.borrow_mut().clear();
    }
}

fn tls(endpoint: &Endpoint) -> Option<&Tls> {
    endpoint.outside.as_ref()?.tls.as_ref()
}

async fn single<S>(stream: S) -> io::Result<Single>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) =
        http1::Builder::new().handshake(TokioIo::new(Short(stream))).await.map_err(io::Error::other)?;
    spawn_local(async move {
        if let Err(error) = connection.with_upgrades().await {
            debug!(%error, "a connection to a replica ended");
        }
    });
    Ok(Single { sender, alarm: Alarm::default() })
}

async fn multiplexed<S>(stream: S) -> io::Result<Rc<Multiplexed>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http2::Builder::new(LocalExecutor)
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .handshake(TokioIo::new(Short(stream)))
        .await
        .map_err(io::Error::other)?;
    spawn_local(async move {
        if let Err(error) = connection.await {
            debug!(%error, "an HTTP/2 connection to a replica ended");
        }
    });
    Ok(Rc::new(Multiplexed { sender, last_used: Cell::new(Instant::now()) }))
}

/// Opens a TCP connection to an endpoint.
pub(crate) async fn dial(endpoint: &Endpoint) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(endpoint.address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

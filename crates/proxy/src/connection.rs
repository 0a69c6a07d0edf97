//! One connection of a client, from the first byte to the last.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::HeaderValue;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::task::spawn_local;
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tracing::debug;

use crate::callers::{self, Verdict};
use crate::drain::{Gate, Pass};
use crate::identify::Peer;
use crate::wire::{Activity, HEAD, KEEP_ALIVE, Wire, sniff};
use crate::worker::Worker;
use crate::{stack, tcp};

const HEADER_BYTES: usize = 64 * 1024;
const STREAMS: u32 = 256;
/// How much of a stream and of a connection of HTTP/2 may be on its way, in bytes: 10 MB/s over a round trip of 100 ms.
/// Fixed, since hyper's adaptive windows cost a tenth of the processor time of a small request.
pub(crate) const STREAM_WINDOW: u32 = 1 << 20;
pub(crate) const CONNECTION_WINDOW: u32 = 4 << 20;
/// How long a new connection may take to begin once its listener closes.
const LAST_CALL: Duration = Duration::from_millis(500);

/// Serves a connection that came through `listener` until it ends; `gate` may ask for the end.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    listener: SocketAddr,
    mut stream: TcpStream,
    peer: SocketAddr,
    gate: Gate,
) {
    let mut pass = gate.enter();
    let view = worker.view();
    let caller = callers::begin(&worker, &view, listener, peer);
    if let Some(lane) = tcp::lane(&view, listener) {
        if let Verdict::Refused(why) = caller.verdict().await {
            return callers::note_refusal(&worker, &view, listener, &why);
        }
        return tcp::forward(&worker, view, listener, lane, stream).await;
    }
    drop(view);
    let begun = tokio::select! {
        begun = timeout(HEAD, sniff(&mut stream)) => begun,
        () = closing(&mut pass) => return,
    };
    let Ok(Ok((is_h2, prefix))) = begun else { return };
    if prefix.is_empty() {
        return;
    }
    let refused = match caller.verdict().await {
        Verdict::Accepted => None,
        // Nobody is there to read an answer, or to be asked who it was.
        Verdict::Abandoned => return,
        Verdict::Refused(why) => {
            callers::note_refusal(&worker, &worker.view(), listener, &why);
            Some(why)
        }
    };
    let address =
        HeaderValue::from_str(&peer.ip().to_string()).unwrap_or_else(|_| HeaderValue::from_static("unknown"));
    let client = Rc::new(Client { worker, peer: Peer { listener, address }, refused, gate });
    let served = if is_h2 {
        serve_h2(client, stream, prefix, pass).await
    } else {
        serve_h1(client, stream, prefix, pass).await
    };
    if let Err(error) = served {
        debug!(%peer, %error, "a client's connection ended");
    }
}

/// What all requests of a connection share.
#[derive(Debug)]
pub(crate) struct Client {
    pub worker: Rc<Worker>,
    pub peer: Peer,
    /// Why nothing that comes on it is passed on.
    pub refused: Option<String>,
    /// What a tunnel enters that outlives the requests.
    pub gate: Gate,
}

async fn closing(pass: &mut Pass) {
    std::future::poll_fn(|cx| if pass.poll_closing(cx) { Poll::Ready(()) } else { Poll::Pending }).await;
    tokio::time::sleep(LAST_CALL).await;
}

async fn serve_h1(client: Rc<Client>, tcp: TcpStream, prefix: Vec<u8>, pass: Pass) -> hyper::Result<()> {
    let activity = Activity::new(true);
    let wire = Wire::new(tcp, prefix, Some(Arc::clone(&activity)));
    let busy = Arc::clone(&activity);
    let service = service_fn(move |request| {
        let (client, busy) = (Rc::clone(&client), busy.begin());
        async move { Ok::<_, Infallible>(stack::serve(&client, request, busy).await) }
    });
    let mut http = http1::Builder::new();
    http.max_header_size(HEADER_BYTES);
    let connection = http.serve_connection(TokioIo::new(wire), service).with_upgrades();
    Driver::new(connection, pass, activity).await
}

async fn serve_h2(client: Rc<Client>, tcp: TcpStream, prefix: Vec<u8>, pass: Pass) -> hyper::Result<()> {
    let activity = Activity::new(false);
    let wire = Wire::new(tcp, prefix, None);
    let busy = Arc::clone(&activity);
    let service = service_fn(move |request| {
        let (client, busy) = (Rc::clone(&client), busy.begin());
        // Boxed at once: hyper moves it several times before it is a task, and it is large.
        Box::pin(async move { Ok::<_, Infallible>(stack::serve(&client, request, busy).await) })
    });
    let mut http = http2::Builder::new(LocalExecutor);
    http.timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEADER_BYTES as u32);
    let connection = http.serve_connection(TokioIo::new(wire), service);
    Driver::new(connection, pass, activity).await
}

/// Runs hyper's tasks on this thread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LocalExecutor;

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        spawn_local(future);
    }
}

/// A connection that can be asked to end after the requests it has.
trait Graceful: Future<Output = hyper::Result<()>> {
    fn wind_down(self: Pin<&mut Self>);
}

impl<S> Graceful for http1::UpgradeableConnection<TokioIo<Wire>, S>
where
    Self: Future<Output = hyper::Result<()>>,
    S: hyper::service::HttpService<hyper::body::Incoming, ResBody = crate::respond::Answer>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn wind_down(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<S> Graceful for http2::Connection<TokioIo<Wire>, S, LocalExecutor>
where
    Self: Future<Output = hyper::Result<()>>,
    S: hyper::service::HttpService<hyper::body::Incoming, ResBody = crate::respond::Answer>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    LocalExecutor: hyper::rt::bounds::Http2ServerConnExec<S::Future, crate::respond::Answer>,
{
    fn wind_down(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// Drives a connection, ends it when it is asked to, and closes it when a head does not come or nothing is asked.
///
/// There is one timer per connection. It is looked at when it fires, not moved with every request.
struct Driver<C> {
    connection: Pin<Box<C>>,
    pass: Pass,
    asked: bool,
    activity: Arc<Activity>,
    alarm: Pin<Box<Sleep>>,
}

impl<C: Graceful> Driver<C> {
    fn new(connection: C, pass: Pass, activity: Arc<Activity>) -> Self {
        let alarm = Box::pin(sleep_until(Instant::now() + HEAD));
        Self { connection: Box::pin(connection), pass, asked: false, activity, alarm }
    }

    /// Ready when the present phase has lasted too long.
    fn poll_limit(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let limit = self.activity.limit().map(Instant::from_std);
            if let Some(limit) = limit
                && limit < self.alarm.deadline()
            {
                self.alarm.as_mut().reset(limit);
            }
            if self.alarm.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let now = Instant::now();
            match limit {
                Some(limit) if limit <= now => return Poll::Ready(()),
                Some(limit) => self.alarm.as_mut().reset(limit),
                None => self.alarm.as_mut().reset(now + KEEP_ALIVE),
            }
        }
    }
}

impl<C: Graceful> Future for Driver<C> {
    type Output = hyper::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if !this.asked && this.pass.poll_closing(cx) {
            this.asked = true;
            this.connection.as_mut().wind_down();
        }
        if let Poll::Ready(ended) = this.connection.as_mut().poll(cx) {
            return Poll::Ready(ended);
        }
        this.poll_limit(cx).map(Ok)
    }
}

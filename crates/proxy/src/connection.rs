//! One connection of a client, from the first byte to the last.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::HeaderValue;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::spawn_local;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::debug;

use crate::activity::Activity;
use crate::callers::{self, Pending, Verdict};
use crate::drain::{Gate, Pass};
use crate::driver::Driver;
use crate::identify::Peer;
use crate::places::Place;
use crate::table::Entry;
use crate::tls::{Agreed, Tls, agreed};
use crate::wire::{Wire, sniff};
use crate::worker::Worker;
use crate::{respond, stack, tcp};

/// The longest head, in bytes. Longer ones are answered with 431 (by hyper,
/// as is one with more than 100 fields: its own limit, and to set another one costs an allocation per request).
const HEADER_BYTES: usize = 64 * 1024;
/// Requests of one HTTP/2 connection at one time.
const STREAMS: u32 = 256;
/// How much of a stream and of a connection of HTTP/2 may be on its way, in bytes: 10 MB/s over a round trip of 100 ms.
/// Fixed, since hyper's adaptive windows cost a tenth of the processor time of a small request.
pub(crate) const STREAM_WINDOW: u32 = 1 << 20;
pub(crate) const CONNECTION_WINDOW: u32 = 4 << 20;
/// Streams that a client has opened and taken back before they were looked at. One that goes beyond is at nothing but
/// making work (CVE-2023-44487), and its connection ends.
const RESET_STREAMS: usize = 32;
/// Streams that ended because of an error of the client; beyond that the connection ends (CVE-2025-8671).
const BROKEN_STREAMS: usize = 256;
/// What is kept of one stream's answer for a client that does not read, in bytes.
const SEND_BUFFER: usize = 128 * 1024;
/// How long a new connection may take to begin once its listener closes.
pub(crate) const LAST_CALL: Duration = Duration::from_millis(500);

/// Serves a connection that came through `listener` until it ends; `gate` may ask for the end.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    listener: SocketAddr,
    stream: TcpStream,
    peer: SocketAddr,
    gate: Gate,
) {
    let pass = gate.enter();
    let view = worker.view();
    let caller = callers::begin(&worker, &view, listener, peer);
    if let Some(lane) = tcp::lane(&view, listener) {
        if let Verdict::Refused(why) = caller.verdict().await {
            return callers::note_refusal(&worker, &view, listener, &why);
        }
        return tcp::forward(&worker, view, listener, lane, stream).await;
    }
    let entry = view.entries.get(&listener);
    let place = match entry.and_then(|entry| entry.places.as_ref()) {
        Some(places) => match places.enter(worker.index) {
            Some(place) => Some(place),
            // Closed at once: who waits would not know for what.
            None => return,
        },
        None => None,
    };
    let tls = entry.and_then(Entry::tls).cloned();
    drop(view);
    let ip = peer.ip().to_canonical();
    let address =
        HeaderValue::from_str(&ip.to_string()).unwrap_or_else(|_| HeaderValue::from_static("unknown"));
    let peer = Peer { listener, address, ip, secure: tls.is_some() };
    let client = Client { worker, peer, refused: None, gate, _place: place };
    let served = match tls {
        None => begin(client, stream, pass, caller).await,
        // Edges have no TLS: who calls at a gateway is nobody's.
        Some(tls) => begin_tls(Rc::new(client), stream, &tls, pass).await,
    };
    if let Err(error) = served {
        debug!(%ip, %error, "a client's connection ended");
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
    _place: Option<Place>,
}

/// What a connection is read from and written to.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for S {}

/// A connection without TLS: whose it is is looked up while its first bytes come.
async fn begin(
    mut client: Client,
    mut stream: TcpStream,
    mut pass: Pass,
    caller: Pending,
) -> hyper::Result<()> {
    let head = client.worker.patience().head;
    let begun = tokio::select! {
        begun = timeout(head, sniff(&mut stream)) => begun,
        () = closing(&mut pass) => return Ok(()),
    };
    let Ok(Ok((is_h2, prefix))) = begun else { return Ok(()) };
    if prefix.is_empty() {
        return Ok(());
    }
    client.refused = match caller.verdict().await {
        Verdict::Accepted => None,
        // Nobody is there to read an answer, or to be asked who it was.
        Verdict::Abandoned => return Ok(()),
        Verdict::Refused(why) => {
            let worker = &client.worker;
            callers::note_refusal(worker, &worker.view(), client.peer.listener, &why);
            Some(why)
        }
    };
    let client = Rc::new(client);
    if is_h2 {
        serve_h2(client, stream, prefix, pass).await
    } else {
        serve_h1(client, stream, prefix, pass).await
    }
}

async fn begin_tls(client: Rc<Client>, stream: TcpStream, tls: &Tls, mut pass: Pass) -> hyper::Result<()> {
    let shaken = tokio::select! {
        shaken = timeout(client.worker.patience().handshake, shake(stream, tls)) => shaken,
        () = closing(&mut pass) => return Ok(()),
    };
    match shaken {
        Ok(Ok(Some(mut stream))) => match agreed(stream.get_ref().1.alpn_protocol()) {
            Agreed::Http2 => serve_h2(client, stream, Vec::new(), pass).await,
            Agreed::Http1 => serve_h1(client, stream, Vec::new(), pass).await,
            Agreed::Proof => {
                // The authority has seen the certificate, which is all it wanted.
                let _ = stream.shutdown().await;
                Ok(())
            }
        },
        Ok(Ok(None)) => Ok(()),
        Ok(Err(error)) => {
            debug!(ip = %client.peer.ip, %error, "no TLS handshake");
            Ok(())
        }
        Err(_) => {
            debug!(ip = %client.peer.ip, "no TLS handshake in time");
            Ok(())
        }
    }
}

/// The first byte of a TLS record that begins a handshake (RFC 8446, 5.1).
const HANDSHAKE: u8 = 22;

const NOT_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: text/plain\r\n\
content-length: 43\r\nx-isles-error: not_tls\r\n\r\nThis port speaks HTTPS: use an https:// URL";

/// Shakes hands. Whoever speaks no TLS at all, but HTTP most likely, gets an answer that it can read, and there is
/// nothing to go on with.
async fn shake(mut stream: TcpStream, tls: &Tls) -> std::io::Result<Option<TlsStream<TcpStream>>> {
    let mut first = [0];
    if stream.peek(&mut first).await? == 0 {
        return Ok(None);
    }
    if first == [HANDSHAKE] {
        return TlsAcceptor::from(Arc::clone(&tls.config)).accept(stream).await.map(Some);
    }
    stream.write_all(NOT_TLS).await?;
    stream.shutdown().await?;
    // Closed with a request unread, the connection would be reset, and the answer lost. Its time is the handshake's.
    tokio::io::copy(&mut stream.take(HEADER_BYTES as u64), &mut tokio::io::sink()).await?;
    Ok(None)
}

async fn closing(pass: &mut Pass) {
    std::future::poll_fn(|cx| if pass.poll_closing(cx) { Poll::Ready(()) } else { Poll::Pending }).await;
    tokio::time::sleep(LAST_CALL).await;
}

async fn serve_h1<S: Stream>(client: Rc<Client>, io: S, prefix: Vec<u8>, pass: Pass) -> hyper::Result<()> {
    let activity = Activity::new(client.worker.patience(), true);
    let wire = Wire::new(io, prefix, Arc::clone(&activity));
    let busy = Arc::clone(&activity);
    let service = service_fn(move |request| {
        let (client, busy) = (Rc::clone(&client), busy.begin());
        async move {
            let mut answer = stack::serve(&client, request, busy).await;
            if client.gate.is_retiring() {
                respond::say_last(&mut answer);
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let mut http = http1::Builder::new();
    http.max_header_size(HEADER_BYTES);
    let connection = http.serve_connection(TokioIo::new(wire), service).with_upgrades();
    Driver::new(connection, pass, activity).await
}

async fn serve_h2<S: Stream>(client: Rc<Client>, io: S, prefix: Vec<u8>, pass: Pass) -> hyper::Result<()> {
    let activity = Activity::new(client.worker.patience(), false);
    let wire = Wire::new(io, prefix, Arc::clone(&activity));
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
        .max_pending_accept_reset_streams(RESET_STREAMS)
        .max_local_error_reset_streams(BROKEN_STREAMS)
        .max_send_buf_size(SEND_BUFFER)
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

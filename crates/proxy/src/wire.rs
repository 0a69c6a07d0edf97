//! A client's TCP connection: which protocol it begins with, and whether it idles.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// How long the head of a request may take to come.
pub(crate) const HEAD: Duration = Duration::from_secs(10);
/// How long a connection may be open without a request.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(75);

const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Reads until it is clear whether the client speaks HTTP/2 with prior knowledge; returns what was read.
pub(crate) async fn sniff(tcp: &mut TcpStream) -> io::Result<(bool, Vec<u8>)> {
    let mut seen = [0; PREFACE.len()];
    let mut length = 0;
    while length < seen.len() && PREFACE.starts_with(&seen[..length]) {
        match tcp.read(&mut seen[length..]).await? {
            0 => break,
            more => length += more,
        }
    }
    Ok((seen == *PREFACE, seen[..length].to_vec()))
}

/// What a connection is doing. Written by one thread; atomic because an upgraded connection may be sent to others.
#[derive(Debug)]
pub(crate) struct Activity {
    clock: Instant,
    requests: AtomicU32,
    /// The first bytes of a request's head have come. Not known for HTTP/2.
    receiving: AtomicBool,
    /// When the present phase began, in milliseconds on `clock`.
    since: AtomicU64,
}

/// A request of a connection, until dropped.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Activity>);

impl Activity {
    pub(crate) fn new(receiving: bool) -> Arc<Self> {
        Arc::new(Self {
            clock: Instant::now(),
            requests: AtomicU32::new(0),
            receiving: AtomicBool::new(receiving),
            since: AtomicU64::new(0),
        })
    }

    pub(crate) fn begin(self: &Arc<Self>) -> Busy {
        self.requests.store(self.requests.load(Relaxed) + 1, Relaxed);
        self.receiving.store(false, Relaxed);
        Busy(Arc::clone(self))
    }

    /// Until when the present phase may last; none while requests are served.
    pub(crate) fn limit(&self) -> Option<Instant> {
        if self.requests.load(Relaxed) > 0 {
            return None;
        }
        let allowed = if self.receiving.load(Relaxed) { HEAD } else { KEEP_ALIVE };
        Some(self.clock + Duration::from_millis(self.since.load(Relaxed)) + allowed)
    }

    fn received(&self) {
        if self.requests.load(Relaxed) == 0 && !self.receiving.load(Relaxed) {
            self.receiving.store(true, Relaxed);
            self.touch();
        }
    }

    fn touch(&self) {
        self.since.store(u64::try_from(self.clock.elapsed().as_millis()).unwrap_or(u64::MAX), Relaxed);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.requests.store(self.0.requests.load(Relaxed).saturating_sub(1), Relaxed);
        self.0.touch();
    }
}

/// A connection from whose beginning something has been read.
#[derive(Debug)]
pub(crate) struct Wire {
    tcp: TcpStream,
    prefix: Vec<u8>,
    /// Set for HTTP/1.1, where bytes that come between requests begin one.
    activity: Option<Arc<Activity>>,
}

impl Wire {
    pub(crate) fn new(tcp: TcpStream, prefix: Vec<u8>, activity: Option<Arc<Activity>>) -> Self {
        Self { tcp, prefix, activity }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.prefix.is_empty() {
            let length = self.prefix.len().min(into.remaining());
            into.put_slice(&self.prefix[..length]);
            self.prefix.drain(..length);
            return Poll::Ready(Ok(()));
        }
        let before = into.filled().len();
        let read = Pin::new(&mut self.tcp).poll_read(cx, into);
        if into.filled().len() > before
            && let Some(activity) = &self.activity
        {
            activity.received();
        }
        read
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        (client.unwrap(), accepted.unwrap().0)
    }

    #[tokio::test]
    async fn the_first_bytes_tell_the_protocol_and_are_not_lost() {
        for (first, is_h2) in [
            ("GET / HTTP/1.1\r\n\r\n", false),
            ("PRI * HTTP/1.1\r\nhost: a\r\n\r\n", false),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nframes", true),
            ("P", false),
            ("", false),
        ] {
            let (mut client, mut server) = pair().await;
            let send = async move {
                // In two parts: the second comes when the first has been looked at.
                for part in first.as_bytes().chunks(9) {
                    client.write_all(part).await.unwrap();
                    tokio::task::yield_now().await;
                }
            };
            let (found, ()) = tokio::join!(sniff(&mut server), send);
            let (h2, seen) = found.unwrap();
            assert_eq!(h2, is_h2, "{first:?}");
            let mut all = String::new();
            Wire::new(server, seen, None).read_to_string(&mut all).await.unwrap();
            assert_eq!(all, first);
        }
    }

    #[tokio::test]
    async fn a_head_has_less_time_than_an_idle_connection_and_a_request_has_no_limit() {
        let (mut client, server) = pair().await;
        let activity = Activity::new(true);
        let left = |activity: &Activity| activity.limit().map(|limit| limit.duration_since(Instant::now()));
        assert!(left(&activity).unwrap() <= HEAD);
        let (first, second) = (activity.begin(), activity.begin());
        drop(first);
        assert_eq!(left(&activity), None);
        drop(second);
        assert!(left(&activity).unwrap() > HEAD);
        client.write_all(b"G").await.unwrap();
        let mut wire = Wire::new(server, Vec::new(), Some(Arc::clone(&activity)));
        wire.read_u8().await.unwrap();
        assert!(left(&activity).unwrap() <= HEAD);
    }
}

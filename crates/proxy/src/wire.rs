//! A client's connection: which protocol it begins with, and reading and writing with an eye on the time.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use crate::activity::Activity;

const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// RFC 9110, 15.5.9. hyper has no way to answer a head that does not come.
const TOO_LATE: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\nx-isles-error: request_timeout\r\n\r\n";

/// Reads until it is clear whether the client speaks HTTP/2 with prior knowledge; returns what was read.
pub(crate) async fn sniff(io: &mut (impl AsyncRead + Unpin)) -> io::Result<(bool, Vec<u8>)> {
    let mut seen = [0; PREFACE.len()];
    let mut length = 0;
    while length < seen.len() && PREFACE.starts_with(&seen[..length]) {
        match io.read(&mut seen[length..]).await? {
            0 => break,
            more => length += more,
        }
    }
    Ok((seen == *PREFACE, seen[..length].to_vec()))
}

/// A connection from whose beginning something has been read.
#[derive(Debug)]
pub(crate) struct Wire<S> {
    io: S,
    prefix: Vec<u8>,
    activity: Arc<Activity>,
}

impl<S> Wire<S> {
    pub(crate) fn new(io: S, prefix: Vec<u8>, activity: Arc<Activity>) -> Self {
        Self { io, prefix, activity }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Wire<S> {
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
        if self.activity.is_expired() {
            // As much as fits at once; whoever does not read is not waited for. To hyper this is the end.
            if Pin::new(&mut self.io).poll_write(cx, TOO_LATE).is_ready() {
                let _ = Pin::new(&mut self.io).poll_flush(cx);
            }
            return Poll::Ready(Ok(()));
        }
        let before = into.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, into);
        if into.filled().len() > before {
            self.activity.received();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.activity.wrote(written.is_ready());
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = write_parts(&mut self.io, cx, slices);
        self.activity.wrote(written.is_ready());
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Asked once all is written: what is still pending is in the buffer of TLS.
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.activity.wrote(flushed.is_ready());
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// What is sent at once where it is no longer than this.
const SMALL: usize = 4096;

thread_local! {
    /// What is about to be sent, put together: one for all connections of a thread, so that an idle one has none.
    static TOGETHER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Writes parts, short ones as one piece: the system takes longer to look at a list of them than it takes to copy so little.
fn write_parts<S: AsyncWrite + Unpin>(
    io: &mut S,
    cx: &mut Context<'_>,
    parts: &[io::IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    if let [one] = parts {
        return Pin::new(io).poll_write(cx, one);
    }
    if parts.iter().map(|part| part.len()).sum::<usize>() > SMALL {
        return Pin::new(io).poll_write_vectored(cx, parts);
    }
    TOGETHER.with_borrow_mut(|together| {
        together.clear();
        parts.iter().for_each(|part| together.extend_from_slice(part));
        Pin::new(io).poll_write(cx, together)
    })
}

/// A connection to a replica, which writes as [`write_parts`] does.
#[derive(Debug)]
pub(crate) struct Short<S>(pub S);

impl<S: AsyncRead + Unpin> AsyncRead for Short<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Short<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        write_parts(&mut self.0, cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::patience::Patience;

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
            Wire::new(server, seen, Activity::new(Patience::default(), false))
                .read_to_string(&mut all)
                .await
                .unwrap();
            assert_eq!(all, first);
        }
    }

    /// Takes down how it is written to.
    #[derive(Default)]
    struct Written(Vec<(&'static str, usize)>);

    impl AsyncWrite for Written {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.0.push(("one", bytes.len()));
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            parts: &[io::IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let length = parts.iter().map(|part| part.len()).sum();
            self.0.push(("parts", length));
            Poll::Ready(Ok(length))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn short_parts_are_sent_as_one_and_long_ones_as_they_are() {
        for (lengths, how) in [
            (&[100, 1024][..], "one"),
            (&[SMALL, 0], "one"),
            (&[SMALL, 1], "parts"),
            (&[3 * SMALL], "one"),
            (&[1, 1, 1], "one"),
            (&[], "one"),
        ] {
            let bytes: Vec<Vec<u8>> = lengths.iter().map(|length| vec![b'x'; *length]).collect();
            let parts: Vec<io::IoSlice<'_>> = bytes.iter().map(|bytes| io::IoSlice::new(bytes)).collect();
            let (mut written, mut cx) = (Written::default(), Context::from_waker(std::task::Waker::noop()));
            let done = write_parts(&mut written, &mut cx, &parts);
            let length = lengths.iter().sum();
            assert!(matches!(done, Poll::Ready(Ok(count)) if count == length), "{lengths:?}");
            assert_eq!(written.0, [(how, length)], "{lengths:?}");
        }
    }
}

//! Bodies on their way: requests to a replica, remembered as far as a second attempt needs it.

use std::cell::RefCell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::conformance::Copy;
use crate::intake::Intake;

use crate::headers::{self, Trust};

/// How much of a request's body is remembered for a second attempt, in bytes.
pub(crate) const REPLAY_LIMIT: usize = 64 * 1024;

/// The body of a request to a replica.
#[derive(Debug)]
pub(crate) enum Outgoing {
    Empty,
    /// Passed on once.
    Once(Intake),
    /// Passed on, and remembered on a tape.
    Taped(Reader),
}

/// A body that can be read again from its beginning, unless it was long.
#[derive(Clone)]
pub(crate) struct Tape(Rc<RefCell<Inner>>);

struct Inner {
    source: Intake,
    size: SizeHint,
    /// Data and trailers seen so far; cleared when there were too many.
    seen: Vec<Seen>,
    bytes: usize,
    overflown: bool,
    ended: bool,
    /// Which reader is the current one: one of an attempt that was given up must not take data away.
    attempt: u32,
}

#[derive(Clone)]
enum Seen {
    Data(Bytes),
    Trailers(http::HeaderMap),
}

/// One attempt's reading of a tape.
pub(crate) struct Reader {
    tape: Tape,
    attempt: u32,
    position: usize,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reader(attempt {}, at {})", self.attempt, self.position)
    }
}

/// A reader was used after another had taken its place.
#[derive(Debug, thiserror::Error)]
#[error("this attempt was given up")]
struct Superseded;

impl Tape {
    pub(crate) fn new(source: Intake) -> Self {
        let size = source.size_hint();
        Self(Rc::new(RefCell::new(Inner {
            source,
            size,
            seen: Vec::new(),
            bytes: 0,
            overflown: false,
            ended: false,
            attempt: 0,
        })))
    }

    /// A reader from the beginning; earlier ones end. None if the beginning is no longer there.
    pub(crate) fn read(&self) -> Option<Reader> {
        let mut inner = self.0.borrow_mut();
        if inner.overflown {
            return None;
        }
        inner.attempt += 1;
        Some(Reader { tape: self.clone(), attempt: inner.attempt, position: 0 })
    }

    /// Notes what passes from here on.
    pub(crate) fn copy_to(&self, copy: Copy) {
        self.0.borrow_mut().source.copy_to(copy);
    }

    /// What has not been read yet; nobody else may have it.
    pub(crate) fn into_source(self) -> Option<Intake> {
        Some(Rc::into_inner(self.0)?.into_inner().source)
    }

    /// Whether it can still be read from the beginning.
    pub(crate) fn is_whole(&self) -> bool {
        !self.0.borrow().overflown
    }

    /// Stops remembering: there will be no other attempt.
    pub(crate) fn stop(&self) {
        self.0.borrow_mut().overflown = true;
    }
}

impl Inner {
    fn remember(&mut self, frame: &Frame<Bytes>) {
        if self.overflown {
            return;
        }
        if let Some(data) = frame.data_ref() {
            self.bytes += data.len();
            self.seen.push(Seen::Data(data.clone()));
        } else if let Some(trailers) = frame.trailers_ref() {
            self.seen.push(Seen::Trailers(trailers.clone()));
        }
        if self.bytes > REPLAY_LIMIT {
            self.overflown = true;
        }
    }
}

type Error = Box<dyn std::error::Error + Send + Sync>;

impl Reader {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let mut inner = self.tape.0.borrow_mut();
        if inner.attempt != self.attempt {
            return Poll::Ready(Some(Err(Superseded.into())));
        }
        if let Some(seen) = inner.seen.get(self.position).cloned() {
            self.position += 1;
            if inner.overflown && self.position == inner.seen.len() {
                inner.seen = Vec::new();
                self.position = 0;
            }
            return Poll::Ready(Some(Ok(match seen {
                Seen::Data(data) => Frame::data(data),
                Seen::Trailers(trailers) => Frame::trailers(trailers),
            })));
        }
        if inner.ended {
            return Poll::Ready(None);
        }
        match Pin::new(&mut inner.source).poll_frame(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => {
                inner.ended = true;
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error))),
            Poll::Ready(Some(Ok(frame))) => {
                inner.remember(&frame);
                if inner.overflown {
                    inner.seen = Vec::new();
                    self.position = 0;
                } else {
                    self.position = inner.seen.len();
                }
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }
}

/// The frame; if it is the trailers, without what these may not say.
pub(crate) fn clean_trailers(mut frame: Frame<Bytes>, trust: Trust) -> Frame<Bytes> {
    if let Some(trailers) = frame.trailers_mut() {
        headers::clean_trailers(trailers, trust);
    }
    frame
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Once(body) => Pin::new(body).poll_frame(cx),
            Self::Taped(reader) => reader.poll(cx),
        };
        frame.map_ok(|frame| clean_trailers(frame, Trust::Outside))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Once(body) => body.is_end_stream(),
            Self::Taped(reader) => {
                let inner = reader.tape.0.borrow();
                reader.position >= inner.seen.len() && (inner.ended || inner.source.is_end_stream())
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Once(body) => body.size_hint(),
            // Asked before the first frame only: the size of the whole.
            Self::Taped(reader) => reader.tape.0.borrow().size,
        }
    }
}

//! A request's body as it comes from the client: not longer than it may be, and not slower.

use std::cell::Cell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::alarm::Alarm;
use crate::conformance::Copy;
use crate::fault::{Code, Fault};

/// What a client may send, and how long it may pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// Bytes.
    pub most: u64,
    /// The longest time without a byte, before the answer has begun.
    pub pause: Duration,
}

/// A body that is looked after, unless it comes from a service of the app.
pub(crate) struct Intake {
    source: Source,
    watch: Option<Box<Watch>>,
    /// Where what passes is noted.
    copy: Option<Copy>,
}

enum Source {
    Client(Incoming),
    /// All of it was read before.
    Read(Full<Bytes>),
}

impl Source {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self {
            Self::Client(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Self::Read(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
        }
    }
}

struct Watch {
    allowed: Allowance,
    /// Bytes so far.
    taken: u64,
    waiting_since: Option<Instant>,
    alarm: Alarm,
    state: State,
}

/// How a client's body is coming along, as its request sees it.
#[derive(Debug, Clone)]
pub(crate) struct State(Rc<Cell<Phase>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The replica takes its time, or nothing has been asked for yet.
    Flowing,
    /// The client has to send more.
    Waiting,
    TooLong,
    TooSlow,
    /// An answer has begun: what comes now is a conversation, and pauses belong to that.
    Answered,
}

#[derive(Debug, thiserror::Error)]
#[error("the client's body is longer or slower than it may be")]
struct Refused;

type Error = Box<dyn std::error::Error + Send + Sync>;

impl Intake {
    /// A body that may be as long and slow as it is.
    pub(crate) fn free(body: Incoming) -> Self {
        Self { source: Source::Client(body), watch: None, copy: None }
    }

    /// A body with limits.
    ///
    /// # Errors
    /// It says itself that it is longer than it may be.
    pub(crate) fn limited(body: Incoming, allowed: Allowance) -> Result<(Self, State), Fault> {
        let state = State(Rc::new(Cell::new(Phase::Flowing)));
        if body.size_hint().lower() > allowed.most {
            return Err(too_long(allowed.most));
        }
        let watch =
            Watch { allowed, taken: 0, waiting_since: None, alarm: Alarm::default(), state: state.clone() };
        Ok((Self { source: Source::Client(body), watch: Some(Box::new(watch)), copy: None }, state))
    }
}

impl Intake {
    /// A body that was read already.
    pub(crate) fn read(body: Bytes) -> Self {
        Self { source: Source::Read(Full::new(body)), watch: None, copy: None }
    }

    /// Notes all that passes from here on.
    pub(crate) fn copy_to(&mut self, copy: Copy) {
        self.copy = Some(copy);
    }

    fn note(&self, polled: &Poll<Option<Result<Frame<Bytes>, Error>>>) {
        let (Some(copy), Poll::Ready(frame)) = (&self.copy, polled) else { return };
        match frame {
            None => copy.ended(),
            Some(Ok(frame)) => {
                if let Some(piece) = frame.data_ref() {
                    copy.take(piece);
                }
                if self.source_ended() {
                    copy.ended();
                }
            }
            Some(Err(_)) => {}
        }
    }

    /// Whoever passes a body on of which the length is known does not ask for its end.
    fn source_ended(&self) -> bool {
        match &self.source {
            Source::Client(body) => body.is_end_stream(),
            Source::Read(body) => body.is_end_stream(),
        }
    }
}

impl State {
    /// The answer has begun.
    pub(crate) fn answered(&self) {
        if matches!(self.0.get(), Phase::Flowing | Phase::Waiting) {
            self.0.set(Phase::Answered);
        }
    }

    /// Whether more has to come from the client before anybody can answer.
    pub(crate) fn is_waiting(&self) -> bool {
        self.0.get() == Phase::Waiting
    }

    /// What the client is told if its body is why there is no answer.
    pub(crate) fn fault(&self, allowed: Allowance) -> Option<Fault> {
        match self.0.get() {
            Phase::TooLong => Some(too_long(allowed.most)),
            Phase::TooSlow => {
                Some(Fault::new(Code::SlowBody, format!("nothing came for {:?}", allowed.pause)))
            }
            Phase::Waiting => Some(Fault::new(
                Code::SlowBody,
                "the time for this request ended before all of its body came",
            )),
            Phase::Flowing | Phase::Answered => None,
        }
    }
}

fn too_long(most: u64) -> Fault {
    Fault::new(Code::LongBody, format!("a body may have {most} bytes here"))
}

impl Watch {
    fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.state.0.get() == Phase::Answered {
            return Poll::Pending;
        }
        self.state.0.set(Phase::Waiting);
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        if self.alarm.poll(cx, since + self.allowed.pause).is_pending() {
            return Poll::Pending;
        }
        // It may have begun while the alarm was set.
        if self.state.0.get() == Phase::Answered {
            return Poll::Pending;
        }
        self.state.0.set(Phase::TooSlow);
        Poll::Ready(())
    }

    fn came(&mut self, bytes: usize) -> bool {
        self.waiting_since = None;
        if self.state.is_waiting() {
            self.state.0.set(Phase::Flowing);
        }
        self.taken = self.taken.saturating_add(bytes as u64);
        if self.taken > self.allowed.most {
            self.state.0.set(Phase::TooLong);
            return false;
        }
        true
    }
}

impl Body for Intake {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        let polled = this.source.poll_frame(cx);
        this.note(&polled);
        let Some(watch) = &mut this.watch else { return polled };
        match polled {
            Poll::Pending => watch.poll_pause(cx).map(|()| Some(Err(Refused.into()))),
            Poll::Ready(Some(Ok(frame))) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                Poll::Ready(Some(if watch.came(length) { Ok(frame) } else { Err(Refused.into()) }))
            }
            Poll::Ready(ended) => {
                watch.came(0);
                Poll::Ready(ended)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.source_ended()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Client(body) => body.size_hint(),
            Source::Read(body) => body.size_hint(),
        }
    }
}

impl fmt::Debug for Intake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Intake").field("limited", &self.watch.is_some()).finish_non_exhaustive()
    }
}

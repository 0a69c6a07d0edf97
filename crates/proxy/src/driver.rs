//! Runs one connection of a client to its end, which may be because its time is over.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::activity::{Activity, Phase};
use crate::connection::{LocalExecutor, Stream};
use crate::drain::Pass;
use crate::wire::Wire;

/// A connection that can be asked to end after the requests it has.
pub(crate) trait Graceful: Future<Output = hyper::Result<()>> {
    fn wind_down(self: Pin<&mut Self>);

    /// Whether it is time for that.
    fn poll_last(pass: &mut Pass, cx: &Context<'_>) -> bool;
}

impl<T, S> Graceful for http1::UpgradeableConnection<TokioIo<Wire<T>>, S>
where
    T: Stream,
    Self: Future<Output = hyper::Result<()>>,
    S: hyper::service::HttpService<hyper::body::Incoming, ResBody = crate::respond::Answer>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn wind_down(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }

    /// While it retires, its next answer says that it is the last one: to close without a word would cost the client
    /// the request that it is just sending.
    fn poll_last(pass: &mut Pass, cx: &Context<'_>) -> bool {
        pass.poll_closing(cx)
    }
}

impl<T, S> Graceful for http2::Connection<TokioIo<Wire<T>>, S, LocalExecutor>
where
    T: Stream,
    Self: Future<Output = hyper::Result<()>>,
    S: hyper::service::HttpService<hyper::body::Incoming, ResBody = crate::respond::Answer>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    LocalExecutor: hyper::rt::bounds::Http2ServerConnExec<S::Future, crate::respond::Answer>,
{
    fn wind_down(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }

    /// GOAWAY tells the client which of its requests are still served: none is lost.
    fn poll_last(pass: &mut Pass, cx: &Context<'_>) -> bool {
        pass.poll_retiring(cx)
    }
}

/// Drives a connection, ends it when it is asked to, and closes it when a head does not come or nothing is asked.
///
/// There is one timer per connection. It is looked at when it fires, not moved with every request.
pub(crate) struct Driver<C> {
    connection: Pin<Box<C>>,
    pass: Pass,
    asked: bool,
    activity: Arc<Activity>,
    alarm: Pin<Box<Sleep>>,
}

impl<C: Graceful> Driver<C> {
    pub(crate) fn new(connection: C, pass: Pass, activity: Arc<Activity>) -> Self {
        let first = activity.limit().map_or_else(Instant::now, |(_, end)| Instant::from_std(end));
        let alarm = Box::pin(sleep_until(first));
        Self { connection: Box::pin(connection), pass, asked: false, activity, alarm }
    }

    /// Ready with the present phase when it has lasted too long.
    fn poll_limit(&mut self, cx: &mut Context<'_>) -> Poll<Phase> {
        loop {
            let limit = self.activity.limit().map(|(phase, end)| (phase, Instant::from_std(end)));
            if let Some((_, end)) = limit
                && end < self.alarm.deadline()
            {
                self.alarm.as_mut().reset(end);
            }
            if self.alarm.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let now = Instant::now();
            match limit {
                Some((phase, end)) if end <= now => return Poll::Ready(phase),
                Some((_, end)) => self.alarm.as_mut().reset(end),
                None => self.alarm.as_mut().reset(now + self.activity.idle()),
            }
        }
    }
}

impl<C: Graceful> Future for Driver<C> {
    type Output = hyper::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if !this.asked && C::poll_last(&mut this.pass, cx) {
            this.asked = true;
            this.connection.as_mut().wind_down();
        }
        if let Poll::Ready(ended) = this.connection.as_mut().poll(cx) {
            return Poll::Ready(ended);
        }
        match this.poll_limit(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Phase::Head) => {
                this.activity.expire();
                // It reads once more, which is when the client is told.
                let _ = this.connection.as_mut().poll(cx);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Phase::Idle | Phase::Stuck) => Poll::Ready(Ok(())),
        }
    }
}

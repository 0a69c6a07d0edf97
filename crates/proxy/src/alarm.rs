//! A timer that is set again and again, mostly for later, and nearly never fires.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

/// A timer that belongs to a connection and serves one request after the other.
///
/// Setting it for later costs nothing: it fires at the earlier time, and is moved only then. With time limits of
/// seconds and requests of less than a millisecond, the runtime's timer is touched once for thousands of requests.
#[derive(Debug, Default)]
pub(crate) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Ready once `deadline` has passed.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if deadline < sleep.deadline() {
            sleep.as_mut().reset(deadline);
        }
        loop {
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if deadline <= Instant::now() {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
    }

    /// The output of `future`, unless `deadline` passes first.
    pub(crate) async fn limit<F: Future>(&mut self, deadline: Instant, future: F) -> Option<F::Output> {
        let mut future = std::pin::pin!(future);
        std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => self.poll(cx, deadline).map(|()| None),
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_fires_for_its_deadline_whatever_it_was_set_for_before() {
        let mut alarm = Alarm::default();
        let begun = Instant::now();
        let after = |millis| begun + Duration::from_millis(millis);
        assert_eq!(alarm.limit(after(60_000), ready(1)).await, Some(1));
        for millis in [20, 40] {
            assert_eq!(alarm.limit(after(millis), pending::<()>()).await, None);
            assert!(begun.elapsed() >= Duration::from_millis(millis));
            // Leaves the runtime's timer set for an earlier time than the next deadline.
            let yielding = tokio::task::yield_now();
            assert!(alarm.limit(after(millis + 10), yielding).await.is_some());
        }
    }
}

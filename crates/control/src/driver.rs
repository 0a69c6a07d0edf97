//! Runs reconcilers: wake, look at the state, act, report, sleep.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

/// What one pass did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// What was done, each with its reason, for a person.
    pub steps: Vec<String>,
    /// Look again after this time even if nothing changes.
    pub next: Option<Duration>,
}

/// One loop of the control plane. It acts on the state it finds, never on what woke it, so a missed or doubled
/// wake-up does no harm.
pub trait Reconciler: Send {
    /// Its name in logs.
    const NAME: &'static str;

    /// Looks and acts once.
    fn reconcile(&mut self) -> impl Future<Output = Outcome> + Send;
}

/// What wakes one loop: changes of the states that it looks at, and whoever has a [`Wake::handle`].
pub struct Wake {
    notify: Arc<Notify>,
    stop: CancellationToken,
}

impl Wake {
    /// Nothing yet; the loop ends with `stop`.
    pub fn until(stop: &CancellationToken) -> Self {
        Self { notify: Arc::default(), stop: stop.clone() }
    }

    /// Also every change of `state`, until nobody can change it any more.
    pub fn on<T: Send + Sync + 'static>(self, mut state: watch::Receiver<T>) -> Self {
        let (notify, stop) = (self.notify.clone(), self.stop.clone());
        tokio::spawn(async move {
            while let Some(Ok(())) = stop.run_until_cancelled(state.changed()).await {
                notify.notify_one();
            }
        });
        self
    }

    /// For work of the loop's own that ends at some time.
    pub fn handle(&self) -> Arc<Notify> {
        self.notify.clone()
    }

    /// Waits for the next time; false once the loop is to end.
    pub async fn next(&self) -> bool {
        self.stop.run_until_cancelled(self.notify.notified()).await.is_some()
    }
}

/// Drives one reconciler until it is to end, and gives it back.
pub async fn drive<R: Reconciler>(mut reconciler: R, wake: Wake) -> R {
    loop {
        let outcome = reconciler.reconcile().await;
        for step in &outcome.steps {
            tracing::info!(reconciler = R::NAME, "{step}");
        }
        let pause = async {
            match outcome.next {
                Some(pause) => tokio::time::sleep(pause).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            more = wake.next() => if !more { return reconciler },
            () = pause => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counter(watch::Receiver<u32>, watch::Sender<Vec<u32>>);

    impl Reconciler for Counter {
        const NAME: &'static str = "counter";
        async fn reconcile(&mut self) -> Outcome {
            let seen = *self.0.borrow_and_update();
            self.1.send_modify(|all| all.push(seen));
            Outcome { steps: vec![], next: (seen == 2).then_some(Duration::from_secs(60)) }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_runs_at_once_at_each_change_and_after_the_pause_asked_for() {
        let (state, input) = watch::channel(1);
        let (output, mut seen) = watch::channel(vec![]);
        let stop = CancellationToken::new();
        let wake = Wake::until(&stop).on(input.clone());
        let driver = tokio::spawn(drive(Counter(input, output), wake));
        seen.wait_for(|all| all == &[1]).await.unwrap();
        state.send_replace(2);
        seen.wait_for(|all| all == &[1, 2]).await.unwrap();
        let before = tokio::time::Instant::now();
        seen.wait_for(|all| all == &[1, 2, 2]).await.unwrap();
        assert_eq!(before.elapsed().as_secs(), 60);
        stop.cancel();
        driver.await.unwrap();
    }
}

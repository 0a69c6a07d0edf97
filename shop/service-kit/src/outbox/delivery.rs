//! Hands due messages to the service's own `deliver`, a few per destination at once.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Message, Outbox, Policy, store};
use crate::clock::now_ms;

/// How often the table is looked at when nobody wakes us: messages of other replicas, and pauses that end.
const LOOK: Duration = Duration::from_secs(1);
/// How long deliveries that are on their way may take after the stop. What is cut off is delivered again later.
const LAST_CALLS: Duration = Duration::from_secs(3);
const PRUNE: Duration = Duration::from_secs(3600);

impl Outbox {
    /// Delivers until `stop` is cancelled. `deliver` says why it failed, in words without secrets, for `last_error`.
    pub async fn run<F, D>(self, stop: CancellationToken, deliver: F)
    where
        F: Fn(Message) -> D + Send + Sync + 'static,
        D: Future<Output = Result<(), String>> + Send + 'static,
    {
        let mut underway = Underway::default();
        let mut prune = tokio::time::interval(PRUNE);
        while !stop.is_cancelled() {
            let look = self.send_due(&mut underway, &deliver).await.unwrap_or_else(|error| {
                tracing::warn!(cause = %error, "the outbox cannot be read");
                LOOK
            });
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.wake.notified() => {}
                () = tokio::time::sleep(look) => {}
                () = underway.one_ended() => {}
                _ = prune.tick() => {
                    if let Err(error) = store::prune(&self.db).await {
                        tracing::warn!(cause = %error, "delivered messages could not be forgotten");
                    }
                }
            }
        }
        let _ = tokio::time::timeout(LAST_CALLS, underway.all_ended()).await;
    }

    /// Starts what is due; answers when to look again.
    async fn send_due<F, D>(&self, underway: &mut Underway, deliver: &F) -> Result<Duration, sqlx::Error>
    where
        F: Fn(Message) -> D,
        D: Future<Output = Result<(), String>> + Send + 'static,
    {
        // A lease outlasts the attempt, so that no other replica starts the same one meanwhile.
        let lease_ms = millis(self.policy.timeout) + 30_000;
        for destination in store::due_destinations(&self.db).await? {
            let free = self.policy.per_destination.saturating_sub(underway.to(&destination));
            if free == 0 {
                continue;
            }
            let most = i64::try_from(free).unwrap_or(i64::MAX);
            for message in store::lease(&self.db, &destination, most, lease_ms).await? {
                let attempt = tokio::time::timeout(self.policy.timeout, deliver(message.clone()));
                underway.add(&destination, self.clone().attempt(message, attempt));
            }
        }
        let next = store::next_due(&self.db).await?.map(|due| u64::try_from(due - now_ms()).unwrap_or(0));
        Ok(next.map_or(LOOK, |ms| Duration::from_millis(ms).min(LOOK)))
    }

    async fn attempt(
        self,
        message: Message,
        attempt: impl Future<Output = Result<Result<(), String>, tokio::time::error::Elapsed>>,
    ) {
        let outcome = attempt.await.unwrap_or_else(|_| Err("no answer in time".to_owned()));
        let noted = match outcome {
            Ok(()) => store::delivered(&self.db, &message.id).await,
            Err(error) => {
                let (id, destination, attempt) = (&message.id, &message.destination, message.attempt);
                tracing::warn!(id, destination, attempt, cause = error, "delivery failed");
                let now = now_ms();
                let next = now + millis(pause(&self.policy, attempt));
                store::failed(&self.db, id, &error, next, now - millis(self.policy.give_up_after)).await
            }
        };
        if let Err(error) = noted {
            tracing::warn!(id = message.id, cause = %error, "the outcome of a delivery is not noted: it is repeated later");
        }
    }
}

/// Doubles with each attempt up to the longest, of which a random part of up to a half is taken away.
fn pause(policy: &Policy, attempt: i64) -> Duration {
    let doublings = u32::try_from(attempt.clamp(1, 30) - 1).unwrap_or(0);
    let full = policy.first_pause.saturating_mul(2_u32.saturating_pow(doublings)).min(policy.longest_pause);
    full.mul_f64(1.0 - fastrand::f64() / 2.0)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

/// The deliveries on their way, counted by destination.
#[derive(Default)]
struct Underway {
    tasks: JoinSet<()>,
    destinations: HashMap<tokio::task::Id, String>,
}

impl Underway {
    fn to(&self, destination: &str) -> usize {
        self.destinations.values().filter(|name| *name == destination).count()
    }

    fn add(&mut self, destination: &str, delivery: impl Future<Output = ()> + Send + 'static) {
        let id = self.tasks.spawn(delivery).id();
        self.destinations.insert(id, destination.to_owned());
    }

    /// Waits for the end of one, and for ever if there is none.
    async fn one_ended(&mut self) {
        match self.tasks.join_next_with_id().await {
            Some(ended) => {
                let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
                self.destinations.remove(&id);
            }
            None => std::future::pending().await,
        }
    }

    async fn all_ended(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_the_longest() {
        let policy = Policy::default();
        for (attempt, least, most) in
            [(1, 250, 500), (2, 500, 1000), (5, 4000, 8000), (500, 150_000, 300_000)]
        {
            for _ in 0..50 {
                let pause = pause(&policy, attempt).as_millis();
                assert!((least..=most).contains(&pause), "attempt {attempt}: {pause} ms");
            }
        }
    }
}

//! Sends what is waiting, again and again with growing pauses, until the receiver answers 2xx.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use reqwest::header::CONTENT_TYPE;
use service_kit::clock::now_ms;
use service_kit::db::Db;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::outbox::{self, Message};
use super::signature;

const BATCH: i64 = 50;
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longer than a try takes: whoever took a message and died is given up on after it.
const LEASE_MS: i64 = 30_000;
const LONGEST_PAUSE_MS: i64 = 3_600_000;
/// Without a nudge, for what other replicas left behind.
const LOOK_EVERY: Duration = Duration::from_millis(500);
const KEEP_DELIVERED_MS: i64 = 7 * 24 * 3_600_000;
const CLEAN_EVERY: Duration = Duration::from_secs(3600);

/// Where webhooks go.
#[derive(Clone)]
pub struct Target {
    /// The receiver's address.
    pub url: String,
    /// What the receiver knows us by.
    pub secret: String,
    /// The pause after the first failure, in milliseconds; it doubles after each further one, up to an hour.
    pub first_pause_ms: i64,
}

/// The background work.
pub struct Sender {
    db: Db,
    target: Target,
    client: Client,
    nudge: Arc<Notify>,
}

impl Sender {
    /// `nudge` is notified when something new is waiting.
    ///
    /// # Errors
    /// When the system's TLS roots cannot be read.
    pub fn new(db: Db, target: Target, nudge: Arc<Notify>) -> reqwest::Result<Self> {
        let client = Client::builder().timeout(TIMEOUT).build()?;
        Ok(Self { db, target, client, nudge })
    }

    /// Sends until `stop`. A message under way is finished first.
    pub async fn run(self, stop: CancellationToken) {
        let mut clean = tokio::time::interval(CLEAN_EVERY);
        while !stop.is_cancelled() {
            if let Err(error) = self.send_due().await {
                tracing::warn!(cause = %error, "webhooks could not be read or marked");
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.nudge.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
                _ = clean.tick() => self.clean().await,
            }
        }
    }

    async fn send_due(&self) -> sqlx::Result<()> {
        let now = now_ms();
        let mut conn = self.db.pool().acquire().await?;
        let messages = outbox::due(&mut conn, now, BATCH).await?;
        drop(conn);
        for message in messages {
            let mut tx = self.db.begin_write().await?;
            let taken = outbox::take(&mut tx, &message, now_ms().saturating_add(LEASE_MS)).await?;
            tx.commit().await?;
            if taken {
                self.send(&message).await?;
            }
        }
        Ok(())
    }

    async fn send(&self, message: &Message) -> sqlx::Result<()> {
        let refused = self.post(message).await.err();
        let now = now_ms();
        let mut tx = self.db.begin_write().await?;
        match refused {
            None => outbox::delivered(&mut tx, &message.id, now).await?,
            Some(why) => {
                let pause = pause_ms(self.target.first_pause_ms, message.tries);
                tracing::warn!(
                    webhook = message.id,
                    tries = message.tries + 1,
                    pause,
                    why,
                    "webhook not taken"
                );
                outbox::put_off(&mut tx, &message.id, now.saturating_add(pause)).await?;
            }
        }
        tx.commit().await
    }

    async fn post(&self, message: &Message) -> Result<(), String> {
        let signed = signature::sign(self.target.secret.as_bytes(), now_ms() / 1000, message.body.as_bytes());
        let request = self.client.post(&self.target.url).header(CONTENT_TYPE, "application/json");
        let request = request.header(signature::HEADER, signed).body(message.body.clone());
        let response = request.send().await.map_err(|error| error.without_url().to_string())?;
        let status = response.status();
        if status.is_success() { Ok(()) } else { Err(format!("answered {status}")) }
    }

    async fn clean(&self) {
        let work = async {
            let mut tx = self.db.begin_write().await?;
            outbox::forget_delivered(&mut tx, now_ms() - KEEP_DELIVERED_MS).await?;
            tx.commit().await
        };
        if let Err(error) = work.await {
            tracing::warn!(cause = %error, "delivered webhooks could not be forgotten");
        }
    }
}

/// The pause after the `tries`-th failure, counted from 0.
fn pause_ms(first: i64, tries: i64) -> i64 {
    let doublings = u32::try_from(tries.clamp(0, 30)).unwrap_or(30);
    first.saturating_mul(1_i64 << doublings).min(LONGEST_PAUSE_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_an_hour() {
        let pauses: Vec<_> = (0..4).map(|tries| pause_ms(1000, tries)).collect();
        assert_eq!(pauses, [1000, 2000, 4000, 8000]);
        assert_eq!(pause_ms(1000, i64::MAX), LONGEST_PAUSE_MS);
        assert_eq!(pause_ms(i64::MAX, 5), LONGEST_PAUSE_MS);
    }
}

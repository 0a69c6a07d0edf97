//! Events that leave a service: written in the transaction of what they tell, delivered later, at least once.
//!
//! [`Outbox::enqueue`] adds `{id, type, created, data}` for a destination (a callee's name, a webhook's id) within a
//! [`Tx`]. [`Outbox::run`], as background work of the app, hands due messages to the service's own `deliver`. A failed one
//! is tried again with exponential back-off and jitter until it is too old. Destinations do not wait for one another.
//! Several replicas share the table: a message is leased to one of them at a time. The order of delivery is not promised,
//! and a receiver must drop repeats by `id`.

mod delivery;
mod store;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::clock::{new_id, now_ms, rfc3339};
use crate::db::{Db, Migration, Tx};
use crate::problem::Problem;

/// The table that this module needs; append it to the service's migrations.
pub const MIGRATION: Migration = ("service-kit/0001_outbox_messages", include_str!("schema.sql"));

/// What is sent: the body of every message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event<T> {
    /// Unique: receivers drop repeats by it.
    pub id: String,
    /// What happened, such as `order.confirmed`.
    #[serde(rename = "type")]
    pub kind: String,
    /// When it happened, RFC 3339.
    pub created: String,
    /// What belongs to it.
    pub data: T,
}

/// A message to be delivered now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The event's id.
    pub id: String,
    /// Where it goes.
    pub destination: String,
    /// The event as JSON: the same bytes at every attempt, so that they can be signed.
    pub payload: String,
    /// This is attempt number so many, from 1.
    pub attempt: i64,
}

/// How delivery is tried again.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// The pause after the first failure; it doubles with each further one, less a random part.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// A message older than this is given up (state `dead`) when it fails once more.
    pub give_up_after: Duration,
    /// How many messages are on their way to one destination at once.
    pub per_destination: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(300),
            timeout: Duration::from_secs(10),
            give_up_after: Duration::from_secs(3 * 24 * 3600),
            per_destination: 4,
        }
    }
}

/// A service's outgoing events. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Outbox {
    db: Db,
    policy: Policy,
    wake: Arc<Notify>,
}

impl Outbox {
    /// Events kept in this database, which has [`MIGRATION`].
    #[must_use]
    pub fn new(db: Db, policy: Policy) -> Self {
        Self { db, policy, wake: Arc::new(Notify::new()) }
    }

    /// Adds an event to the transaction of what it tells; answers its id. Call [`Outbox::wake`] after the commit.
    ///
    /// # Errors
    /// A database failure, or data that cannot be JSON.
    pub async fn enqueue(
        &self,
        tx: &mut Tx,
        destination: &str,
        kind: &str,
        data: &impl Serialize,
    ) -> Result<String, Problem> {
        let now = now_ms();
        let event = Event { id: new_id(), kind: kind.to_owned(), created: rfc3339(now), data };
        let payload = serde_json::to_string(&event).map_err(Problem::internal)?;
        store::insert(tx, &event.id, destination, &payload, now).await?;
        Ok(event.id)
    }

    /// Looks for due messages at once instead of within a second.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// How many messages wait for delivery, and how many were given up.
    ///
    /// # Errors
    /// A database failure.
    pub async fn backlog(&self) -> Result<(i64, i64), sqlx::Error> {
        store::backlog(&self.db).await
    }
}

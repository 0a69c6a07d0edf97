//! What the service is made of, and how it is put together from its environment.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use service_kit::auth::Auth;
use service_kit::config::{Config, StartError};
use service_kit::db::Db;
use service_kit::http::Callee;
use service_kit::outbox::{self, Event, Message, Outbox, Policy};
use service_kit::{idempotency, start};
use tokio_util::sync::CancellationToken;

use crate::callees::sagas::{self, Saga};
use crate::store::keys;
use crate::{routes, store};

/// The service that learns from confirmed orders.
pub const RECEIVER: &str = "recommendations";
/// The engine that carries out the sagas.
pub const SAGAS: &str = "sagas";
/// How long a checkout request waits before it answers that the result is not known yet, in milliseconds.
const REQUEST_BUDGET_MS: u64 = 12_000;
/// How often old keys are forgotten.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);

/// The service's parts. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Service {
    parts: Arc<Parts>,
}

/// What [`Service`] gives access to.
#[derive(Debug)]
pub struct Parts {
    /// Its own database.
    pub db: Db,
    /// Products and prices.
    pub catalog: Callee,
    /// Whoever carries out the sagas.
    pub sagas: Callee,
    /// Who learns from confirmed orders.
    pub recommendations: Callee,
    /// Events that wait to be delivered, and sagas that wait to be begun.
    pub outbox: Outbox,
    /// How long a checkout request waits before it answers that the result is not known yet.
    pub request_budget: Duration,
}

impl std::ops::Deref for Service {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

/// Builds the service from its environment: `DATABASE_URL`, `SAGAS_URL`, and `<NAME>_URL` of accounts, catalog and recommendations.
///
/// # Errors
/// A variable is missing or not understood, or the database cannot be opened.
pub async fn build(config: Config) -> Result<start::App, StartError> {
    let auth = Auth::from_config(&config)?;
    app(&config, auth).await
}

/// The same with a given way to check access tokens.
///
/// # Errors
/// As [`build`].
pub async fn app(config: &Config, auth: Auth) -> Result<start::App, StartError> {
    let callee = |name| Callee::from_config(config, name);
    let (catalog, sagas, recommendations) = (callee("catalog")?, callee(SAGAS)?, callee(RECEIVER)?);
    let request_budget = Duration::from_millis(config.parsed("CHECKOUT_BUDGET_MS", REQUEST_BUDGET_MS)?);
    let [carts, orders, with_sagas] = store::MIGRATIONS;
    let migrations = [carts, orders, with_sagas, idempotency::MIGRATION, outbox::MIGRATION];
    let db = Db::open(&config.database_url, &migrations).await?;
    let outbox = Outbox::new(db.clone(), Policy::default());
    let parts =
        Parts { db: db.clone(), catalog, sagas, recommendations, outbox: outbox.clone(), request_budget };
    let service = Service { parts: Arc::new(parts) };
    let (sender, pruned) = (service.clone(), db.clone());
    Ok(start::App::new(db, routes::router(service))
        .auth(auth)
        .prune_idempotency_keys()
        .background("checkout keys", |stop| prune(pruned, stop))
        .background("outbox", |stop| outbox.run(stop, move |message| deliver(sender.clone(), message))))
}

/// Forgets old keys until it is told to stop.
async fn prune(db: Db, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(PRUNE_EVERY);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        if let Err(error) = keys::prune(&db).await {
            tracing::warn!(cause = %error, "old checkout keys could not be forgotten");
        }
    }
}

/// What a message to the saga engine says.
#[derive(Deserialize)]
struct ToBegin {
    order_id: String,
}

/// Hands a message to its receiver, which drops repeats: of an event by its id, of a saga by the order's.
async fn deliver(service: Service, message: Message) -> Result<(), String> {
    if message.destination == SAGAS {
        let event: Event<ToBegin> =
            serde_json::from_str(&message.payload).map_err(|error| error.to_string())?;
        let begun = sagas::begin(&service, Saga::Checkout, &event.data.order_id, Duration::ZERO).await;
        return begun.map(drop).map_err(|error| error.to_string());
    }
    let event: serde_json::Value =
        serde_json::from_str(&message.payload).map_err(|error| error.to_string())?;
    let call = service.recommendations.post("/events/order-confirmed");
    call.idempotency_key(&message.id).json(&event).send().await.map(drop).map_err(|error| error.to_string())
}

//! What the service is made of, and how it is put together from its environment.

use std::sync::Arc;
use std::time::Duration;

use service_kit::auth::Auth;
use service_kit::config::{Config, StartError};
use service_kit::db::Db;
use service_kit::http::Callee;
use service_kit::outbox::{self, Message, Outbox, Policy};
use service_kit::{idempotency, start};

use crate::{checkout, routes, store};

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// How long a checkout request goes on before it answers that the result is not known yet.
    pub request_budget: Duration,
    /// How long one call for a step may take; a payment may be waiting for a bank.
    pub call: Duration,
    /// How long the units of an order are held.
    pub hold: Duration,
    /// The age at which an order without an authorized payment is given up. Shorter than `hold`.
    pub give_up_after: Duration,
    /// How long an order is left to whoever works on it without a sign of life. Longer than one call may take.
    pub lease: Duration,
    /// How often recovery looks for orders that nobody works on.
    pub recovery_interval: Duration,
}

impl Timing {
    fn from_config(config: &Config) -> Result<Self, StartError> {
        let millis = |name: &str, default: u64| config.parsed(name, default).map(Duration::from_millis);
        Ok(Self {
            request_budget: millis("CHECKOUT_BUDGET_MS", 12_000)?,
            call: millis("CHECKOUT_CALL_MS", 10_000)?,
            hold: millis("CHECKOUT_HOLD_MS", 600_000)?,
            give_up_after: millis("CHECKOUT_GIVE_UP_MS", 300_000)?,
            lease: millis("CHECKOUT_LEASE_MS", 15_000)?,
            recovery_interval: millis("CHECKOUT_RECOVERY_MS", 1_000)?,
        })
    }
}

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
    /// Stock.
    pub inventory: Callee,
    /// Money.
    pub payments: Callee,
    /// Events that wait to be delivered.
    pub outbox: Outbox,
    /// How long things may take.
    pub timing: Timing,
}

impl std::ops::Deref for Service {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

/// Builds the service from its environment: `DATABASE_URL`, and `<NAME>_URL` of accounts, catalog, inventory, payments and
/// recommendations.
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
    let (catalog, inventory, payments) = (callee("catalog")?, callee("inventory")?, callee("payments")?);
    let recommendations = callee("recommendations")?;
    let timing = Timing::from_config(config)?;
    let [carts, orders] = store::MIGRATIONS;
    let migrations = [carts, orders, idempotency::MIGRATION, outbox::MIGRATION];
    let db = Db::open(&config.database_url, &migrations).await?;
    let outbox = Outbox::new(db.clone(), Policy::default());
    let parts = Parts { db: db.clone(), catalog, inventory, payments, outbox: outbox.clone(), timing };
    let service = Service { parts: Arc::new(parts) };
    let recovering = service.clone();
    Ok(start::App::new(db, routes::router(service))
        .auth(auth)
        .prune_idempotency_keys()
        .background("recovery", |stop| checkout::recover(recovering, stop))
        .background("outbox", |stop| {
            outbox.run(stop, move |message| deliver(recommendations.clone(), message))
        }))
}

/// Hands an event to its receiver, which drops repeats by the event's id.
async fn deliver(recommendations: Callee, message: Message) -> Result<(), String> {
    let event: serde_json::Value =
        serde_json::from_str(&message.payload).map_err(|error| error.to_string())?;
    let call = recommendations.post("/events/order-confirmed").idempotency_key(&message.id).json(&event);
    call.send().await.map(drop).map_err(|error| error.to_string())
}

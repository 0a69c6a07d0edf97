//! From the environment to the service.

use std::sync::Arc;
use std::time::Duration;

use service_kit::auth::Auth;
use service_kit::config::{Config, StartError};
use service_kit::db::{Db, Migration};
use service_kit::outbox::{Outbox, Policy};
use service_kit::start::App;

use crate::cashier::Cashier;
use crate::provider::{Provider, Stripe, TestProvider};
use crate::webhooks::Target;
use crate::{routes, webhooks, workers};

/// The schema, in order.
pub const MIGRATIONS: &[Migration] = &[
    ("payments/0001_payments", include_str!("../migrations/0001_payments.sql")),
    ("payments/0002_test_provider", include_str!("../migrations/0002_test_provider.sql")),
    service_kit::idempotency::MIGRATION,
    service_kit::outbox::MIGRATION,
];

/// What can be set.
#[derive(Clone)]
pub struct Settings {
    /// How long an authorization stands: `AUTHORIZATION_TTL_SECONDS`, 7 days by default.
    pub authorization: Duration,
    /// How often expired authorizations and missing answers are looked for: `SWEEP_INTERVAL_MS`, 1000 by default.
    pub look_every: Duration,
    /// `WEBHOOK_URL` with `WEBHOOK_SECRET`, and `WEBHOOK_RETRY_MS`, 1000 by default.
    pub webhook: Option<Target>,
}

impl Settings {
    /// Reads the environment.
    ///
    /// # Errors
    /// A variable is not a positive whole number, or a webhook has no secret.
    pub fn from_config(config: &Config) -> Result<Self, StartError> {
        let webhook = match (config.var("WEBHOOK_URL"), config.var("WEBHOOK_SECRET")) {
            (None, _) => None,
            (Some(url), Some(secret)) => Some(Target {
                url: url.to_owned(),
                secret: secret.to_owned(),
                first_pause: Duration::from_millis(positive(config, "WEBHOOK_RETRY_MS", 1000)?),
            }),
            (Some(_), None) => {
                let hint = "WEBHOOK_URL is set, and webhooks are signed: set a long random secret";
                return Err(StartError::Missing { name: "WEBHOOK_SECRET".to_owned(), hint });
            }
        };
        Ok(Self {
            authorization: Duration::from_secs(positive(config, "AUTHORIZATION_TTL_SECONDS", 7 * 24 * 3600)?),
            look_every: Duration::from_millis(positive(config, "SWEEP_INTERVAL_MS", 1000)?),
            webhook,
        })
    }
}

fn positive(config: &Config, name: &str, default: u32) -> Result<u64, StartError> {
    match config.parsed(name, default)? {
        0 => Err(StartError::Invalid { name: name.to_owned(), why: "it must be at least 1".to_owned() }),
        number => Ok(u64::from(number)),
    }
}

/// Builds the service from its environment: database, provider, routes, background work.
///
/// # Errors
/// The environment or the database cannot be used.
pub async fn build(config: Config) -> Result<App, StartError> {
    let settings = Settings::from_config(&config)?;
    let auth = Auth::from_config(&config)?;
    let db = Db::open(&config.database_url, MIGRATIONS).await?;
    let provider = provider(&config, &db)?;
    assemble(db, auth, provider, settings)
}

/// The provider that `PAYMENTS_PROVIDER` names: `test` (the default; `TEST_PROVIDER_SLOW_MS` is how late the slow
/// method answers, 2000 by default) or `stripe` (with `STRIPE_SECRET_KEY`; `STRIPE_URL` for another address,
/// `STRIPE_TIMEOUT_MS` for another patience than 20 000).
fn provider(config: &Config, db: &Db) -> Result<Arc<dyn Provider>, StartError> {
    match config.var("PAYMENTS_PROVIDER").unwrap_or("test") {
        "test" => {
            let slow = Duration::from_millis(config.parsed("TEST_PROVIDER_SLOW_MS", 2000)?);
            Ok(Arc::new(TestProvider::new(db.clone(), slow)))
        }
        "stripe" => {
            let hint = "the secret key of the Stripe account, sk_…";
            let key = config.var("STRIPE_SECRET_KEY");
            let key = key.ok_or(StartError::Missing { name: "STRIPE_SECRET_KEY".to_owned(), hint })?;
            let base = config.var("STRIPE_URL").unwrap_or("https://api.stripe.com");
            let timeout = Duration::from_millis(positive(config, "STRIPE_TIMEOUT_MS", 20_000)?);
            let stripe = Stripe::new(base, key.to_owned(), timeout).map_err(StartError::prepare)?;
            Ok(Arc::new(stripe))
        }
        _ => Err(StartError::Invalid {
            name: "PAYMENTS_PROVIDER".to_owned(),
            why: "it must be test or stripe".to_owned(),
        }),
    }
}

/// The service from its parts.
///
/// # Errors
/// The webhook sender cannot be made.
pub fn assemble(
    db: Db,
    auth: Auth,
    provider: Arc<dyn Provider>,
    settings: Settings,
) -> Result<App, StartError> {
    let webhook = settings.webhook.map(|target| (outbox(&db, &target), target));
    let lifetime_ms = i64::try_from(settings.authorization.as_millis()).unwrap_or(i64::MAX);
    let cashier =
        Cashier::new(db.clone(), provider, lifetime_ms, webhook.as_ref().map(|(outbox, _)| outbox.clone()));
    let every = settings.look_every;
    let (resolving, expiring) = ((cashier.clone(), db.clone()), (cashier.clone(), db.clone()));
    let mut app = App::new(db.clone(), routes::router(db, cashier))
        .auth(auth)
        .prune_idempotency_keys()
        .background("resolver", move |stop| workers::resolve(resolving.0, resolving.1, every, stop))
        .background("expiry", move |stop| workers::expire(expiring.0, expiring.1, every, stop));
    if let Some((outbox, target)) = webhook {
        let client = webhooks::client().map_err(StartError::prepare)?;
        app = app.background("webhooks", |stop| webhooks::send_until(stop, outbox, client, target));
    }
    Ok(app)
}

fn outbox(db: &Db, target: &Target) -> Outbox {
    Outbox::new(db.clone(), Policy { first_pause: target.first_pause, ..Policy::default() })
}

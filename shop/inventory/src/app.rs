//! From the environment to the service.

use std::time::Duration;

use service_kit::auth::Auth;
use service_kit::clock::now_ms;
use service_kit::config::{Config, StartError};
use service_kit::db::{Db, Migration};
use service_kit::start::App;

use crate::domain::Line;
use crate::{routes, seed, store, sweeper};

/// The schema, in order.
pub const MIGRATIONS: &[Migration] = &[
    ("inventory/0001_stock", include_str!("../migrations/0001_stock.sql")),
    service_kit::idempotency::MIGRATION,
];

/// What can be set.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long a hold lasts when its maker does not say: `RESERVATION_TTL_SECONDS`, 600 by default.
    pub hold: Duration,
    /// How often lapsed holds are looked for: `SWEEP_INTERVAL_MS`, 1000 by default.
    pub sweep_every: Duration,
}

impl Settings {
    /// Reads the environment.
    ///
    /// # Errors
    /// A variable is not a positive whole number.
    pub fn from_config(config: &Config) -> Result<Self, StartError> {
        let positive = |name: &str, default: u32| match config.parsed(name, default)? {
            0 => Err(StartError::Invalid { name: name.to_owned(), why: "it must be at least 1".to_owned() }),
            number => Ok(u64::from(number)),
        };
        Ok(Self {
            hold: Duration::from_secs(positive("RESERVATION_TTL_SECONDS", 600)?),
            sweep_every: Duration::from_millis(positive("SWEEP_INTERVAL_MS", 1000)?),
        })
    }
}

/// Builds the service from its environment: database, first stock, routes, sweeper.
///
/// # Errors
/// The environment, the database or the seed cannot be used.
pub async fn build(config: Config) -> Result<App, StartError> {
    let db = Db::open(&config.database_url, MIGRATIONS).await?;
    let settings = Settings::from_config(&config)?;
    let auth = Auth::from_config(&config)?;
    let lines = seed::seed_lines().map_err(StartError::prepare)?;
    assemble(db, auth, settings, &lines).await
}

/// The same from its parts.
///
/// # Errors
/// The first stock cannot be written.
pub async fn assemble(
    db: Db,
    auth: Auth,
    settings: Settings,
    first_stock: &[Line],
) -> Result<App, StartError> {
    let added = put_on_shelf(&db, first_stock).await.map_err(StartError::prepare)?;
    if added > 0 {
        tracing::info!(skus = added, "first stock put on the shelf");
    }
    let sweeping = (db.clone(), settings.sweep_every);
    let app = App::new(db.clone(), routes::router(db, &settings))
        .auth(auth)
        .prune_idempotency_keys()
        .background("sweeper", move |stop| sweeper::run(sweeping.0, sweeping.1, stop));
    Ok(app)
}

async fn put_on_shelf(db: &Db, lines: &[Line]) -> sqlx::Result<usize> {
    let mut tx = db.begin_write().await?;
    let added = store::seed(&mut tx, lines, now_ms()).await?;
    tx.commit().await?;
    Ok(added)
}

//! Puts the service together.

use service_kit::auth::Auth;
use service_kit::config::{Config, StartError};
use service_kit::db::{Db, Migration};
use service_kit::start::App;

use crate::{routes, store};

const MIGRATIONS: &[Migration] = &[("0001_catalog", include_str!("../migrations/0001_catalog.sql"))];

/// What every handler can reach. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Catalog {
    pub db: Db,
}

/// The service for this environment, which names accounts (`ACCOUNTS_URL`) for the keys that admins' tokens are signed with.
///
/// # Errors
/// A variable cannot be understood, or the database cannot be used.
pub async fn build(config: Config) -> Result<App, StartError> {
    let auth = Auth::from_config(&config)?;
    build_with(&config, auth).await
}

/// The same with another way to check tokens, for tests.
///
/// # Errors
/// The database cannot be used.
pub async fn build_with(config: &Config, auth: Auth) -> Result<App, StartError> {
    let db = Db::open(&config.database_url, MIGRATIONS).await?;
    let seeded = store::seed::fill_if_empty(&db).await.map_err(StartError::prepare)?;
    if seeded > 0 {
        tracing::info!(products = seeded, "an empty catalog was seeded");
    }
    let catalog = Catalog { db: db.clone() };
    Ok(App::new(db, routes::all().with_state(catalog)).auth(auth))
}

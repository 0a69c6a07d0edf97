//! Puts the service together.

use std::sync::Arc;
use std::time::Duration;

use service_kit::auth::Auth;
use service_kit::config::{Config, StartError};
use service_kit::db::{Db, Migration};
use service_kit::start::App;
use tokio_util::sync::CancellationToken;

use crate::domain::customer::{Email, NewCustomer};
use crate::domain::password::{Cost, Hasher};
use crate::domain::throttle::Limits;
use crate::domain::token::Signer;
use crate::routes;
use crate::store::{customers, keys, sessions, throttle};

const MIGRATIONS: &[Migration] = &[("0001_accounts", include_str!("../migrations/0001_accounts.sql"))];
const PRUNE: Duration = Duration::from_secs(3600);

/// What every handler can reach. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Accounts {
    pub db: Db,
    pub hasher: Hasher,
    pub signer: Arc<Signer>,
    pub limits: Limits,
}

/// The service for this environment: `SHOP_ADMIN_EMAIL` and `SHOP_ADMIN_PASSWORD` make the first admin;
/// `PASSWORD_MEMORY_KIB` and `PASSWORD_PASSES` raise the cost of password hashes; `SIGN_IN_FREE_PER_ACCOUNT` and
/// `SIGN_IN_FREE_PER_ADDRESS` say how many failed sign-ins have no consequence.
///
/// # Errors
/// A variable cannot be understood, or the database cannot be used.
pub async fn build(config: Config) -> Result<App, StartError> {
    let db = Db::open(&config.database_url, MIGRATIONS).await?;
    let cost = Cost::new(config.parsed("PASSWORD_MEMORY_KIB", 0)?, config.parsed("PASSWORD_PASSES", 0)?);
    let hasher = Hasher::new(cost).map_err(StartError::prepare)?;
    seed_admin(&db, &hasher, &config).await?;
    let set = keys::load_or_create(&db).await.map_err(StartError::prepare)?;
    let signer = Arc::new(Signer::new(&set).map_err(StartError::prepare)?);
    let defaults = Limits::default();
    let limits = Limits {
        account: config.parsed("SIGN_IN_FREE_PER_ACCOUNT", defaults.account)?,
        address: config.parsed("SIGN_IN_FREE_PER_ADDRESS", defaults.address)?,
    };
    let auth = Auth::fixed(signer.published());
    let accounts = Accounts { db: db.clone(), hasher, signer, limits };
    let pruned = db.clone();
    Ok(App::new(db, routes::all().with_state(accounts))
        .auth(auth)
        .background("pruning", |stop| prune(pruned, stop)))
}

/// An address that is a customer's already is left alone: whoever registered it must not become an admin by it.
async fn seed_admin(db: &Db, hasher: &Hasher, config: &Config) -> Result<(), StartError> {
    let (Some(email), Some(password)) = (config.var("SHOP_ADMIN_EMAIL"), config.var("SHOP_ADMIN_PASSWORD"))
    else {
        return Ok(());
    };
    let email = Email::parse(email).ok_or_else(|| StartError::Invalid {
        name: "SHOP_ADMIN_EMAIL".into(),
        why: "it is not an e-mail address".into(),
    })?;
    if let Some(known) = customers::by_email(db, &email).await.map_err(StartError::prepare)? {
        if known.role != service_kit::auth::Role::Admin {
            tracing::warn!("SHOP_ADMIN_EMAIL belongs to a customer who is not an admin: no admin was made");
        }
        return Ok(());
    }
    let turn = hasher.turn().await.map_err(StartError::prepare)?;
    let hash = hasher.hash(&turn, password.to_owned()).await.map_err(StartError::prepare)?;
    let admin = NewCustomer { email, name: "Admin".into(), role: service_kit::auth::Role::Admin };
    // None: another replica has just made it.
    let made = customers::insert(db, &admin, &hash).await.map_err(StartError::prepare)?;
    tracing::info!(made = made.is_some(), "the admin is there");
    Ok(())
}

async fn prune(db: Db, stop: CancellationToken) {
    let mut hourly = tokio::time::interval(PRUNE);
    while stop.run_until_cancelled(hourly.tick()).await.is_some() {
        let pruned = async {
            sessions::prune(&db).await?;
            throttle::prune(&db).await
        };
        if let Err(error) = pruned.await {
            tracing::warn!(cause = %error, "what has expired could not be forgotten");
        }
    }
}

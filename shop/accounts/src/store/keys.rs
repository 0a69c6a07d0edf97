//! The table of signing keys, which all replicas share.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use service_kit::clock::{new_id, now_ms};
use service_kit::db::Db;
use service_kit::problem::Problem;

use crate::domain::token::StoredKey;

/// The keys, newest first; the first replica to ask makes one.
pub async fn load_or_create(db: &Db) -> Result<Vec<StoredKey>, Problem> {
    let mut tx = db.begin_write().await?;
    tx.lock("accounts/signing-keys").await?;
    let rows: Vec<(String, String, String)> =
        sqlx::query_as("SELECT kid, pkcs8, public_x FROM signing_keys ORDER BY created_at DESC, kid DESC")
            .fetch_all(&mut *tx)
            .await?;
    if !rows.is_empty() {
        return Ok(rows
            .into_iter()
            .map(|(kid, pkcs8, public_x)| StoredKey { kid, pkcs8, public_x })
            .collect());
    }
    let key = generate()?;
    sqlx::query("INSERT INTO signing_keys (kid, pkcs8, public_x, created_at) VALUES ($1, $2, $3, $4)")
        .bind(&key.kid)
        .bind(&key.pkcs8)
        .bind(&key.public_x)
        .bind(now_ms())
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(vec![key])
}

fn generate() -> Result<StoredKey, Problem> {
    let refused = || Problem::internal("no signing key can be made");
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| refused())?;
    let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).map_err(|_| refused())?;
    Ok(StoredKey {
        kid: new_id(),
        pkcs8: STANDARD.encode(pkcs8.as_ref()),
        public_x: URL_SAFE_NO_PAD.encode(pair.public_key().as_ref()),
    })
}

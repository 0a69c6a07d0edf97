//! Access tokens (signed, short-lived) and refresh tokens (random, used once).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use service_kit::auth::{AUDIENCE, Claims, ISSUER};
use service_kit::clock::{new_id, now_ms};
use service_kit::jwks::{Jwk, JwkSet};
use service_kit::problem::Problem;
use sha2::{Digest, Sha256};

use super::customer::Customer;
use super::password::random;

/// How long an access token is good, in seconds.
pub const ACCESS_SECONDS: i64 = 15 * 60;
/// How long a refresh token is good, in milliseconds. Each refresh gives a new one, so a session lives while it is used.
pub const REFRESH_MS: i64 = 30 * 24 * 60 * 60 * 1000;

/// A signing key as stored.
pub struct StoredKey {
    /// Its name.
    pub kid: String,
    /// The private key, PKCS #8, base64.
    pub pkcs8: String,
    /// The public key, base64url.
    pub public_x: String,
}

/// Signs with the newest key; publishes all.
pub struct Signer {
    kid: String,
    key: EncodingKey,
    published: JwkSet,
}

impl Signer {
    /// A signer with these keys, newest first.
    ///
    /// # Errors
    /// There is none, or it is damaged.
    pub fn new(keys: &[StoredKey]) -> Result<Self, Problem> {
        let newest = keys.first().ok_or_else(|| Problem::internal("there is no signing key"))?;
        let pkcs8 = base64::engine::general_purpose::STANDARD.decode(&newest.pkcs8);
        let pkcs8 = pkcs8.map_err(|_| Problem::internal("the stored signing key is damaged"))?;
        let published = keys.iter().map(|key| Jwk::ed25519(&key.kid, &key.public_x)).collect();
        Ok(Self {
            kid: newest.kid.clone(),
            key: EncodingKey::from_ed_der(&pkcs8),
            published: JwkSet { keys: published },
        })
    }

    /// The public keys.
    pub fn published(&self) -> &JwkSet {
        &self.published
    }

    /// An access token for a customer's session.
    ///
    /// # Errors
    /// It cannot be signed.
    pub fn access_token(&self, customer: &Customer, session: &str) -> Result<String, Problem> {
        let now = now_ms() / 1000;
        let claims = Claims {
            iss: ISSUER.into(),
            aud: AUDIENCE.into(),
            sub: customer.id.clone(),
            sid: session.to_owned(),
            email: customer.email.clone(),
            name: customer.name.clone(),
            role: customer.role,
            iat: now,
            exp: now + ACCESS_SECONDS,
            jti: new_id(),
        };
        let header = Header { kid: Some(self.kid.clone()), ..Header::new(Algorithm::EdDSA) };
        jsonwebtoken::encode(&header, &claims, &self.key)
            .map_err(|_| Problem::internal("a token cannot be signed"))
    }
}

/// A new refresh token, as the client gets it.
///
/// # Errors
/// The system has no randomness.
pub fn new_refresh_token() -> Result<String, Problem> {
    Ok(URL_SAFE_NO_PAD.encode(random(32)?))
}

/// The only form in which a refresh token is stored. It is random, so a plain digest cannot be guessed back.
pub fn refresh_digest(token: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(token.as_bytes()))
}

/// What a sign-in or refresh answers.
#[derive(Serialize)]
pub struct Tokens {
    pub access_token: String,
    pub refresh_token: String,
    pub token_type: &'static str,
    pub expires_in: i64,
}

//! Who asks: customers by their access token (a JWT signed with Ed25519), services by the edge that their call came over.

use std::collections::HashSet;
use std::time::Duration;

use axum::Router;
use axum::extract::{FromRequestParts, Request};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, StatusCode, header};
use jsonwebtoken::{Algorithm, Validation};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, StartError};
use crate::context::CALLER;
use crate::jwks::{JwkSet, KeyCache, NoKey};
use crate::problem::Problem;

/// Who signs the tokens.
pub const ISSUER: &str = "accounts";
/// Whom they are for.
pub const AUDIENCE: &str = "shop";
/// Clocks of two services may differ by so many seconds.
const LEEWAY_SECONDS: u64 = 5;

/// What a customer may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Buys.
    Customer,
    /// Runs the shop.
    Admin,
}

/// The claims of an access token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// [`ISSUER`].
    pub iss: String,
    /// [`AUDIENCE`].
    pub aud: String,
    /// The customer's id.
    pub sub: String,
    /// The session's id, which a sign-out ends.
    #[serde(default)]
    pub sid: String,
    /// The e-mail address. Never log it.
    pub email: String,
    /// The name.
    pub name: String,
    /// What the customer may do.
    pub role: Role,
    /// When it was made, unix seconds.
    pub iat: i64,
    /// When it ends, unix seconds.
    pub exp: i64,
    /// The token's own id.
    pub jti: String,
}

/// Checks access tokens. Give it to [`crate::start::App::auth`]; the extractors below then work in every handler.
#[derive(Clone)]
pub struct Auth {
    keys: KeyCache,
    validation: Validation,
}

impl Auth {
    /// Checks with the keys that accounts publishes (`ACCOUNTS_URL`), remembered in the service's data folder.
    ///
    /// # Errors
    /// `ACCOUNTS_URL` is not set or not a URL.
    pub fn from_config(config: &Config) -> Result<Self, StartError> {
        let base = config.callee_url("accounts")?;
        let file = config.data_dir.as_ref().map(|dir| dir.join("jwks.json"));
        Ok(Self::new(KeyCache::remote(&base, file)))
    }

    /// Checks with these keys only.
    #[must_use]
    pub fn fixed(keys: &JwkSet) -> Self {
        Self::new(KeyCache::fixed(keys))
    }

    fn new(keys: KeyCache) -> Self {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.leeway = LEEWAY_SECONDS;
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.required_spec_claims = HashSet::from(["exp", "iss", "aud", "sub"].map(str::to_owned));
        Self { keys, validation }
    }

    /// Checks a token.
    ///
    /// # Errors
    /// 401 `unauthenticated`; 503 `unavailable` when its key is not known and accounts cannot be asked for it.
    pub async fn verify(&self, token: &str) -> Result<Customer, Problem> {
        let invalid = || Problem::unauthenticated("The access token is not valid. Sign in again.");
        let header = jsonwebtoken::decode_header(token).map_err(|_| invalid())?;
        if header.alg != Algorithm::EdDSA {
            return Err(invalid());
        }
        let kid = header.kid.ok_or_else(invalid)?;
        let key = self.keys.key(&kid).await.map_err(|why| match why {
            NoKey::Unknown => invalid(),
            NoKey::Unreachable => Problem::unavailable("accounts"),
        })?;
        let token =
            jsonwebtoken::decode::<Claims>(token, &key, &self.validation).map_err(|error| {
                match error.kind() {
                    jsonwebtoken::errors::ErrorKind::ExpiredSignature => Problem::unauthenticated(
                        "The access token has expired. Refresh it, or sign in again.",
                    ),
                    _ => invalid(),
                }
            })?;
        Ok(Customer::from(token.claims))
    }

    /// Fetches the keys ahead of the first token, so that accounts may go down before it.
    pub(crate) async fn warm_up(self, stop: CancellationToken) {
        let mut pause = Duration::from_millis(500);
        while self.keys.is_empty() {
            self.keys.refresh().await;
            if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
            pause = (pause * 2).min(Duration::from_secs(10));
        }
    }

    async fn identify(parts: &Parts) -> Result<Option<Customer>, Problem> {
        let Some(token) = bearer(&parts.headers)? else { return Ok(None) };
        match parts.extensions.get::<Self>() {
            Some(auth) => auth.verify(token).await.map(Some),
            None => Err(Problem::internal("this service has no Auth, but a handler asks who is signed in")),
        }
    }
}

fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let token = value.to_str().ok().and_then(|text| text.split_once(' '));
    match token {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token.trim())),
        _ => Err(Problem::unauthenticated("Send Authorization: Bearer followed by an access token.")),
    }
}

/// A signed-in customer: an extractor that answers 401 for anyone else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Customer {
    /// The customer's id.
    pub id: String,
    /// The session's id.
    pub session: String,
    /// The e-mail address. Never log it.
    pub email: String,
    /// The name.
    pub name: String,
    /// What the customer may do.
    pub role: Role,
}

impl Customer {
    /// Whether this is an admin.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.role == Role::Admin
    }
}

impl From<Claims> for Customer {
    fn from(claims: Claims) -> Self {
        Self {
            id: claims.sub,
            session: claims.sid,
            email: claims.email,
            name: claims.name,
            role: claims.role,
        }
    }
}

/// A signed-in admin: an extractor that answers 401 for guests and 403 for customers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin(pub Customer);

/// A customer or a guest: an extractor that answers 401 only for a token that is not valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaybeCustomer(pub Option<Customer>);

impl<S: Sync> FromRequestParts<S> for Customer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Auth::identify(parts).await?.ok_or_else(|| Problem::unauthenticated("Sign in first."))
    }
}

impl<S: Sync> FromRequestParts<S> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let customer = Customer::from_request_parts(parts, state).await?;
        if customer.is_admin() {
            Ok(Self(customer))
        } else {
            Err(Problem::forbidden("Only an admin may do this."))
        }
    }
}

impl<S: Sync> FromRequestParts<S> for MaybeCustomer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Auth::identify(parts).await.map(Self)
    }
}

/// The service that calls, as the data plane says; `unknown` without its header. An extractor that never refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller(pub String);

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(caller(&parts.headers).to_owned()))
    }
}

fn caller(headers: &HeaderMap) -> &str {
    headers.get(&CALLER).and_then(|value| value.to_str().ok()).unwrap_or("unknown")
}

/// Lets only these services use these routes; everyone else gets 403 `caller_not_allowed`.
pub fn internal<S: Clone + Send + Sync + 'static>(
    allowed: &'static [&'static str],
    routes: Router<S>,
) -> Router<S> {
    routes.route_layer(from_fn(move |request: Request, next: Next| guard(allowed, request, next)))
}

async fn guard(allowed: &'static [&'static str], request: Request, next: Next) -> Response {
    if allowed.contains(&caller(request.headers())) {
        return next.run(request).await;
    }
    Problem::new(
        StatusCode::FORBIDDEN,
        "caller_not_allowed",
        "This operation is for other services of the shop only.",
    )
    .into_response()
}

//! `Idempotency-Key`: a request that is asked twice has its effect once, and gets the same answer twice.
//!
//! A key counts per caller and route (method and path template) and is kept for 24 hours. Two ways to use it:
//!
//! - [`Idempotency::once`] when the whole effect is one database transaction. The answer is stored in that transaction;
//!   two requests at once are put in a row by the database, so nothing can be left in flight.
//! - [`Idempotency::begin`] when the work spans several transactions or calls other services. It commits a [`Claim`],
//!   which holds off repeats with 409 until [`Claim::finish`] stores the answer in the transaction of the last effect.
//!   A claim is renewed while its process lives; after a crash it can be taken over once its lease has run out, and the
//!   one who takes it over is told ([`Claim::taken_over`]), because part of the work may be done already.
//!
//! Refusals by rule ([`Problem::is_final`]) are answers too and are stored; what hangs on the moment is not, and the same
//! key may then be tried again.

mod claim;
mod once;
mod store;

use axum::extract::{FromRequestParts, MatchedPath};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

pub use claim::{Begun, Claim, LEASE};
pub use once::{First, Once};
pub use store::prune;

use crate::db::{Db, Migration};
use crate::problem::Problem;

/// The table that this module needs; append it to the service's migrations.
pub const MIGRATION: Migration = ("service-kit/0001_idempotency_keys", include_str!("schema.sql"));

/// The request header.
pub const HEADER: HeaderName = HeaderName::from_static("idempotency-key");

/// Set to `true` on an answer that was stored earlier.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// How long keys are kept, in milliseconds.
pub const KEEP_MS: i64 = 24 * 60 * 60 * 1000;

/// The request's key: an extractor that answers 400 when it is missing or unusable.
#[derive(Debug, Clone)]
pub struct Idempotency {
    key: String,
    route: String,
    path: String,
}

/// Whose key, for what: how a key is found in the table.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    pub caller: String,
    pub route: String,
    pub key: String,
    pub fingerprint: String,
}

/// An answer that can be stored and given again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: StatusCode,
    /// The JSON body.
    pub body: Value,
    replayed: bool,
}

impl Reply {
    /// An answer with this status and JSON body.
    ///
    /// # Errors
    /// 500 if the body cannot be JSON.
    pub fn new(status: StatusCode, body: &impl Serialize) -> Result<Self, Problem> {
        let body = serde_json::to_value(body).map_err(Problem::internal)?;
        Ok(Self { status, body, replayed: false })
    }

    /// 200 with this body.
    ///
    /// # Errors
    /// 500 if the body cannot be JSON.
    pub fn ok(body: &impl Serialize) -> Result<Self, Problem> {
        Self::new(StatusCode::OK, body)
    }

    /// 201 with this body.
    ///
    /// # Errors
    /// 500 if the body cannot be JSON.
    pub fn created(body: &impl Serialize) -> Result<Self, Problem> {
        Self::new(StatusCode::CREATED, body)
    }

    /// Whether this was stored by an earlier request.
    #[must_use]
    pub fn is_replay(&self) -> bool {
        self.replayed
    }

    fn of_problem(problem: &Problem) -> Self {
        Self { status: problem.status(), body: problem.to_json(), replayed: false }
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let mut response = if self.status.is_client_error() || self.status.is_server_error() {
            // As every other problem: it still has to be told where it happened.
            Problem::from_json(self.status, self.body).into_response()
        } else {
            let tag = self.body.get("version").and_then(Value::as_i64).map(crate::etag::etag);
            let mut done = (self.status, self.body.to_string()).into_response();
            done.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            if let Some(tag) = tag {
                done.headers_mut().insert(header::ETAG, tag);
            }
            done
        };
        if self.replayed {
            response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Idempotency {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let value = parts.headers.get(&HEADER).ok_or_else(Problem::missing_idempotency_key)?;
        let key = value.to_str().unwrap_or_default().trim();
        if key.is_empty() || key.len() > 255 {
            return Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "invalid_idempotency_key",
                "An Idempotency-Key has 1 to 255 visible ASCII characters.",
            ));
        }
        let template = parts.extensions.get::<MatchedPath>().map_or(parts.uri.path(), MatchedPath::as_str);
        Ok(Self {
            key: key.to_owned(),
            route: format!("{} {template}", parts.method),
            path: parts.uri.path().to_owned(),
        })
    }
}

impl Idempotency {
    /// A key without an HTTP request, for work that a service gives itself. `path` tells things of one route apart.
    pub fn new(key: impl Into<String>, route: impl Into<String>, path: impl Into<String>) -> Self {
        Self { key: key.into(), route: route.into(), path: path.into() }
    }

    /// The key itself.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Opens the transaction in which this key's work is done for the first time, or finds the answer that it had.
    /// `caller` is the customer's id or the calling service's name; `payload` is what was asked for. The transaction holds
    /// off other writers, so do nothing in it but database work: for calls to other services there is [`Self::begin`].
    ///
    /// ```
    /// # use service_kit::{db::Db, idempotency::{Idempotency, Once, Reply}, problem::Problem};
    /// # async fn handler(key: Idempotency, db: Db, caller: String, body: serde_json::Value) -> Result<Reply, Problem> {
    /// let mut first = match key.once(&db, &caller, &body).await? {
    ///     Once::Replay(reply) => return Ok(reply),
    ///     Once::First(first) => first,
    /// };
    /// let outcome = async {
    ///     sqlx::query("UPDATE stock SET on_hand = on_hand - 1 WHERE sku = 'A'").execute(&mut **first.tx()).await?;
    ///     Reply::created(&body)
    /// };
    /// let outcome = outcome.await;
    /// first.settle(outcome).await
    /// # }
    /// ```
    ///
    /// # Errors
    /// 422 `idempotency_key_reused`, 409 `request_in_flight`, or a database failure.
    pub async fn once(&self, db: &Db, caller: &str, payload: &impl Serialize) -> Result<Once, Problem> {
        once::begin(db, self.scope(caller, payload)?).await
    }

    /// Claims this key for work that spans several transactions.
    ///
    /// # Errors
    /// 422 `idempotency_key_reused`, 409 `request_in_flight`, or a database failure.
    pub async fn begin(&self, db: &Db, caller: &str, payload: &impl Serialize) -> Result<Begun, Problem> {
        claim::begin(db, self.scope(caller, payload)?, LEASE).await
    }

    fn scope(&self, caller: &str, payload: &impl Serialize) -> Result<Scope, Problem> {
        let payload = serde_json::to_value(payload).map_err(Problem::internal)?;
        let mut digest = Sha256::new();
        digest.update(self.path.as_bytes());
        digest.update([0]);
        feed(&mut digest, &payload);
        let fingerprint = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Scope { caller: caller.to_owned(), route: self.route.clone(), key: self.key.clone(), fingerprint })
    }
}

/// Feeds a JSON value in one order of members, whatever the order it came in.
fn feed(digest: &mut Sha256, value: &Value) {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| name.as_str());
            digest.update(b"{");
            for (name, value) in members {
                digest.update(Value::from(name.as_str()).to_string());
                feed(digest, value);
            }
            digest.update(b"}");
        }
        Value::Array(items) => {
            digest.update(b"[");
            for item in items {
                feed(digest, item);
                digest.update(b",");
            }
            digest.update(b"]");
        }
        scalar => digest.update(scalar.to_string()),
    }
}

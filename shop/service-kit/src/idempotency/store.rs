//! The table of keys.

use http::StatusCode;
use serde_json::Value;

use super::{KEEP_MS, Reply, Scope};
use crate::db::{Db, Tx};
use crate::problem::Problem;

/// A stored key.
pub(super) struct Stored {
    fingerprint: String,
    done: bool,
    lease_until: i64,
    status: i64,
    body: String,
    created_at: i64,
}

/// What a stored key means for a new request with it.
pub(super) enum Verdict {
    /// Give the stored answer.
    Replay(Reply),
    /// Nobody works on it any more: it is free.
    Abandoned,
}

impl Stored {
    /// Refuses another payload, and a request whose first is still in flight.
    pub(super) fn judge(self, scope: &Scope, now: i64) -> Result<Verdict, Problem> {
        if self.created_at + KEEP_MS <= now {
            return Ok(Verdict::Abandoned);
        }
        if self.fingerprint != scope.fingerprint {
            return Err(Problem::idempotency_key_reused());
        }
        if self.done {
            let status = u16::try_from(self.status).ok().and_then(|code| StatusCode::from_u16(code).ok());
            let status = status.ok_or_else(|| Problem::internal("a stored status is out of range"))?;
            let body: Value = serde_json::from_str(&self.body).map_err(Problem::internal)?;
            return Ok(Verdict::Replay(Reply { status, body, replayed: true }));
        }
        if self.lease_until > now {
            let seconds = u64::try_from((self.lease_until - now) / 1000).unwrap_or(0);
            return Err(Problem::request_in_flight(seconds.clamp(1, 5)));
        }
        Ok(Verdict::Abandoned)
    }
}

/// Adds the key as in flight; false if it is there already.
pub(super) async fn insert(
    tx: &mut Tx,
    scope: &Scope,
    owner: &str,
    now: i64,
    lease_until: i64,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        "INSERT INTO idempotency_keys (caller, route, key, fingerprint, state, owner, lease_until, status, body, created_at) \
         VALUES ($1, $2, $3, $4, 'in_flight', $5, $6, 0, '', $7) ON CONFLICT (caller, route, key) DO NOTHING",
    )
    .bind(&scope.caller)
    .bind(&scope.route)
    .bind(&scope.key)
    .bind(&scope.fingerprint)
    .bind(owner)
    .bind(lease_until)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Reads the key. On PostgreSQL it also locks it, so that only one request takes over an abandoned claim.
pub(super) async fn find(tx: &mut Tx, scope: &Scope) -> Result<Option<Stored>, sqlx::Error> {
    tx.lock(&format!("idempotency/{}/{}/{}", scope.caller, scope.route, scope.key)).await?;
    let row: Option<(String, String, i64, i64, String, i64)> = sqlx::query_as(
        "SELECT fingerprint, state, lease_until, status, body, created_at FROM idempotency_keys \
         WHERE caller = $1 AND route = $2 AND key = $3",
    )
    .bind(&scope.caller)
    .bind(&scope.route)
    .bind(&scope.key)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row.map(|(fingerprint, state, lease_until, status, body, created_at)| Stored {
        fingerprint,
        done: state == "done",
        lease_until,
        status,
        body,
        created_at,
    }))
}

/// Takes over an abandoned key.
///
/// # Errors
/// 409 `request_in_flight` if another request was quicker.
pub(super) async fn replace(
    tx: &mut Tx,
    scope: &Scope,
    owner: &str,
    now: i64,
    lease_until: i64,
) -> Result<(), Problem> {
    sqlx::query("DELETE FROM idempotency_keys WHERE caller = $1 AND route = $2 AND key = $3")
        .bind(&scope.caller)
        .bind(&scope.route)
        .bind(&scope.key)
        .execute(&mut **tx)
        .await?;
    if insert(tx, scope, owner, now, lease_until).await? {
        Ok(())
    } else {
        Err(Problem::request_in_flight(1))
    }
}

/// Stores the answer.
///
/// # Errors
/// 409 `request_in_flight` if the key is no longer `owner`'s, so that the whole transaction is given up.
pub(super) async fn complete(tx: &mut Tx, scope: &Scope, owner: &str, reply: &Reply) -> Result<(), Problem> {
    let done = sqlx::query(
        "UPDATE idempotency_keys SET state = 'done', status = $1, body = $2 \
         WHERE caller = $3 AND route = $4 AND key = $5 AND owner = $6 AND state = 'in_flight'",
    )
    .bind(i64::from(reply.status.as_u16()))
    .bind(reply.body.to_string())
    .bind(&scope.caller)
    .bind(&scope.route)
    .bind(&scope.key)
    .bind(owner)
    .execute(&mut **tx)
    .await?;
    if done.rows_affected() == 1 { Ok(()) } else { Err(Problem::request_in_flight(1)) }
}

/// Moves the end of a claim's lease; false if it is no longer `owner`'s.
pub(super) async fn renew(
    db: &Db,
    scope: &Scope,
    owner: &str,
    lease_until: i64,
) -> Result<bool, sqlx::Error> {
    let mut tx = db.begin_write().await?;
    let done = sqlx::query(
        "UPDATE idempotency_keys SET lease_until = $1 \
         WHERE caller = $2 AND route = $3 AND key = $4 AND owner = $5 AND state = 'in_flight'",
    )
    .bind(lease_until)
    .bind(&scope.caller)
    .bind(&scope.route)
    .bind(&scope.key)
    .bind(owner)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(done.rows_affected() == 1)
}

/// Forgets a claim that was given up.
pub(super) async fn forget(db: &Db, scope: &Scope, owner: &str) -> Result<(), sqlx::Error> {
    let mut tx = db.begin_write().await?;
    sqlx::query(
        "DELETE FROM idempotency_keys \
         WHERE caller = $1 AND route = $2 AND key = $3 AND owner = $4 AND state = 'in_flight'",
    )
    .bind(&scope.caller)
    .bind(&scope.route)
    .bind(&scope.key)
    .bind(owner)
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}

/// Forgets keys older than [`KEEP_MS`]; answers how many.
///
/// # Errors
/// The database fails.
pub async fn prune(db: &Db) -> Result<u64, sqlx::Error> {
    let mut tx = db.begin_write().await?;
    let done = sqlx::query("DELETE FROM idempotency_keys WHERE created_at <= $1")
        .bind(crate::clock::now_ms() - KEEP_MS)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(done.rows_affected())
}

//! The tables of sessions and of their refresh tokens.

use service_kit::clock::{new_id, now_ms};
use service_kit::db::{Db, Tx};

use crate::domain::token::REFRESH_MS;

/// Begins a session whose first refresh token has this digest; answers its id.
pub async fn begin(tx: &mut Tx, customer: &str, digest: &str) -> Result<String, sqlx::Error> {
    let id = new_id();
    sqlx::query("INSERT INTO sessions (id, customer_id, created_at, ended_at) VALUES ($1, $2, $3, 0)")
        .bind(&id)
        .bind(customer)
        .bind(now_ms())
        .execute(&mut **tx)
        .await?;
    add_token(tx, &id, digest).await?;
    Ok(id)
}

/// What a refresh token turned out to be.
pub enum Token {
    /// Good, and now used up: the session's and the customer's id.
    Good { session: String, customer: String },
    /// Used before: its session has now ended.
    Reused,
    /// Unknown, expired, or of a session that has ended.
    Bad,
}

/// Uses up a refresh token. Commit also when it is [`Token::Reused`].
pub async fn use_token(tx: &mut Tx, digest: &str) -> Result<Token, sqlx::Error> {
    let now = now_ms();
    let row: Option<(String, String, i64, i64)> = sqlx::query_as(
        "SELECT t.session_id, s.customer_id, t.expires_at, s.ended_at \
         FROM refresh_tokens t JOIN sessions s ON s.id = t.session_id WHERE t.digest = $1",
    )
    .bind(digest)
    .fetch_optional(&mut **tx)
    .await?;
    let Some((session, customer, expires_at, ended_at)) = row else { return Ok(Token::Bad) };
    if ended_at != 0 || expires_at <= now {
        return Ok(Token::Bad);
    }
    // One conditional update: of two at once exactly one is the first.
    let used = sqlx::query("UPDATE refresh_tokens SET used_at = $1 WHERE digest = $2 AND used_at = 0")
        .bind(now)
        .bind(digest)
        .execute(&mut **tx)
        .await?;
    if used.rows_affected() == 1 {
        return Ok(Token::Good { session, customer });
    }
    end(tx, &session).await?;
    Ok(Token::Reused)
}

/// Adds the session's next refresh token.
pub async fn add_token(tx: &mut Tx, session: &str, digest: &str) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT INTO refresh_tokens (digest, session_id, expires_at, used_at) VALUES ($1, $2, $3, 0)")
        .bind(digest)
        .bind(session)
        .bind(now_ms() + REFRESH_MS)
        .execute(&mut **tx)
        .await
        .map(drop)
}

/// Ends a session. Ending it again changes nothing.
pub async fn end(tx: &mut Tx, session: &str) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE sessions SET ended_at = $1 WHERE id = $2 AND ended_at = 0")
        .bind(now_ms())
        .bind(session)
        .execute(&mut **tx)
        .await
        .map(drop)
}

/// Ends every session of a customer but this one.
pub async fn end_others(tx: &mut Tx, customer: &str, kept: &str) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE sessions SET ended_at = $1 WHERE customer_id = $2 AND id <> $3 AND ended_at = 0")
        .bind(now_ms())
        .bind(customer)
        .bind(kept)
        .execute(&mut **tx)
        .await
        .map(drop)
}

/// The session that a refresh token belongs to, good or not.
pub async fn of_token(tx: &mut Tx, digest: &str) -> Result<Option<String>, sqlx::Error> {
    let row: Option<(String,)> = sqlx::query_as("SELECT session_id FROM refresh_tokens WHERE digest = $1")
        .bind(digest)
        .fetch_optional(&mut **tx)
        .await?;
    Ok(row.map(|(session,)| session))
}

/// Whether a session has not ended.
pub async fn is_live(db: &Db, session: &str) -> Result<bool, sqlx::Error> {
    let row: Option<(i64,)> =
        sqlx::query_as("SELECT 1 + ended_at FROM sessions WHERE id = $1 AND ended_at = 0")
            .bind(session)
            .fetch_optional(db.pool())
            .await?;
    Ok(row.is_some())
}

/// Forgets expired refresh tokens, and sessions that have none left.
pub async fn prune(db: &Db) -> Result<(), sqlx::Error> {
    let mut tx = db.begin_write().await?;
    sqlx::query("DELETE FROM refresh_tokens WHERE expires_at <= $1").bind(now_ms()).execute(&mut *tx).await?;
    sqlx::query("DELETE FROM sessions WHERE NOT EXISTS (SELECT 1 FROM refresh_tokens t WHERE t.session_id = sessions.id)")
        .execute(&mut *tx)
        .await?;
    tx.commit().await
}

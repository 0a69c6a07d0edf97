//! What the store does to rows outside of batches.

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgPool, Postgres, Row as _, Transaction};

use crate::store::{Filter, NEVER, Result, Signal, Status, StoreError, Stored, Summary, first_id, millis};

const ALL: &str = "id, name, key, fingerprint, plan, input, journal, epoch, status, alert, started_at, ended_at, trace, \
                   parent, parent_step, seen";

/// Takes away what belongs to engines whose lease has run out.
pub async fn reap(pool: &PgPool) -> Result<()> {
    let mut tx = pool.begin().await?;
    sqlx::query("DELETE FROM engines WHERE expires < now()").execute(&mut *tx).await?;
    // What is locked is freed the next time: the engine that is gone may have a transaction open.
    let sql = "UPDATE sagas SET owner = NULL, due = 0 WHERE id IN (
                 SELECT id FROM sagas s WHERE ended_at IS NULL AND owner IS NOT NULL
                 AND NOT EXISTS (SELECT 1 FROM engines e WHERE e.id = s.owner) FOR UPDATE SKIP LOCKED)";
    let freed = sqlx::query(sql).execute(&mut *tx).await?.rows_affected();
    tx.commit().await?;
    if freed > 0 {
        tracing::info!("{freed} sagas of engines that are gone can be taken up");
    }
    Ok(())
}

pub async fn claim(pool: &PgPool, owner: &str, now: u64, limit: usize) -> Result<Vec<Stored>> {
    let sql = format!(
        "UPDATE sagas SET owner = $1, epoch = epoch + 1, due = $2 WHERE id IN (
           SELECT id FROM sagas WHERE ended_at IS NULL AND due <= $3 AND owner IS NULL ORDER BY due LIMIT $4
           FOR UPDATE SKIP LOCKED) RETURNING {ALL}"
    );
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let query = sqlx::query(AssertSqlSafe(sql)).bind(owner).bind(millis(NEVER)).bind(millis(now)).bind(limit);
    query.fetch_all(pool).await?.iter().map(stored).collect()
}

pub async fn signal(
    tx: &mut Transaction<'static, Postgres>,
    id: &str,
    signal: &Signal,
    reopen: bool,
) -> Result<bool> {
    let sql = "UPDATE sagas SET signalled = signalled + 1, due = CASE WHEN owner IS NULL THEN 0 ELSE due END, ended_at = NULL
               WHERE id = $1 AND (ended_at IS NULL OR ($2 AND status = 'done')) RETURNING signalled";
    let seq: Option<i64> = sqlx::query_scalar(sql).bind(id).bind(reopen).fetch_optional(&mut **tx).await?;
    let Some(seq) = seq else { return Ok(false) };
    let json = serde_json::to_string(signal).map_err(|e| StoreError::Unreadable(e.to_string()))?;
    let sql = "INSERT INTO signals (saga, seq, signal) VALUES ($1, $2, $3)";
    sqlx::query(sql).bind(id).bind(seq).bind(json).execute(&mut **tx).await?;
    Ok(true)
}

pub async fn signals(pool: &PgPool, id: &str) -> Result<Vec<(i64, Signal)>> {
    let sql = "SELECT seq, signal FROM signals WHERE saga = $1 ORDER BY seq LIMIT 1000";
    let rows: Vec<(i64, String)> = sqlx::query_as(sql).bind(id).fetch_all(pool).await?;
    let read = |json: &str| {
        serde_json::from_str(json).map_err(|e| StoreError::Unreadable(format!("a signal of saga {id}: {e}")))
    };
    rows.iter().map(|(seq, json)| Ok((*seq, read(json)?))).collect()
}

pub async fn find(pool: &PgPool, id: &str) -> Result<Option<Stored>> {
    let sql = format!("SELECT {ALL} FROM sagas WHERE id = $1");
    sqlx::query(AssertSqlSafe(sql)).bind(id).fetch_optional(pool).await?.as_ref().map(stored).transpose()
}

pub async fn find_key(pool: &PgPool, key: &str, name: &str) -> Result<Option<Stored>> {
    let sql = format!("SELECT {ALL} FROM sagas WHERE key = $1 AND name = $2");
    sqlx::query(AssertSqlSafe(sql))
        .bind(key)
        .bind(name)
        .fetch_optional(pool)
        .await?
        .as_ref()
        .map(stored)
        .transpose()
}

pub async fn list(pool: &PgPool, filter: &Filter) -> Result<Vec<Summary>> {
    let open = !filter.status.is_empty() && filter.status.iter().all(|s| !s.is_over());
    // Those that are not over are few, and have an index of their own.
    let only = if open { "AND ended_at IS NULL" } else { "" };
    let sql = format!(
        "SELECT id, name, key, status, alert, started_at, ended_at FROM sagas
         WHERE ($1::text IS NULL OR id < $1) AND ($2::text IS NULL OR name = $2) AND (cardinality($3) = 0 OR status = ANY($3)) {only}
         ORDER BY id DESC LIMIT $4"
    );
    let status: Vec<&str> = filter.status.iter().map(|s| s.as_str()).collect();
    let query = sqlx::query(AssertSqlSafe(sql))
        .bind(filter.before.as_deref())
        .bind(filter.saga.as_deref())
        .bind(status)
        .bind(i64::try_from(filter.limit).unwrap_or(i64::MAX));
    query.fetch_all(pool).await?.iter().map(summary).collect()
}

pub async fn prune(pool: &PgPool, before: u64, limit: usize) -> Result<usize> {
    // What ended before a time was started before it; ids grow with time, so only the oldest rows are looked at.
    let sql = "DELETE FROM sagas WHERE id IN (
                 SELECT id FROM sagas WHERE id < $1 AND ended_at < $2 ORDER BY id LIMIT $3 FOR UPDATE SKIP LOCKED)";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let gone = sqlx::query(sql).bind(first_id(before)).bind(millis(before)).bind(limit).execute(pool).await?;
    Ok(usize::try_from(gone.rows_affected()).unwrap_or(usize::MAX))
}

pub async fn give_up(pool: &PgPool, owner: &str) -> Result<()> {
    let mut tx = pool.begin().await?;
    let sql = "UPDATE sagas SET owner = NULL, due = 0 WHERE owner = $1 AND ended_at IS NULL";
    sqlx::query(sql).bind(owner).execute(&mut *tx).await?;
    sqlx::query("DELETE FROM engines WHERE id = $1").bind(owner).execute(&mut *tx).await?;
    Ok(tx.commit().await?)
}

fn unsigned(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

fn stored(row: &PgRow) -> Result<Stored> {
    let id: String = row.try_get(0)?;
    let (input, journal): (String, String) = (row.try_get(5)?, row.try_get(6)?);
    let broken = |e: serde_json::Error| StoreError::Unreadable(format!("saga {id}: {e}"));
    Ok(Stored {
        input: serde_json::from_str(&input).map_err(broken)?,
        journal: crate::record::read(journal.as_bytes()).map_err(broken)?,
        name: row.try_get(1)?,
        key: row.try_get(2)?,
        fingerprint: row.try_get(3)?,
        plan: row.try_get(4)?,
        epoch: row.try_get(7)?,
        status: Status::parse(row.try_get(8)?)?,
        alert: row.try_get(9)?,
        started_at: unsigned(row.try_get(10)?),
        ended_at: row.try_get::<Option<i64>, _>(11)?.map(unsigned),
        trace: row.try_get(12)?,
        parent: row.try_get::<Option<String>, _>(13)?.zip(row.try_get::<Option<String>, _>(14)?),
        seen: row.try_get(15)?,
        id,
    })
}

fn summary(row: &PgRow) -> Result<Summary> {
    Ok(Summary {
        id: row.try_get(0)?,
        saga: row.try_get(1)?,
        key: row.try_get(2)?,
        status: Status::parse(row.try_get(3)?)?,
        alert: row.try_get(4)?,
        started_at: unsigned(row.try_get(5)?),
        ended_at: row.try_get::<Option<i64>, _>(6)?.map(unsigned),
    })
}

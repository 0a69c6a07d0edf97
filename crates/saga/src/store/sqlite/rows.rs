//! What the store does to rows. All of it runs inside the writer's transaction.

use rusqlite::types::Value as Sql;
use rusqlite::{Connection, OptionalExtension as _, Row, params, params_from_iter};

use crate::store::{
    Append, Begun, Filter, NEVER, NewSaga, Result, Signal, Status, StoreError, Stored, Summary, Then,
};
use crate::store::{first_id, millis, tell};

const ALL: &str = "id, name, key, fingerprint, plan, input, journal, epoch, status, alert, started_at, ended_at, trace, \
                   parent, parent_step, seen";

pub fn begin(c: &Connection, new: &NewSaga) -> Result<Begun> {
    let mut insert = c.prepare_cached(
        "INSERT INTO sagas (id, name, key, fingerprint, plan, input, journal, status, alert, epoch, held, due, started_at,
           trace, parent, parent_step)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'running', 0, 1, 1, ?8, ?9, ?10, ?11, ?12) ON CONFLICT DO NOTHING",
    )?;
    let mut journal = Vec::new();
    crate::record::write(&new.journal, &mut journal);
    let (parent, step) = new.parent.as_ref().map(|(id, step)| (id, step)).unzip();
    let inserted = insert.execute(params![
        new.id,
        new.name,
        new.key,
        new.fingerprint,
        new.plan,
        new.input.to_string(),
        text(journal)?,
        millis(NEVER),
        millis(new.at),
        new.trace,
        parent,
        step
    ])?;
    if inserted == 1 {
        return Ok(Begun::New);
    }
    let sql = format!("SELECT {ALL} FROM sagas WHERE key = ?1 AND name = ?2");
    let known = c.prepare_cached(&sql)?.query_row(params![new.key, new.name], |row| Ok(stored(row)))?;
    known.map(|known| Begun::Known(Box::new(known)))
}

pub fn append(c: &Connection, append: &Append) -> Result<bool> {
    let journal = std::str::from_utf8(&append.journal).map_err(|e| StoreError::Unreadable(e.to_string()))?;
    let (status, seen) = (append.status.as_str(), append.seen);
    let changed = if matches!(append.then, Then::Keep) {
        let sql = "UPDATE sagas SET journal = journal || ?1, status = ?2, alert = ?3, seen = ?6
                   WHERE id = ?4 AND epoch = ?5 AND held = 1";
        c.prepare_cached(sql)?.execute(params![
            journal,
            status,
            append.alert,
            append.id,
            append.epoch,
            seen
        ])?
    } else {
        let (due, ended) = match append.then {
            Then::Release(due) => (millis(due), None),
            Then::End { at, .. } => (millis(NEVER), Some(millis(at))),
            Then::Keep => (millis(NEVER), None),
        };
        // A signal that came meanwhile must not be slept over, nor buried with the saga.
        let sql = "UPDATE sagas SET journal = journal || ?1, status = ?2, alert = ?3, seen = ?6, held = 0,
                   due = iif(signalled > ?6, 0, ?7), ended_at = iif(signalled > ?6, NULL, ?8)
                   WHERE id = ?4 AND epoch = ?5 AND held = 1";
        let values = params![journal, status, append.alert, append.id, append.epoch, seen, due, ended];
        c.prepare_cached(sql)?.execute(values)?
    };
    if changed == 0 {
        return Ok(false);
    }
    if append.forget {
        c.prepare_cached("DELETE FROM signals WHERE saga = ?1 AND seq <= ?2")?
            .execute(params![append.id, seen])?;
    }
    if let Some((parent, told)) = tell(&append.then) {
        signal(c, parent, &told, false)?;
    }
    Ok(true)
}

pub fn claim(c: &Connection, now: u64, limit: usize) -> Result<Vec<Stored>> {
    let sql = format!(
        "UPDATE sagas SET held = 1, epoch = epoch + 1, due = ?1 WHERE rowid IN (
           SELECT rowid FROM sagas WHERE ended_at IS NULL AND due <= ?2 AND held = 0 ORDER BY due LIMIT ?3) RETURNING {ALL}"
    );
    let mut statement = c.prepare_cached(&sql)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![millis(NEVER), millis(now), limit], |row| Ok(stored(row)))?;
    rows.map(|row| row?).collect()
}

pub fn signal(c: &Connection, id: &str, signal: &Signal, reopen: bool) -> Result<bool> {
    let sql = "UPDATE sagas SET signalled = signalled + 1, due = iif(held = 1, due, 0), ended_at = NULL
               WHERE id = ?1 AND (ended_at IS NULL OR (?2 AND status = 'done')) RETURNING signalled";
    let seq: Option<i64> =
        c.prepare_cached(sql)?.query_row(params![id, reopen], |row| row.get(0)).optional()?;
    let Some(seq) = seq else { return Ok(false) };
    let json = serde_json::to_string(signal).map_err(|e| StoreError::Unreadable(e.to_string()))?;
    c.prepare_cached("INSERT INTO signals (saga, seq, signal) VALUES (?1, ?2, ?3)")?
        .execute(params![id, seq, json])?;
    Ok(true)
}

pub fn signals(c: &Connection, id: &str) -> Result<Vec<(i64, Signal)>> {
    let mut statement =
        c.prepare_cached("SELECT seq, signal FROM signals WHERE saga = ?1 ORDER BY seq LIMIT 1000")?;
    let rows = statement.query_map([id], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
    rows.map(|row| {
        let (seq, json) = row?;
        Ok((
            seq,
            serde_json::from_str(&json)
                .map_err(|e| StoreError::Unreadable(format!("a signal of saga {id}: {e}")))?,
        ))
    })
    .collect()
}

pub fn find(c: &Connection, id: &str) -> Result<Option<Stored>> {
    let sql = format!("SELECT {ALL} FROM sagas WHERE id = ?1");
    c.prepare_cached(&sql)?.query_row([id], |row| Ok(stored(row))).optional()?.transpose()
}

pub fn list(c: &Connection, filter: &Filter) -> Result<Vec<Summary>> {
    let mut conditions = vec!["id < ?"];
    let mut values = vec![Sql::Text(filter.before.clone().unwrap_or_else(|| "~".to_owned()))];
    if let Some(saga) = &filter.saga {
        conditions.push("name = ?");
        values.push(Sql::Text(saga.clone()));
    }
    // Those that are not over are few, and have an index of their own.
    if !filter.status.is_empty() && filter.status.iter().all(|s| !s.is_over()) {
        conditions.push("ended_at IS NULL");
    }
    let places = vec!["?"; filter.status.len()].join(", ");
    let status = format!("status IN ({places})");
    if !filter.status.is_empty() {
        conditions.push(&status);
        values.extend(filter.status.iter().map(|s| Sql::Text(s.as_str().to_owned())));
    }
    values.push(Sql::Integer(i64::try_from(filter.limit).unwrap_or(i64::MAX)));
    let sql = format!(
        "SELECT id, name, key, status, alert, started_at, ended_at FROM sagas WHERE {} ORDER BY id DESC LIMIT ?",
        conditions.join(" AND ")
    );
    let mut statement = c.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(values), |row| Ok(summary(row)))?;
    rows.map(|row| row?).collect()
}

pub fn plan(c: &Connection, digest: &str) -> Result<Option<String>> {
    let mut statement = c.prepare_cached("SELECT plan FROM plans WHERE digest = ?1")?;
    Ok(statement.query_row([digest], |row| row.get(0)).optional()?)
}

pub fn plans_in_use(c: &Connection) -> Result<Vec<(String, String)>> {
    let mut statement = c.prepare_cached(
        "SELECT digest, plan FROM plans WHERE digest IN (SELECT DISTINCT plan FROM sagas WHERE ended_at IS NULL)",
    )?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<std::result::Result<_, _>>()?)
}

pub fn prune(c: &Connection, before: u64, limit: usize) -> Result<usize> {
    // What ended before a time was started before it; ids grow with time, so only the oldest rows are looked at.
    let sql = "DELETE FROM sagas WHERE rowid IN (SELECT rowid FROM sagas WHERE id < ?1 AND ended_at < ?2 ORDER BY id LIMIT ?3)";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    Ok(c.prepare_cached(sql)?.execute(params![first_id(before), millis(before), limit])?)
}

fn text(bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|e| StoreError::Unreadable(e.to_string()))
}

fn unsigned(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

fn stored(row: &Row<'_>) -> Result<Stored> {
    let id: String = row.get(0)?;
    let input: String = row.get(5)?;
    let journal: String = row.get(6)?;
    let broken = |e: serde_json::Error| StoreError::Unreadable(format!("saga {id}: {e}"));
    Ok(Stored {
        input: serde_json::from_str(&input).map_err(broken)?,
        journal: crate::record::read(journal.as_bytes()).map_err(broken)?,
        name: row.get(1)?,
        key: row.get(2)?,
        fingerprint: row.get(3)?,
        plan: row.get(4)?,
        epoch: row.get(7)?,
        status: Status::parse(&row.get::<_, String>(8)?)?,
        alert: row.get(9)?,
        started_at: unsigned(row.get(10)?),
        ended_at: row.get::<_, Option<i64>>(11)?.map(unsigned),
        trace: row.get(12)?,
        seen: row.get(15)?,
        parent: row.get::<_, Option<String>>(13)?.zip(row.get::<_, Option<String>>(14)?),
        id,
    })
}

fn summary(row: &Row<'_>) -> Result<Summary> {
    Ok(Summary {
        id: row.get(0)?,
        saga: row.get(1)?,
        key: row.get(2)?,
        status: Status::parse(&row.get::<_, String>(3)?)?,
        alert: row.get(4)?,
        started_at: unsigned(row.get(5)?),
        ended_at: row.get::<_, Option<i64>>(6)?.map(unsigned),
    })
}

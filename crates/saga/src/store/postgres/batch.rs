//! Writes that wait, in one transaction.

use std::collections::HashSet;
use std::sync::Arc;

use sqlx::{PgPool, Postgres, Transaction};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{Mutex, oneshot};

use super::rows;
use crate::store::{Append, Begun, NEVER, NewSaga, Result, StoreError, Then, millis, tell};

/// As many jobs share a transaction at most.
const LARGEST_BATCH: usize = 256;

type Answer<T> = oneshot::Sender<Result<T>>;

/// A write, and whom to answer.
pub enum Job {
    Begin(Box<NewSaga>, Answer<Begun>),
    Append(Append, Answer<bool>),
}

/// Works until the store is dropped.
pub async fn run(pool: PgPool, queue: Arc<Mutex<UnboundedReceiver<Job>>>, owner: Arc<str>) {
    loop {
        let mut jobs = Vec::new();
        if queue.lock().await.recv_many(&mut jobs, LARGEST_BATCH).await == 0 {
            return;
        }
        let (mut begins, mut appends) = (Vec::new(), Vec::new());
        for job in jobs {
            match job {
                Job::Begin(new, reply) => begins.push((new, reply)),
                Job::Append(append, reply) => appends.push((append, reply)),
            }
        }
        // Two transactions that insert the same keys must do it in the same order, or they wait for each other.
        begins.sort_by(|(a, _), (b, _)| (&a.key, &a.name).cmp(&(&b.key, &b.name)));
        appends.sort_by(|(a, _), (b, _)| a.id.cmp(&b.id));
        match write(&pool, &owner, &begins, &appends).await {
            Ok((begun, appended)) => answer(&pool, begins, appends, &begun, &appended).await,
            Err(error) => {
                let again = |_| StoreError::Database(error.to_string());
                begins.into_iter().for_each(|(_, reply)| drop(reply.send(Err(again(())))));
                appends.into_iter().for_each(|(_, reply)| drop(reply.send(Err(again(())))));
            }
        }
    }
}

async fn answer(
    pool: &PgPool,
    begins: Vec<(Box<NewSaga>, Answer<Begun>)>,
    appends: Vec<(Append, Answer<bool>)>,
    begun: &HashSet<String>,
    appended: &HashSet<String>,
) {
    // Nobody may be waiting for an answer any more.
    for (append, reply) in appends {
        drop(reply.send(Ok(appended.contains(&append.id))));
    }
    for (new, reply) in begins {
        let result = if begun.contains(&new.id) {
            Ok(Begun::New)
        } else {
            match rows::find_key(pool, &new.key, &new.name).await {
                Ok(Some(known)) => Ok(Begun::Known(Box::new(known))),
                Ok(None) => {
                    Err(StoreError::Database("a saga of this key was removed this very moment".to_owned()))
                }
                Err(error) => Err(error),
            }
        };
        drop(reply.send(result));
    }
}

/// Gives the ids that were begun and those that were appended to.
async fn write(
    pool: &PgPool,
    owner: &str,
    begins: &[(Box<NewSaga>, Answer<Begun>)],
    appends: &[(Append, Answer<bool>)],
) -> Result<(HashSet<String>, HashSet<String>)> {
    let mut tx = pool.begin().await?;
    let begun = if begins.is_empty() { HashSet::new() } else { insert(&mut tx, owner, begins).await? };
    let appended = if appends.is_empty() { HashSet::new() } else { update(&mut tx, owner, appends).await? };
    tx.commit().await?;
    Ok((begun, appended))
}

async fn insert(
    tx: &mut Transaction<'static, Postgres>,
    owner: &str,
    begins: &[(Box<NewSaga>, Answer<Begun>)],
) -> Result<HashSet<String>> {
    let texts =
        |of: &dyn Fn(&NewSaga) -> String| -> Vec<String> { begins.iter().map(|(new, _)| of(new)).collect() };
    let options = |of: &dyn Fn(&NewSaga) -> Option<String>| -> Vec<Option<String>> {
        begins.iter().map(|(new, _)| of(new)).collect()
    };
    let journals: Vec<String> = begins.iter().map(|(new, _)| journal(&new.journal)).collect::<Result<_>>()?;
    let at: Vec<i64> = begins.iter().map(|(new, _)| millis(new.at)).collect();
    let sql = "INSERT INTO sagas (id, name, key, fingerprint, plan, input, journal, status, alert, epoch, owner, due, started_at,
                 trace, parent, parent_step)
               SELECT id, name, key, fingerprint, plan, input, journal, 'running', false, 1, $1, $2, at, trace, parent, step
               FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::bigint[],
                           $11::text[], $12::text[], $13::text[])
                 AS new (id, name, key, fingerprint, plan, input, journal, at, trace, parent, step)
               ON CONFLICT DO NOTHING RETURNING id";
    let ids: Vec<String> = sqlx::query_scalar(sql)
        .bind(owner)
        .bind(millis(NEVER))
        .bind(texts(&|n| n.id.clone()))
        .bind(texts(&|n| n.name.clone()))
        .bind(texts(&|n| n.key.clone()))
        .bind(texts(&|n| n.fingerprint.clone()))
        .bind(texts(&|n| n.plan.clone()))
        .bind(texts(&|n| n.input.to_string()))
        .bind(journals)
        .bind(at)
        .bind(options(&|n| n.trace.clone()))
        .bind(options(&|n| n.parent.as_ref().map(|(id, _)| id.clone())))
        .bind(options(&|n| n.parent.as_ref().map(|(_, step)| step.clone())))
        .fetch_all(&mut **tx)
        .await?;
    Ok(ids.into_iter().collect())
}

async fn update(
    tx: &mut Transaction<'static, Postgres>,
    owner: &str,
    appends: &[(Append, Answer<bool>)],
) -> Result<HashSet<String>> {
    let texts =
        |of: &dyn Fn(&Append) -> String| -> Vec<String> { appends.iter().map(|(a, _)| of(a)).collect() };
    let numbers = |of: &dyn Fn(&Append) -> i64| -> Vec<i64> { appends.iter().map(|(a, _)| of(a)).collect() };
    let journals: Vec<String> =
        appends.iter().map(|(a, _)| utf8(a.journal.clone())).collect::<Result<_>>()?;
    let alerts: Vec<bool> = appends.iter().map(|(a, _)| a.alert).collect();
    let ended: Vec<Option<i64>> = appends
        .iter()
        .map(|(a, _)| if let Then::End { at, .. } = a.then { Some(millis(at)) } else { None })
        .collect();
    // A signal that came meanwhile must not be slept over, nor buried with the saga.
    let sql = "UPDATE sagas s SET journal = s.journal || u.journal, status = u.status, alert = u.alert, seen = u.seen,
                 owner = CASE WHEN u.keep = 1 THEN s.owner END,
                 due = CASE WHEN u.keep = 1 THEN s.due WHEN s.signalled > u.seen THEN 0 ELSE u.due END,
                 ended_at = CASE WHEN s.signalled > u.seen THEN NULL ELSE u.ended END
               FROM unnest($2::text[], $3::bigint[], $4::text[], $5::text[], $6::bool[], $7::bigint[], $8::bigint[], $9::bigint[],
                           $10::bigint[]) AS u (id, epoch, journal, status, alert, seen, keep, due, ended)
               WHERE s.id = u.id AND s.epoch = u.epoch AND s.owner = $1 RETURNING s.id";
    let ids: Vec<String> = sqlx::query_scalar(sql)
        .bind(owner)
        .bind(texts(&|a| a.id.clone()))
        .bind(numbers(&|a| a.epoch))
        .bind(journals)
        .bind(texts(&|a| a.status.as_str().to_owned()))
        .bind(alerts)
        .bind(numbers(&|a| a.seen))
        .bind(numbers(&|a| i64::from(matches!(a.then, Then::Keep))))
        .bind(numbers(&|a| if let Then::Release(due) = a.then { millis(due) } else { millis(NEVER) }))
        .bind(ended)
        .fetch_all(&mut **tx)
        .await?;
    let done: HashSet<String> = ids.into_iter().collect();
    let mine = || appends.iter().map(|(a, _)| a).filter(|a| done.contains(&a.id));
    let (forget, seen): (Vec<String>, Vec<i64>) =
        mine().filter(|a| a.forget).map(|a| (a.id.clone(), a.seen)).unzip();
    if !forget.is_empty() {
        let sql = "DELETE FROM signals g USING unnest($1::text[], $2::bigint[]) AS u (id, seen) WHERE g.saga = u.id AND g.seq <= u.seen";
        sqlx::query(sql).bind(forget).bind(seen).execute(&mut **tx).await?;
    }
    for (parent, told) in mine().filter_map(|a| tell(&a.then)) {
        rows::signal(tx, parent, &told, false).await?;
    }
    Ok(done)
}

fn journal(records: &[crate::record::Record]) -> Result<String> {
    let mut journal = Vec::new();
    crate::record::write(records, &mut journal);
    utf8(journal)
}

fn utf8(bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|e| StoreError::Unreadable(e.to_string()))
}

//! The file in which counts are kept: SQLite, a row for each edge, tier and step.

use std::collections::BTreeMap;
use std::path::Path;

use model::{Histogram, ServiceName};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::TIERS;
use crate::alerts::Calls;
use crate::events::{Event, Wanted};
use crate::file::{self, count, number};
use crate::metrics::{Due, Edge, Limits, Point, Span};

/// The store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite could not do it.
    #[error("the store of telemetry failed: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The file cannot be made.
    #[error("the store of telemetry cannot be opened: {0}")]
    Io(#[from] std::io::Error),
    /// A distribution or a span cannot be written or read.
    #[error("the store of telemetry holds something unreadable: {0}")]
    Unreadable(#[from] serde_json::Error),
}

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS edges (id INTEGER PRIMARY KEY, caller TEXT NOT NULL, callee TEXT NOT NULL, UNIQUE (caller, callee)) STRICT;
CREATE TABLE IF NOT EXISTS points (
  tier INTEGER NOT NULL, at INTEGER NOT NULL, edge INTEGER NOT NULL REFERENCES edges,
  requests INTEGER NOT NULL, failed INTEGER NOT NULL, latency TEXT NOT NULL,
  PRIMARY KEY (tier, at, edge)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events (at INTEGER NOT NULL, kind TEXT NOT NULL, service TEXT NOT NULL, text TEXT NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS events_by_time ON events (at);
";

/// Every method blocks.
#[derive(Debug)]
pub(crate) struct Store {
    connection: Connection,
    limits: Limits,
}

impl Store {
    pub fn open(path: &Path, limits: Limits) -> Result<Self, StoreError> {
        Ok(Self { connection: file::open(path, SCHEMA)?, limits })
    }

    /// Adds these to what is there, all or none.
    pub fn write(&mut self, due: &Due, happened: &[Event]) -> Result<(), StoreError> {
        let transaction = self.connection.transaction()?;
        {
            let mut know = transaction.prepare_cached(
                "INSERT INTO edges (caller, callee) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET caller = caller RETURNING id",
            )?;
            let mut find = transaction.prepare_cached(
                "SELECT requests, failed, latency FROM points WHERE tier = ?1 AND at = ?2 AND edge = ?3",
            )?;
            let mut put = transaction
                .prepare_cached("INSERT OR REPLACE INTO points VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
            let mut last: Option<(&Edge, i64)> = None;
            for ((edge, (tier, at)), point) in due {
                // They come sorted by edge.
                let id = match last.filter(|(known, _)| *known == edge) {
                    Some((_, id)) => id,
                    None => {
                        let caller = edge.caller.as_ref().map_or("", |caller| caller.as_str());
                        know.query_row(params![caller, edge.callee.as_str()], |row| row.get(0))?
                    }
                };
                last = Some((edge, id));
                let key = params![number(*tier as u64), number(*at), id];
                let mut sum = find.query_row(key, point_of).optional()?.transpose()?.unwrap_or_default();
                sum.add(point);
                let latency = serde_json::to_string(&sum.latency)?;
                let (requests, failed) = (number(sum.requests), number(sum.failed));
                put.execute(params![number(*tier as u64), number(*at), id, requests, failed, latency])?;
            }
            let mut tell = transaction.prepare_cached("INSERT INTO events VALUES (?1, ?2, ?3, ?4)")?;
            for event in happened {
                let service = event.service.as_deref().unwrap_or_default();
                tell.execute(params![number(event.at), event.kind, service, event.text])?;
            }
        }
        Ok(transaction.commit()?)
    }

    /// Removes what is too old, and then what is too much.
    pub fn forget(&mut self, now: u64) -> Result<(), StoreError> {
        let longest = TIERS.iter().map(|tier| tier.keep).max().unwrap_or_default();
        let mut remove = self.connection.prepare_cached("DELETE FROM events WHERE at < ?1")?;
        remove.execute([number(now.saturating_sub(longest) * 1000)])?;
        file::forget(&self.connection, "points", 0, self.limits.bytes, now)
    }

    #[cfg(test)]
    pub fn bytes(&self) -> Result<u64, StoreError> {
        file::bytes(&self.connection)
    }

    #[cfg(test)]
    pub fn rows(&self, tier: usize) -> Result<u64, StoreError> {
        let all = "SELECT COUNT(*) FROM points WHERE tier = ?1";
        Ok(self.connection.query_row(all, [number(tier as u64)], |row| row.get(0)).map(count)?)
    }

    /// What happened, newest first.
    pub fn events(&self, wanted: &Wanted) -> Result<Vec<Event>, StoreError> {
        let mut find = self.connection.prepare_cached(
            "SELECT at, kind, service, text FROM events WHERE at >= ?1 AND (?2 IS NULL OR service = ?2)
             ORDER BY at DESC LIMIT ?3",
        )?;
        let rows = find.query_map(
            params![number(wanted.from), wanted.service, number(wanted.most as u64)],
            |row| {
                let service: String = row.get(2)?;
                let service = Some(service).filter(|service| !service.is_empty());
                Ok(Event { at: count(row.get(0)?), kind: row.get(1)?, service, text: row.get(3)? })
            },
        )?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// All calls to each service in the steps of a tier since a time.
    pub fn sums(&self, tier: usize, since: u64) -> Result<BTreeMap<ServiceName, Calls>, StoreError> {
        let mut find = self.connection.prepare_cached(
            "SELECT callee, SUM(requests), SUM(failed) FROM points JOIN edges ON edges.id = points.edge
             WHERE tier = ?1 AND at >= ?2 GROUP BY callee",
        )?;
        let mut rows = find.query(params![number(tier as u64), number(since)])?;
        let mut sums = BTreeMap::new();
        while let Some(row) = rows.next()? {
            // What was written here was a name.
            let Ok(callee) = row.get::<_, String>(0)?.parse() else { continue };
            sums.insert(callee, Calls { requests: count(row.get(1)?), failed: count(row.get(2)?) });
        }
        Ok(sums)
    }

    /// Gives every point of a tier within a time.
    pub fn read(
        &self,
        callee: Option<&str>,
        tier: usize,
        span: Span,
        take: &mut impl FnMut(Edge, u64, &Point),
    ) -> Result<(), StoreError> {
        let mut find = self.connection.prepare_cached(
            "SELECT requests, failed, latency, at, caller, callee FROM points JOIN edges ON edges.id = points.edge
             WHERE tier = ?1 AND at >= ?2 AND at < ?3 AND (?4 IS NULL OR callee = ?4)",
        )?;
        let mut rows =
            find.query(params![number(tier as u64), number(span.from), number(span.until), callee])?;
        while let Some(row) = rows.next()? {
            let (caller, callee): (String, String) = (row.get(4)?, row.get(5)?);
            // What was written here was a name.
            let Ok(callee) = callee.parse() else { continue };
            take(Edge { caller: caller.parse().ok(), callee }, count(row.get(3)?), &point_of(row)??);
        }
        Ok(())
    }
}

fn point_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Result<Point, serde_json::Error>> {
    let (requests, failed) = (count(row.get(0)?), count(row.get(1)?));
    let latency: String = row.get(2)?;
    Ok(serde_json::from_str::<Histogram>(&latency).map(|latency| Point { requests, failed, latency }))
}

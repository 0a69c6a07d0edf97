//! The file in which spans are kept, and how they are found in it: SQLite, with an index of all words.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use model::{KeptSpan, TraceId};
use rusqlite::types::ToSql;
use rusqlite::{Connection, params};

use crate::StoreError;
use crate::file::{self, count, number};

/// `words` has no text of its own: it is an index of words to the numbers of spans.
const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS spans (
  n INTEGER PRIMARY KEY AUTOINCREMENT, trace BLOB NOT NULL, id INTEGER NOT NULL, start INTEGER NOT NULL, duration INTEGER NOT NULL,
  service TEXT NOT NULL, caller TEXT, failed INTEGER NOT NULL, body TEXT NOT NULL, UNIQUE (trace, id)) STRICT;
CREATE INDEX IF NOT EXISTS spans_by_time ON spans (start);
CREATE INDEX IF NOT EXISTS spans_failed ON spans (start) WHERE failed;
CREATE TABLE IF NOT EXISTS sent (one INTEGER PRIMARY KEY CHECK (one = 1), n INTEGER NOT NULL) STRICT;
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5 (text, content='', contentless_delete=1);
";

/// What part of all spans goes at once where there are too many.
const SHARE: u64 = 10;
/// Terms of a search; those beyond are left out.
const MOST_TERMS: usize = 16;

/// Which spans are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpanQuery {
    /// Of this trace.
    pub trace: Option<TraceId>,
    /// Of this service, or called by it.
    pub service: Option<String>,
    /// Those that failed.
    pub errors: bool,
    /// Those that took longer.
    pub slower_than: Duration,
    /// With all these words, or beginnings of words, in names, texts or attributes (`key=value`).
    pub text: String,
    /// At most so many, the newest.
    pub most: usize,
}

impl SpanQuery {
    /// Whether a span is wanted: what the index says of stored ones.
    pub(crate) fn wants(&self, span: &KeptSpan) -> bool {
        let (service, caller) = span.services();
        let named = |wanted: &str| service.as_str() == wanted || caller.is_some_and(|c| c.as_str() == wanted);
        self.trace.is_none_or(|trace| span.trace() == trace)
            && self.service.as_deref().is_none_or(named)
            && (!self.errors || span.failed())
            && u128::from(span.duration()) > self.slower_than.as_nanos()
            && self.finds(&span.words())
    }

    fn finds(&self, words: &str) -> bool {
        let words = words.to_lowercase();
        self.terms().all(|term| words.contains(&term.to_lowercase()))
    }

    fn terms(&self) -> impl Iterator<Item = &str> {
        // What has no letter or digit is no word.
        self.text
            .split_whitespace()
            .filter(|term| term.contains(|c: char| c.is_alphanumeric()))
            .take(MOST_TERMS)
    }
}

/// Every method blocks.
#[derive(Debug)]
pub(crate) struct SpanStore {
    connection: Connection,
}

impl SpanStore {
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { connection: file::open(path, SCHEMA)? })
    }

    /// Adds these, all or none; what is there already stays as it is.
    pub fn write(&mut self, spans: &[Arc<KeptSpan>]) -> Result<(), StoreError> {
        let transaction = self.connection.transaction()?;
        {
            let mut put = transaction.prepare_cached(
                "INSERT OR IGNORE INTO spans (trace, id, start, duration, service, caller, failed, body)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?;
            let mut index = transaction.prepare_cached("INSERT INTO words (rowid, text) VALUES (?1, ?2)")?;
            for span in spans {
                let (service, caller) = span.services();
                let added = put.execute(params![
                    span.trace().0.to_be_bytes(),
                    span.id().0.cast_signed(),
                    number(span.start()),
                    number(span.duration()),
                    service.as_str(),
                    caller.map(|c| c.as_str()),
                    span.failed(),
                    serde_json::to_string(&**span)?
                ])?;
                if added > 0 {
                    index.execute(params![transaction.last_insert_rowid(), span.words()])?;
                }
            }
        }
        Ok(transaction.commit()?)
    }

    /// Removes what began before a time (Unix nanoseconds), and then the oldest while there is more than `bytes`.
    pub fn forget(&mut self, before: u64, bytes: u64) -> Result<(), StoreError> {
        self.remove(before)?;
        while file::bytes(&self.connection)? > bytes {
            let part =
                "SELECT start FROM spans ORDER BY start LIMIT 1 OFFSET (SELECT COUNT(*) FROM spans) / ?1";
            let Ok(start) = self.connection.query_row(part, [number(SHARE)], |row| row.get::<_, i64>(0))
            else {
                break;
            };
            if self.remove(count(start).saturating_add(1))? == 0 {
                break;
            }
        }
        Ok(())
    }

    fn remove(&mut self, before: u64) -> Result<usize, StoreError> {
        let transaction = self.connection.transaction()?;
        let before = number(before);
        transaction
            .execute("DELETE FROM words WHERE rowid IN (SELECT n FROM spans WHERE start < ?1)", [before])?;
        let removed = transaction.execute("DELETE FROM spans WHERE start < ?1", [before])?;
        transaction.commit()?;
        Ok(removed)
    }

    /// The newest spans that are wanted, the newest first.
    pub fn find(&self, query: &SpanQuery) -> Result<Vec<KeptSpan>, StoreError> {
        let mut conditions = vec!["1"];
        let mut values: Vec<Box<dyn ToSql>> = Vec::new();
        if let Some(trace) = query.trace {
            conditions.push("trace = ?");
            values.push(Box::new(trace.0.to_be_bytes()));
        }
        if let Some(service) = &query.service {
            conditions.push("(service = ? OR caller = ?)");
            values.push(Box::new(service.clone()));
            values.push(Box::new(service.clone()));
        }
        if query.errors {
            conditions.push("failed");
        }
        if !query.slower_than.is_zero() {
            conditions.push("duration > ?");
            values.push(Box::new(number(u64::try_from(query.slower_than.as_nanos()).unwrap_or(u64::MAX))));
        }
        // Each term is a phrase, so that `order.id=42` is three words in a row, and nothing in it means anything to FTS5.
        let phrases: Vec<String> =
            query.terms().map(|term| format!("\"{}\" *", term.replace('"', "\"\""))).collect();
        if !phrases.is_empty() {
            conditions.push("n IN (SELECT rowid FROM words WHERE words MATCH ?)");
            values.push(Box::new(phrases.join(" AND ")));
        }
        values.push(Box::new(number(query.most as u64)));
        let sql =
            format!("SELECT body FROM spans WHERE {} ORDER BY start DESC LIMIT ?", conditions.join(" AND "));
        let mut find = self.connection.prepare_cached(&sql)?;
        let rows = find.query_map(rusqlite::params_from_iter(values), |row| row.get::<_, String>(0))?;
        let mut found = Vec::new();
        for body in rows {
            found.push(serde_json::from_str(&body?)?);
        }
        Ok(found)
    }

    /// The oldest spans that were not sent on, and the number of the last of them. What was there before anything was to be sent
    /// on never is.
    pub fn unsent(&mut self, most: usize) -> Result<(Vec<KeptSpan>, i64), StoreError> {
        let begin = "INSERT OR IGNORE INTO sent VALUES (1, (SELECT COALESCE(MAX(n), 0) FROM spans))";
        self.connection.execute(begin, [])?;
        let mut find = self
            .connection
            .prepare_cached("SELECT n, body FROM spans WHERE n > (SELECT n FROM sent) ORDER BY n LIMIT ?1")?;
        let rows =
            find.query_map([number(most as u64)], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
        let (mut spans, mut last) = (Vec::new(), 0);
        for row in rows {
            let (n, body): (i64, String) = row?;
            spans.push(serde_json::from_str(&body)?);
            last = n;
        }
        Ok((spans, last))
    }

    /// Those up to a number were sent on.
    pub fn sent(&mut self, n: i64) -> Result<(), StoreError> {
        self.connection.execute("UPDATE sent SET n = MAX(n, ?1)", [n])?;
        Ok(())
    }

    pub fn bytes(&self) -> Result<u64, StoreError> {
        file::bytes(&self.connection)
    }
}

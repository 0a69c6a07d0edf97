//! What services measure themselves, over time: SQLite, a row for each number, tier and step.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use model::{Measured, PointKind, ServiceName};
use rusqlite::{Connection, params};

use crate::file::{self, count, number};
use crate::metrics::Slot;
use crate::{Limits, Span, StoreError, TIERS};

/// The tiers that numbers are kept in. Services send them every few seconds at most, so that the finest would hold nothing that
/// the next does not.
const FINEST: usize = 1;
/// Values that are kept for the next time where they cannot be written.
const MOST_DUE: usize = 50_000;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS series (
  id INTEGER PRIMARY KEY, service TEXT NOT NULL, name TEXT NOT NULL, replica TEXT NOT NULL, attributes TEXT NOT NULL,
  unit TEXT NOT NULL, kind TEXT NOT NULL, UNIQUE (service, name, replica, attributes)) STRICT;
CREATE TABLE IF NOT EXISTS samples (
  series INTEGER NOT NULL REFERENCES series, tier INTEGER NOT NULL, at INTEGER NOT NULL, value REAL NOT NULL,
  PRIMARY KEY (series, tier, at)) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS samples_by_time ON samples (tier, at);
CREATE TRIGGER IF NOT EXISTS series_without_samples AFTER DELETE ON samples
  WHEN NOT EXISTS (SELECT 1 FROM samples WHERE series = OLD.series)
  BEGIN DELETE FROM series WHERE id = OLD.series; END;
";

/// One number over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The process that says so, if it says which it is.
    pub replica: Option<String>,
    /// What tells it apart from others of the name.
    pub attributes: Vec<(String, String)>,
    /// The unit, in the words of UCUM; empty where there is none.
    pub unit: String,
    /// What kind of number.
    pub kind: PointKind,
    /// The last value within each step, by the begin of the step, in Unix seconds; steps in which none came are left out.
    pub points: BTreeMap<u64, f64>,
}

/// Which number: service, name, replica, attributes.
type Key = (String, String, String, Vec<(String, String)>);

/// Values that are not written down yet: the last of each step.
#[derive(Debug)]
struct Waiting {
    unit: String,
    kind: PointKind,
    values: BTreeMap<Slot, f64>,
}

/// The numbers of all services over time.
#[derive(Debug)]
pub struct History {
    file: Mutex<Connection>,
    due: Mutex<BTreeMap<Key, Waiting>>,
    limits: Limits,
}

impl History {
    /// Opens the file, and makes it when there is none.
    ///
    /// # Errors
    /// It cannot be opened, or is none.
    pub fn open(path: &Path, limits: Limits) -> Result<Self, StoreError> {
        Ok(Self { file: Mutex::new(file::open(path, SCHEMA)?), due: Mutex::default(), limits })
    }

    /// What a service just measured. Touches no disk.
    pub fn add(&self, service: &ServiceName, measured: &[Measured]) {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        for one in measured {
            let replica = one.replica.clone().unwrap_or_default();
            let key = (service.to_string(), one.name.clone(), replica, one.attributes.clone());
            let waiting = due.entry(key).or_insert_with(|| Waiting {
                unit: one.unit.clone(),
                kind: one.kind,
                values: BTreeMap::new(),
            });
            for (tier, length) in TIERS.iter().enumerate().skip(FINEST) {
                waiting.values.insert((tier, one.at / length.step * length.step), one.value);
            }
        }
    }

    /// Writes down what came since the last time, and forgets what is too old at `now` (Unix seconds) or too much. Blocks.
    ///
    /// # Errors
    /// The disk is full or broken; what was to be written stays, up to a bound, for the next time.
    pub fn flush(&self, now: u64) -> Result<(), StoreError> {
        // Readers wait, so that nobody misses what is on its way.
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let due = std::mem::take(&mut *self.due.lock().unwrap_or_else(PoisonError::into_inner));
        if let Err(error) = write(&mut file, &due) {
            if due.values().map(|waiting| waiting.values.len()).sum::<usize>() <= MOST_DUE {
                self.put_back(due);
            }
            return Err(error);
        }
        file::forget(&file, "samples", FINEST, self.limits.bytes, now)
    }

    fn put_back(&self, due: BTreeMap<Key, Waiting>) {
        let mut later = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, mut old) in due {
            if let Some(newer) = later.remove(&key) {
                old.values.extend(newer.values);
            }
            later.insert(key, old);
        }
    }

    /// All numbers of that name of a service, at `now` (Unix seconds). Gives the seconds of a point with them. Blocks.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(
        &self,
        service: &ServiceName,
        name: &str,
        span: Span,
        now: u64,
    ) -> Result<(u64, Vec<Series>), StoreError> {
        let (tier, step) = span.steps_from(FINEST, now);
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = BTreeMap::<(String, Vec<(String, String)>), Series>::new();
        let mut take = |replica: String,
                        attributes: Vec<(String, String)>,
                        unit: &str,
                        kind: PointKind,
                        at: u64,
                        value: f64| {
            let series = found.entry((replica.clone(), attributes.clone())).or_insert_with(|| Series {
                replica: Some(replica).filter(|replica| !replica.is_empty()),
                attributes,
                unit: unit.to_owned(),
                kind,
                points: BTreeMap::new(),
            });
            // In the order of time, so that the last of a step stays.
            series.points.insert(at / step * step, value);
        };
        let mut find = file.prepare_cached(
            "SELECT replica, attributes, unit, kind, at, value FROM series JOIN samples ON samples.series = series.id
             WHERE service = ?1 AND name = ?2 AND tier = ?3 AND at >= ?4 AND at < ?5 ORDER BY at",
        )?;
        let mut rows = find.query(params![
            service.as_str(),
            name,
            number(tier as u64),
            number(span.from),
            number(span.until)
        ])?;
        while let Some(row) = rows.next()? {
            let (attributes, kind): (String, String) = (row.get(1)?, row.get(3)?);
            let (attributes, kind) = (serde_json::from_str(&attributes)?, serde_json::from_str(&kind)?);
            take(row.get(0)?, attributes, &row.get::<_, String>(2)?, kind, count(row.get(4)?), row.get(5)?);
        }
        let due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        for ((of, what, replica, attributes), waiting) in due.iter() {
            if of == service.as_str() && what == name {
                let within = waiting.values.range((tier, span.from)..(tier, span.until));
                for ((_, at), value) in within {
                    take(replica.clone(), attributes.clone(), &waiting.unit, waiting.kind, *at, *value);
                }
            }
        }
        Ok((step, found.into_values().collect()))
    }
}

/// All or nothing. A value of a step replaces an earlier one of the same step.
fn write(file: &mut Connection, due: &BTreeMap<Key, Waiting>) -> Result<(), StoreError> {
    let transaction = file.transaction()?;
    {
        let mut know = transaction.prepare_cached(
            "INSERT INTO series (service, name, replica, attributes, unit, kind) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT DO UPDATE SET unit = excluded.unit, kind = excluded.kind RETURNING id",
        )?;
        let mut put = transaction.prepare_cached("INSERT OR REPLACE INTO samples VALUES (?1, ?2, ?3, ?4)")?;
        for ((service, name, replica, attributes), waiting) in due {
            let (attributes, kind) =
                (serde_json::to_string(attributes)?, serde_json::to_string(&waiting.kind)?);
            let row = params![service, name, replica, attributes, waiting.unit, kind];
            let id: i64 = know.query_row(row, |row| row.get(0))?;
            for ((tier, at), value) in &waiting.values {
                put.execute(params![id, number(*tier as u64), number(*at), value])?;
            }
        }
    }
    Ok(transaction.commit()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn measured(name: &str, replica: &str, at: u64, value: f64) -> Measured {
        let attributes = vec![("route".to_owned(), "/a".to_owned())];
        let replica = Some(replica.to_owned()).filter(|replica| !replica.is_empty());
        Measured {
            name: name.to_owned(),
            replica,
            attributes,
            unit: "By".to_owned(),
            kind: PointKind::Gauge,
            value,
            at,
        }
    }

    fn last(seconds: u64, points: u64) -> Span {
        Span { from: NOW - seconds, until: NOW + 1, points }
    }

    /// Values by how many seconds ago they were.
    type Values = Vec<(Option<String>, Vec<(u64, f64)>)>;

    fn values(history: &History, name: &str, span: Span) -> (u64, Values) {
        let (step, series) = history.read(&"orders".parse().unwrap(), name, span, NOW).unwrap();
        (
            step,
            series
                .into_iter()
                .map(|s| (s.replica, s.points.into_iter().map(|(at, v)| (NOW - at, v)).collect()))
                .collect(),
        )
    }

    #[test]
    fn the_last_value_of_each_step_is_kept_while_it_waits_when_written_and_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("measured.db");
        let open = || History::open(&path, Limits::default()).unwrap();
        let (history, orders) = (open(), "orders".parse().unwrap());
        history.add(
            &orders,
            &[measured("heap", "orders-1", NOW - 20, 1.0), measured("other", "orders-1", NOW, 9.0)],
        );
        history
            .add(&orders, &[measured("heap", "orders-1", NOW - 15, 2.0), measured("heap", "", NOW - 5, 7.0)]);
        history.add(&"stock".parse().unwrap(), &[measured("heap", "orders-1", NOW, 5.0)]);
        let one = |values: &[(u64, f64)]| (Some("orders-1".to_owned()), values.to_vec());
        let expected = (10, vec![(None, vec![(10, 7.0)]), one(&[(20, 2.0)])]);
        assert_eq!(values(&history, "heap", last(3_600, 1_000)), expected);
        history.flush(NOW).unwrap();
        assert_eq!(values(&history, "heap", last(3_600, 1_000)), expected);
        // Later in a step of which something is written already.
        history.add(&orders, &[measured("heap", "orders-1", NOW - 11, 3.0)]);
        let expected = (10, vec![(None, vec![(10, 7.0)]), one(&[(20, 3.0)])]);
        assert_eq!(values(&history, "heap", last(3_600, 1_000)), expected);
        history.flush(NOW).unwrap();
        drop(history);
        let history = open();
        assert_eq!(values(&history, "heap", last(3_600, 1_000)), expected);
        let (step, lines) = values(&history, "heap", last(10 * 86_400, 10_000));
        assert_eq!((step, lines), (300, vec![(None, vec![(300, 7.0)]), one(&[(300, 3.0)])]));
        assert_eq!(values(&history, "nothing", last(3_600, 10)).1, []);
    }

    #[test]
    fn numbers_that_come_once_and_never_again_do_not_fill_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::open(&folder.path().join("a.db"), Limits { bytes: 300_000 }).unwrap();
        let orders = "orders".parse().unwrap();
        for round in 0..10 {
            let at = NOW - 10_000 + round * 1_000;
            let once: Vec<_> = (0..500).map(|n| measured(&format!("of-{round}-{n}"), "", at, 1.0)).collect();
            history.add(&orders, &once);
            history.flush(at + 900).unwrap();
        }
        let file = history.file.lock().unwrap();
        let ask = |sql: &str| file.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        assert!(file::bytes(&file).unwrap() <= 300_000);
        let kept = ask("SELECT COUNT(*) FROM series");
        assert!((1..5_000).contains(&kept), "{kept}");
        assert_eq!(ask("SELECT COUNT(DISTINCT series) FROM samples"), kept);
    }

    #[test]
    fn what_is_old_goes_and_so_does_the_finest_where_there_is_too_much() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::open(&folder.path().join("a.db"), Limits { bytes: 150_000 }).unwrap();
        let orders = "orders".parse().unwrap();
        history.add(&orders, &[measured("old", "", NOW - 40 * 86_400, 1.0)]);
        history.flush(NOW - 40 * 86_400).unwrap();
        for at in (NOW - 80_000..NOW).step_by(10) {
            history.add(&orders, &[measured("heap", "", at, at as f64)]);
        }
        history.flush(NOW).unwrap();
        let file = history.file.lock().unwrap();
        let ask = |sql: &str| file.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        assert!(file::bytes(&file).unwrap() <= 150_000);
        assert_eq!(ask("SELECT COUNT(*) FROM series"), 1, "what has no values any more");
        assert!((1_000..7_900).contains(&ask("SELECT COUNT(*) FROM samples WHERE tier = 1")));
        assert!(ask("SELECT COUNT(*) FROM samples WHERE tier = 2") >= 266);
    }
}

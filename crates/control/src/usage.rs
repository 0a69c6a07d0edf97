//! Which operations of each service are called, by whom and how they end, hour by hour for 30 days.
//!
//! The data plane counts from when it was started. What it has counted since the last look is added to the present hour,
//! and now and then written down: a control plane that is killed loses the counts of a few seconds, no more.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::{Operation, ProcessId, ServiceName};
use proxy::link::Signals;
use rusqlite::params;

use crate::store::{Store, StoreError};
use crate::world::{World, now};

/// How often counts are written down.
const FLUSH: Duration = Duration::from_secs(10);
const HOUR: u64 = 3_600_000;
/// How long they are kept.
pub const DAYS: u64 = 30;

/// The table in the state database. An empty caller is the gateway, an empty operation what no operation fits.
pub const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS usage (
  callee TEXT NOT NULL, caller TEXT NOT NULL, operation TEXT NOT NULL, hour INTEGER NOT NULL,
  unanswered INTEGER NOT NULL, good INTEGER NOT NULL, redirected INTEGER NOT NULL, refused INTEGER NOT NULL, failed INTEGER NOT NULL,
  PRIMARY KEY (callee, caller, operation, hour)) STRICT, WITHOUT ROWID;
";

/// Requests by how they ended: nobody waited for the answer; status 1xx or 2xx; 3xx; 4xx; 5xx.
pub type Ends = [u64; 5];

/// What one caller asked of one operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Called {
    /// Who; none is the gateway.
    pub caller: Option<ServiceName>,
    /// The operation, as its contract names it; none for requests that no operation fits.
    pub operation: Option<String>,
    /// The begin of the first hour in which there were any, and of the last: Unix milliseconds.
    pub hours: (u64, u64),
    /// The requests.
    pub ends: Ends,
}

impl Called {
    /// All of them.
    pub fn requests(&self) -> u64 {
        self.ends.iter().sum()
    }

    /// Requests in an hour, on average since the first; at `now` (Unix milliseconds).
    pub fn per_hour(&self, now: u64) -> f64 {
        let hours = now.saturating_sub(self.hours.0) as f64 / HOUR as f64;
        self.requests() as f64 / hours.max(1.0)
    }
}

/// What is known of a service's usage.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Used {
    /// What was called, by operation and caller.
    pub called: Vec<Called>,
    /// The operations of the contract that is in charge.
    pub operations: Vec<Operation>,
    /// The routes of the gateway to it, by name, and how often each was taken, if it was.
    pub routes: Vec<(String, Option<Called>)>,
}

/// In place of an operation's name in the table: a route of the gateway. No method of HTTP is written like that.
const ROUTE: &str = "route ";

/// What the table has of a service.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    /// Calls of operations, and of what is none.
    pub called: Vec<Called>,
    /// Routes of the gateway that were taken, by name.
    taken: BTreeMap<String, Called>,
}

impl Rows {
    fn of(rows: Vec<Called>) -> Self {
        let route =
            |row: &Called| row.operation.as_ref().and_then(|o| o.strip_prefix(ROUTE)).map(str::to_owned);
        let mut found = Self::default();
        for row in rows {
            match route(&row) {
                Some(name) => drop(found.taken.insert(name, row)),
                None => found.called.push(row),
            }
        }
        found
    }

    /// With what could have been called: operations, and names of routes.
    pub fn used(mut self, operations: Vec<Operation>, routes: impl Iterator<Item = String>) -> Used {
        let routes = routes.map(|name| {
            let taken = self.taken.remove(&name);
            (name, taken)
        });
        Used { routes: routes.collect(), called: self.called, operations }
    }
}

/// A caller and an operation of a callee.
type Key = (ServiceName, Option<ServiceName>, Option<String>);

/// The counts that are not written down yet.
#[derive(Debug, Default)]
pub struct Usage(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The data plane that counts.
    process: Option<ProcessId>,
    /// What it had counted at the last look.
    seen: HashMap<(SocketAddr, Key), Ends>,
    /// By hour since 1970.
    due: BTreeMap<(Key, u64), Ends>,
}

impl Usage {
    /// Takes what the data plane `process` has counted by `at` (Unix milliseconds).
    pub fn take(&self, process: ProcessId, signals: &Signals, at: u64) {
        let mut state = self.lock();
        // What a data plane had counted before this control plane was there has been written down by the one before.
        let begins = state.process.is_none();
        if state.process != Some(process) {
            state.seen.clear();
        }
        state.process = Some(process);
        for edge in &signals.edges {
            let operations = edge.operations.iter().map(|counts| (counts.name.clone(), counts.ends));
            // How they ended is counted with their operations.
            let routes = edge
                .routes
                .iter()
                .map(|(name, taken)| (Some(format!("{ROUTE}{name}")), [0, *taken, 0, 0, 0]));
            for (name, ends) in operations.chain(routes) {
                let key = (edge.callee.clone(), edge.caller.clone(), name);
                let before = state.seen.insert((edge.listener, key.clone()), ends).unwrap_or_default();
                // With another contract counting begins anew.
                let went_on = ends.iter().zip(before).all(|(now, before)| *now >= before);
                let before = if went_on { before } else { Ends::default() };
                let fresh = |end: usize| ends[end] - before[end];
                if !begins && (0..5).any(|end| fresh(end) > 0) {
                    let due = state.due.entry((key, at / HOUR)).or_default();
                    (0..5).for_each(|end| due[end] += fresh(end));
                }
            }
        }
    }

    /// Writes down what is due. Blocks.
    pub fn flush(&self, store: &Store) -> Result<(), StoreError> {
        let due = std::mem::take(&mut self.lock().due);
        if due.is_empty() {
            return Ok(());
        }
        store.add_usage(&due).inspect_err(|_| {
            let mut state = self.lock();
            for (key, ends) in &due {
                let again = state.due.entry(key.clone()).or_default();
                (0..5).for_each(|end| again[end] += ends[end]);
            }
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every step leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    fn add_usage(&self, due: &BTreeMap<(Key, u64), Ends>) -> Result<(), StoreError> {
        let mut connection = self.connection();
        let transaction = connection.transaction()?;
        {
            let mut add = transaction.prepare_cached(
                "INSERT INTO usage VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO UPDATE SET
                 unanswered = unanswered + excluded.unanswered, good = good + excluded.good,
                 redirected = redirected + excluded.redirected, refused = refused + excluded.refused,
                 failed = failed + excluded.failed",
            )?;
            for (((callee, caller, operation), hour), ends) in due {
                let caller = caller.as_ref().map_or("", ServiceName::as_str);
                let operation = operation.as_deref().unwrap_or_default();
                let [unanswered, good, redirected, refused, failed] =
                    ends.map(|n| i64::try_from(n).unwrap_or(i64::MAX));
                add.execute(params![
                    callee.as_str(),
                    caller,
                    operation,
                    i64::try_from(*hour).unwrap_or(i64::MAX),
                    unanswered,
                    good,
                    redirected,
                    refused,
                    failed
                ])?;
            }
            let oldest = (now() / HOUR).saturating_sub(DAYS * 24);
            transaction.execute("DELETE FROM usage WHERE hour < ?1", [i64::try_from(oldest).unwrap_or(0)])?;
        }
        Ok(transaction.commit()?)
    }

    /// What was called of a service since `since` (Unix milliseconds), by operation and caller. Blocks.
    pub fn usage(&self, callee: &ServiceName, since: u64) -> Result<Vec<Called>, StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(
            "SELECT caller, operation, MIN(hour), MAX(hour), SUM(unanswered), SUM(good), SUM(redirected), SUM(refused), SUM(failed)
             FROM usage WHERE callee = ?1 AND hour >= ?2 GROUP BY caller, operation ORDER BY operation, caller",
        )?;
        let since = i64::try_from(since / HOUR).unwrap_or(i64::MAX);
        let count =
            |row: &rusqlite::Row<'_>, at| row.get::<_, i64>(at).map(|n| u64::try_from(n).unwrap_or(0));
        let rows = statement.query_map(params![callee.as_str(), since], |row| {
            let (caller, operation): (String, String) = (row.get(0)?, row.get(1)?);
            let mut ends = Ends::default();
            for (at, end) in ends.iter_mut().enumerate() {
                *end = count(row, 4 + at)?;
            }
            Ok(Called {
                // What was written here was a name.
                caller: caller.parse().ok(),
                operation: Some(operation).filter(|operation| !operation.is_empty()),
                hours: (count(row, 2)? * HOUR, count(row, 3)? * HOUR),
                ends,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

/// What was called of a service within this time, up to now. Blocks.
pub(crate) fn of(world: &World, service: &ServiceName, within: Duration) -> Result<Rows, StoreError> {
    world.usage.flush(&world.store)?;
    let within = u64::try_from(within.as_millis()).unwrap_or(u64::MAX).min(DAYS * 24 * HOUR);
    let since = now().saturating_sub(within);
    Ok(Rows::of(world.store.usage(service, since)?))
}

/// Writes counts down now and then, and at the end.
pub async fn keep(world: Arc<World>) {
    loop {
        let goes_on = world.stop.run_until_cancelled(tokio::time::sleep(FLUSH)).await.is_some();
        let own = world.clone();
        let flushed = tokio::task::spawn_blocking(move || own.usage.flush(&own.store)).await;
        if let Ok(Err(error)) = flushed {
            tracing::warn!("what was called could not be written down: {error}");
        }
        if !goes_on {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use proxy::link::{EdgeSignals, OperationCounts};

    use super::*;

    fn process(pid: u32) -> ProcessId {
        ProcessId { pid, start_time: 1 }
    }

    fn signals(caller: Option<&str>, operations: &[(&str, Ends)]) -> Signals {
        let counts = |(name, ends): &(&str, Ends)| OperationCounts {
            name: Some((*name).to_owned()).filter(|name| !name.is_empty()),
            ends: *ends,
        };
        let operations = operations.iter().map(counts).collect();
        let edge = EdgeSignals { operations, ..crate::testing::edge(caller, "stock") };
        Signals { edges: vec![edge], ..Signals::default() }
    }

    #[test]
    fn what_comes_is_added_up_by_caller_operation_and_hour() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("state.db")).unwrap();
        let (usage, stock, begin) = (Usage::default(), "stock".parse().unwrap(), now());
        let read = |ends: Ends| signals(Some("orders"), &[("GET /a", ends)]);
        usage.take(process(1), &read([0, 90, 0, 0, 0]), begin);
        usage.flush(&store).unwrap();
        assert_eq!(store.usage(&stock, 0).unwrap(), [], "the control plane before has counted these");

        usage.take(process(1), &read([0, 100, 0, 2, 0]), begin);
        usage.flush(&store).unwrap();
        // Another contract.
        usage.take(process(1), &read([0, 3, 0, 0, 0]), begin + HOUR);
        // Another data plane.
        usage.take(process(2), &read([0, 5, 0, 0, 1]), begin + HOUR);
        usage.take(process(2), &signals(None, &[("", [0, 0, 0, 1, 0])]), begin + HOUR);
        usage.flush(&store).unwrap();
        let first = begin / HOUR * HOUR;
        let expected = [
            Called {
                caller: None,
                operation: None,
                hours: (first + HOUR, first + HOUR),
                ends: [0, 0, 0, 1, 0],
            },
            Called {
                caller: Some("orders".parse().unwrap()),
                operation: Some("GET /a".to_owned()),
                hours: (first, first + HOUR),
                ends: [0, 18, 0, 2, 1],
            },
        ];
        assert_eq!(store.usage(&stock, 0).unwrap(), expected);
        assert_eq!(store.usage(&stock, begin + HOUR).unwrap()[1].ends, [0, 8, 0, 0, 1]);
        assert_eq!(expected[1].per_hour(first + 3 * HOUR), 7.0);
        assert_eq!(expected[1].per_hour(first), 21.0, "of less than an hour nothing is made more");
    }

    #[test]
    fn what_is_old_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("state.db")).unwrap();
        let (usage, old) = (Usage::default(), now() - (DAYS + 1) * 24 * HOUR);
        usage.take(process(1), &signals(None, &[]), old);
        usage.take(process(1), &signals(None, &[("GET /a", [0, 1, 0, 0, 0])]), old);
        usage.flush(&store).unwrap();
        assert_eq!(store.usage(&"stock".parse().unwrap(), 0).unwrap(), []);
    }
}

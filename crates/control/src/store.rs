//! What has to outlive the control plane, in SQLite.
//!
//! A process that is spawned and not recorded yet is not lost when the control plane dies in between: it carries
//! the app's mark in its environment (`ISLES_DATA`), by which it is found and ended.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Mutex;

use model::{ObservedState, ReleaseId, ReplicaId, ReplicaState, ServiceName};
use planner::rollout::{Deployment, Outcome, Rollout, Stage};
use rusqlite::{Connection, OptionalExtension as _, params};

/// The database failed. Its text says what SQLite said.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite could not do it.
    #[error("the state database failed: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A row holds what this version cannot read.
    #[error("the state database holds something unreadable: {0}")]
    Unreadable(String),
}

/// Rollouts of a service that are remembered.
const MOST_ROLLOUTS: u32 = 100;

/// An edge: who calls whom.
pub type EdgeKey = (ServiceName, ServiceName);

/// The state database. Every method blocks for a disk write at most.
#[derive(Debug)]
pub struct Store {
    connection: Mutex<Connection>,
}

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS replicas (id TEXT PRIMARY KEY, state TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS edges (
  caller TEXT NOT NULL, callee TEXT NOT NULL, address TEXT NOT NULL, PRIMARY KEY (caller, callee)) STRICT;
CREATE TABLE IF NOT EXISTS gateway (one INTEGER PRIMARY KEY CHECK (one = 1), address TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS scales (service TEXT PRIMARY KEY, replicas INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS restarts (service TEXT PRIMARY KEY, at INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS prepared (
  service TEXT NOT NULL, release TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (service, release)) STRICT;
CREATE TABLE IF NOT EXISTS deployments (service TEXT PRIMARY KEY, state TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS rollouts (
  service TEXT NOT NULL, id INTEGER NOT NULL, state TEXT NOT NULL, PRIMARY KEY (service, id)) STRICT;
";

impl Store {
    /// Opens the database, and makes it when there is none.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        // SQLite gives its other files the mode of the database.
        let private = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
        private.map_err(|e| StoreError::Unreadable(format!("{}: {e}", path.display())))?;
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        connection.execute_batch(SCHEMA)?;
        connection.execute_batch(crate::usage::SCHEMA)?;
        Ok(Self { connection: Mutex::new(connection) })
    }

    pub(crate) fn connection(&self) -> std::sync::MutexGuard<'_, Connection> {
        // A poisoned lock only says that another thread panicked; SQLite rolled its transaction back.
        self.connection.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Every replica that was recorded last.
    pub fn replicas(&self) -> Result<ObservedState, StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare("SELECT id, state FROM replicas")?;
        let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
        let mut observed = ObservedState::default();
        for row in rows {
            let (id, state) = row?;
            let id: ReplicaId =
                id.parse().map_err(|e| StoreError::Unreadable(format!("replica {id}: {e}")))?;
            let state: ReplicaState = serde_json::from_str(&state)
                .map_err(|e| StoreError::Unreadable(format!("replica {id}: {e}")))?;
            observed.replicas.insert(id, state);
        }
        Ok(observed)
    }

    /// Records what changed between two observations, in one transaction.
    pub fn record(&self, before: &ObservedState, after: &ObservedState) -> Result<(), StoreError> {
        let mut connection = self.connection();
        let transaction = connection.transaction()?;
        for (id, state) in &after.replicas {
            if before.replicas.get(id) != Some(state) {
                let json = json(state)?;
                transaction.execute(
                    "INSERT INTO replicas (id, state) VALUES (?1, ?2)
                     ON CONFLICT (id) DO UPDATE SET state = excluded.state",
                    params![id.to_string(), json],
                )?;
            }
        }
        for id in before.replicas.keys().filter(|id| !after.replicas.contains_key(*id)) {
            transaction.execute("DELETE FROM replicas WHERE id = ?1", params![id.to_string()])?;
        }
        Ok(transaction.commit()?)
    }

    /// The addresses that edges had, so that a service that runs keeps the address of its callee.
    pub fn edges(&self) -> Result<BTreeMap<EdgeKey, SocketAddr>, StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare("SELECT caller, callee, address FROM edges")?;
        let rows = statement.query_map([], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?))
        })?;
        let mut edges = BTreeMap::new();
        for row in rows {
            let (caller, callee, address) = row?;
            if let (Ok(caller), Ok(callee), Ok(address)) = (caller.parse(), callee.parse(), address.parse()) {
                edges.insert((caller, callee), address);
            }
        }
        Ok(edges)
    }

    /// Records the addresses of all edges.
    pub fn set_edges(&self, edges: &BTreeMap<EdgeKey, SocketAddr>) -> Result<(), StoreError> {
        let mut connection = self.connection();
        let transaction = connection.transaction()?;
        transaction.execute("DELETE FROM edges", [])?;
        for ((caller, callee), address) in edges {
            transaction.execute(
                "INSERT INTO edges (caller, callee, address) VALUES (?1, ?2, ?3)",
                params![caller.as_str(), callee.as_str(), address.to_string()],
            )?;
        }
        Ok(transaction.commit()?)
    }

    /// The address that the gateway got where the manifest leaves the port open.
    pub fn gateway(&self) -> Result<Option<SocketAddr>, StoreError> {
        let row =
            self.connection().query_row("SELECT address FROM gateway", [], |row| row.get::<_, String>(0));
        Ok(row.optional()?.and_then(|address| address.parse().ok()))
    }

    /// Records that address.
    pub fn set_gateway(&self, address: SocketAddr) -> Result<(), StoreError> {
        self.connection().execute(
            "INSERT INTO gateway (one, address) VALUES (1, ?1)
             ON CONFLICT (one) DO UPDATE SET address = excluded.address",
            params![address.to_string()],
        )?;
        Ok(())
    }

    /// Replica counts set by hand.
    pub fn scales(&self) -> Result<BTreeMap<ServiceName, u32>, StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare("SELECT service, replicas FROM scales")?;
        let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, u32>(1)?)))?;
        let mut scales = BTreeMap::new();
        for row in rows {
            let (service, replicas) = row?;
            if let Ok(service) = service.parse() {
                scales.insert(service, replicas);
            }
        }
        Ok(scales)
    }

    /// Records a replica count set by hand.
    pub fn set_scale(&self, service: &ServiceName, replicas: u32) -> Result<(), StoreError> {
        self.connection().execute(
            "INSERT INTO scales (service, replicas) VALUES (?1, ?2)
             ON CONFLICT (service) DO UPDATE SET replicas = excluded.replicas",
            params![service.as_str(), replicas],
        )?;
        Ok(())
    }

    /// Forgets it.
    pub fn forget_scale(&self, service: &ServiceName) -> Result<(), StoreError> {
        self.connection().execute("DELETE FROM scales WHERE service = ?1", params![service.as_str()])?;
        Ok(())
    }

    /// When each service was last to be restarted, in Unix milliseconds.
    pub fn restarts(&self) -> Result<BTreeMap<ServiceName, u64>, StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare("SELECT service, at FROM restarts")?;
        let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?;
        let mut restarts = BTreeMap::new();
        for row in rows {
            let (service, at) = row?;
            if let (Ok(service), Ok(at)) = (service.parse(), at.try_into()) {
                restarts.insert(service, at);
            }
        }
        Ok(restarts)
    }

    /// Records that a service is to be restarted, so that it is even if this control plane does not live to see it.
    pub fn set_restart(&self, service: &ServiceName, at: u64) -> Result<(), StoreError> {
        self.connection().execute(
            "INSERT INTO restarts (service, at) VALUES (?1, ?2)
             ON CONFLICT (service) DO UPDATE SET at = excluded.at",
            params![service.as_str(), i64::try_from(at).unwrap_or(i64::MAX)],
        )?;
        Ok(())
    }

    /// An orderly end: the manifest decides at the next start, no replica is left to adopt, and no rollout goes on.
    pub fn forget_run(&self, now: u64) -> Result<(), StoreError> {
        for (service, mut deployment) in self.deployments()? {
            if let Some(rollout) = deployment.rollout.as_mut().filter(|r| r.is_active()) {
                let outcome = Outcome::RolledBack { reason: "the app was stopped".to_owned() };
                rollout.go(Stage::Ended { outcome }, now, "the app was stopped");
                self.set_deployment(&service, &deployment)?;
            }
        }
        Ok(self
            .connection()
            .execute_batch("DELETE FROM scales; DELETE FROM restarts; DELETE FROM replicas;")?)
    }

    /// What each service is to run, and its latest rollout.
    pub fn deployments(&self) -> Result<BTreeMap<ServiceName, Deployment>, StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare("SELECT service, state FROM deployments")?;
        let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
        let mut deployments = BTreeMap::new();
        for row in rows {
            let (service, state) = row?;
            let unreadable = |e: &dyn std::fmt::Display| {
                StoreError::Unreadable(format!("the deployment of {service}: {e}"))
            };
            let name = service.parse().map_err(|e| unreadable(&e))?;
            deployments.insert(name, serde_json::from_str(&state).map_err(|e| unreadable(&e))?);
        }
        Ok(deployments)
    }

    /// Records what a service is to run; its rollout is remembered also when others follow.
    pub fn set_deployment(&self, service: &ServiceName, deployment: &Deployment) -> Result<(), StoreError> {
        let mut connection = self.connection();
        let transaction = connection.transaction()?;
        transaction.execute(
            "INSERT INTO deployments (service, state) VALUES (?1, ?2)
             ON CONFLICT (service) DO UPDATE SET state = excluded.state",
            params![service.as_str(), json(deployment)?],
        )?;
        if let Some(rollout) = &deployment.rollout {
            let id = i64::try_from(rollout.id).unwrap_or(i64::MAX);
            transaction.execute(
                "INSERT INTO rollouts (service, id, state) VALUES (?1, ?2, ?3)
                 ON CONFLICT (service, id) DO UPDATE SET state = excluded.state",
                params![service.as_str(), id, json(rollout)?],
            )?;
            transaction.execute(
                "DELETE FROM rollouts WHERE service = ?1 AND id NOT IN
                 (SELECT id FROM rollouts WHERE service = ?1 ORDER BY id DESC LIMIT ?2)",
                params![service.as_str(), MOST_ROLLOUTS],
            )?;
        }
        Ok(transaction.commit()?)
    }

    /// The rollouts of a service, the latest first.
    pub fn rollouts(&self, service: &ServiceName) -> Result<Vec<Rollout>, StoreError> {
        let connection = self.connection();
        let mut statement =
            connection.prepare("SELECT state FROM rollouts WHERE service = ?1 ORDER BY id DESC")?;
        let rows = statement.query_map([service.as_str()], |row| row.get::<_, String>(0))?;
        rows.map(|row| serde_json::from_str(&row?).map_err(|e| StoreError::Unreadable(e.to_string())))
            .collect()
    }

    /// Whether `before_start` was done for this release.
    pub fn is_prepared(&self, service: &ServiceName, release: &ReleaseId) -> Result<bool, StoreError> {
        Ok(self.connection().query_row(
            "SELECT EXISTS (SELECT 1 FROM prepared WHERE service = ?1 AND release = ?2)",
            params![service.as_str(), release.0],
            |row| row.get(0),
        )?)
    }

    /// Records that `before_start` was done for this release.
    pub fn set_prepared(
        &self,
        service: &ServiceName,
        release: &ReleaseId,
        at: u64,
    ) -> Result<(), StoreError> {
        self.connection().execute(
            "INSERT INTO prepared (service, release, at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
            params![service.as_str(), release.0, i64::try_from(at).unwrap_or(i64::MAX)],
        )?;
        Ok(())
    }
}

fn json(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|e| StoreError::Unreadable(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Phase;
    use std::os::unix::fs::PermissionsExt as _;

    fn state(phase: Phase) -> ReplicaState {
        ReplicaState {
            release: ReleaseId("r".into()),
            address: ([127, 0, 0, 1], 9).into(),
            phase,
            process: Some(model::ProcessId { pid: 7, start_time: 8 }),
            started_at: 1,
            since: 2,
            restarts: 0,
            failures: 0,
            last_exit: None,
            probe_error: None,
        }
    }

    #[test]
    fn rollouts_are_remembered_and_an_orderly_end_ends_them() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("state.db")).unwrap();
        let web: ServiceName = "web".parse().unwrap();
        let deploy = crate::testing::service("web", &[]).deploy;
        for id in 1..=u64::from(MOST_ROLLOUTS) + 5 {
            let current = Some(ReleaseId(format!("r{id}")));
            let rollout =
                Rollout::new(id, planner::rollout::Cause::Deploy, current.clone(), deploy.clone(), id);
            let deployment = Deployment { current, rollout: Some(rollout) };
            store.set_deployment(&web, &deployment).unwrap();
            assert_eq!(store.deployments().unwrap(), [(web.clone(), deployment)].into());
        }
        let all = store.rollouts(&web).unwrap();
        assert_eq!((all.len(), all[0].id, all[99].id), (100, 105, 6));
        store.forget_run(200).unwrap();
        let latest = &store.rollouts(&web).unwrap()[0];
        assert!(matches!(latest.outcome(), Some(Outcome::RolledBack { .. })), "{latest:?}");
        assert_eq!(store.deployments().unwrap()["web"].current, Some(ReleaseId("r105".into())));
    }

    #[test]
    fn what_was_recorded_is_there_after_opening_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        let id: ReplicaId = "orders-1".parse().unwrap();
        let empty = ObservedState::default();
        let one = ObservedState { replicas: [(id.clone(), state(Phase::Starting))].into() };
        let two = ObservedState {
            replicas: [(id.clone(), state(Phase::Ready)), ("web-1".parse().unwrap(), state(Phase::Ready))]
                .into(),
        };
        let edge = ("orders".parse().unwrap(), "web".parse().unwrap());
        {
            let store = Store::open(&path).unwrap();
            store.record(&empty, &one).unwrap();
            store.record(&one, &two).unwrap();
            store.set_scale(&id.service, 3).unwrap();
            store.set_restart(&id.service, 5).unwrap();
            assert_eq!(store.gateway().unwrap(), None);
            store.set_gateway(([127, 0, 0, 1], 80).into()).unwrap();
            store.set_gateway(([127, 0, 0, 1], 81).into()).unwrap();
            store.set_edges(&[(edge.clone(), ([127, 0, 0, 1], 5).into())].into()).unwrap();
            store.set_prepared(&id.service, &ReleaseId("r".into()), 1).unwrap();
        }
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let store = Store::open(&path).unwrap();
        assert_eq!(store.replicas().unwrap(), two);
        assert_eq!(store.gateway().unwrap(), Some(([127, 0, 0, 1], 81).into()));
        assert_eq!(store.restarts().unwrap(), [(id.service.clone(), 5)].into());
        assert_eq!(store.scales().unwrap(), [(id.service.clone(), 3)].into());
        assert_eq!(store.edges().unwrap(), [(edge, ([127, 0, 0, 1], 5).into())].into());
        assert!(store.is_prepared(&id.service, &ReleaseId("r".into())).unwrap());
        assert!(!store.is_prepared(&id.service, &ReleaseId("s".into())).unwrap());
        store.record(&two, &one).unwrap();
        assert_eq!(store.replicas().unwrap(), one);
        store.forget_run(9).unwrap();
        assert_eq!(store.replicas().unwrap(), empty);
        assert!(store.scales().unwrap().is_empty() && store.restarts().unwrap().is_empty());
    }
}

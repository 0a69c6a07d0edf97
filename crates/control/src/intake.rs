//! Takes what services tell of themselves by OTLP.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{OwnSpan, ReplicaId, ServiceName};
use telemetry::otlp::{Intake, OwnLog, OwnPoint};

use crate::world::{World, now};

/// Into the stores, and into the logs.
pub(crate) struct ToWorld(pub Arc<World>);

impl Intake for ToWorld {
    fn now(&self) -> u64 {
        now()
    }

    fn spans(&self, spans: Vec<OwnSpan>) -> usize {
        self.0.traces.add_own(spans, now() / 1000)
    }

    /// Lines go into the log of the replica that says it sent them, beside its output.
    fn logs(&self, service: &ServiceName, lines: Vec<OwnLog>) -> usize {
        let observed = self.0.observed();
        let of_service = |id: &&ReplicaId| id.service == *service;
        let mut by_replica: BTreeMap<ReplicaId, Vec<(u64, String)>> = BTreeMap::new();
        let mut refused = 0;
        for line in lines {
            let named = line.replica.as_deref().and_then(|name| name.parse().ok());
            let known = named.filter(|id| observed.replicas.contains_key(id)).filter(|id| of_service(&id));
            // Whoever says nothing, or something else, is one of them: which does not matter to a reader of all.
            match known.or_else(|| observed.replicas.keys().find(of_service).cloned()) {
                Some(replica) => by_replica.entry(replica).or_default().push((line.at, line.text)),
                None => refused += 1,
            }
        }
        for (replica, lines) in by_replica {
            let count = lines.len();
            if !self.0.supervisor.logged(&replica, lines) {
                refused += count;
            }
        }
        refused
    }

    fn points(&self, service: &ServiceName, points: Vec<OwnPoint>) -> usize {
        self.0.points.take(service, points, now() / 1000)
    }
}

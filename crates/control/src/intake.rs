//! Takes what services tell of themselves by OTLP.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::span::Value;
use model::{OwnSpan, ReplicaId, ServiceName};
use supervisor::Mask;
use telemetry::otlp::{Intake, OwnLog, OwnPoint};

use crate::world::{World, now};

/// Into the stores, and into the logs.
pub(crate) struct ToWorld(pub Arc<World>);

impl Intake for ToWorld {
    fn now(&self) -> u64 {
        now()
    }

    fn spans(&self, spans: Vec<OwnSpan>) -> usize {
        let spans = spans.into_iter().map(|span| without_secrets(span, &self.0.mask));
        self.0.traces.add_own(spans.collect(), now() / 1000)
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
        let (taken, refused) = self.0.points.take(service, points, now() / 1000);
        self.0.history.add(service, &taken);
        refused
    }
}

/// The span with nothing in it that the service was told in confidence.
fn without_secrets(mut span: OwnSpan, mask: &Mask) -> OwnSpan {
    let clean = |text: &mut String| *text = mask.clean(std::mem::take(text));
    let values = |attributes: &mut BTreeMap<String, Value>| {
        for value in attributes.values_mut() {
            if let Value::Text(text) = value {
                clean(text);
            }
        }
    };
    clean(&mut span.name);
    span.message.iter_mut().for_each(clean);
    values(&mut span.attributes);
    for event in &mut span.events {
        clean(&mut event.name);
        values(&mut event.attributes);
    }
    span
}

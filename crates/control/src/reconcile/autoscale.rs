//! What is asked of services -> the planner -> how many replicas each is to have.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::{Phase, ServiceName, ServiceSpec};
use planner::autoscale::{Autoscaler, Load};

use crate::driver::{Outcome, Reconciler};
use crate::world::{Demand, Mode, World, now};

/// Scales the services that are scaled by their load.
pub struct Autoscale {
    world: Arc<World>,
    scalers: BTreeMap<ServiceName, Autoscaler>,
    /// What was looked at last.
    before: Arc<Demand>,
    /// Since when a service without a replica has been asked for.
    waking: BTreeMap<ServiceName, u64>,
}

impl Autoscale {
    /// With nothing seen yet.
    pub fn new(world: Arc<World>) -> Self {
        Self { world, scalers: BTreeMap::new(), before: Arc::default(), waking: BTreeMap::new() }
    }

    async fn scale(&mut self, service: &ServiceSpec, demand: &Demand) -> Option<String> {
        let count = |counts: &BTreeMap<ServiceName, u64>| counts.get(&service.name).copied().unwrap_or(0);
        let load = Load {
            in_flight: count(&demand.in_flight),
            came: count(&demand.requests) > count(&self.before.requests),
        };
        let ready = self.ready(service);
        let wanted = self.world.replicas_wanted(service);
        let scaler = self.scalers.entry(service.name.clone()).or_default();
        scaler.observe(&service.scale, load, demand.at);
        let decision = scaler.decide(&service.scale, ready, wanted, demand.at)?;
        if let Err(error) = self.world.scale(&service.name, decision.replicas).await {
            return Some(format!("{} could not be scaled: {error}", service.name));
        }
        if wanted == 0 {
            self.waking.insert(service.name.clone(), demand.at);
        }
        let (name, to) = (&service.name, decision.replicas);
        Some(format!("{name}: {wanted} → {to} replicas: {}", decision.reason))
    }

    fn ready(&self, service: &ServiceSpec) -> u32 {
        let observed = self.world.observed();
        let mine =
            observed.replicas.iter().filter(|(id, r)| id.service == service.name && r.phase == Phase::Ready);
        u32::try_from(mine.count()).unwrap_or(u32::MAX)
    }

    /// Notes how long a service took that had no replica.
    fn woken(&mut self, service: &ServiceSpec) -> Option<String> {
        let since = self.waking.get(&service.name).filter(|_| self.ready(service) > 0)?;
        let took = Duration::from_millis(now().saturating_sub(*since));
        self.waking.remove(&service.name);
        self.world.cold_starts.update(|all| {
            all.insert(service.name.clone(), took);
        });
        Some(format!(
            "{}: its first replica was ready {} ms after the first request",
            service.name,
            took.as_millis()
        ))
    }
}

impl Reconciler for Autoscale {
    const NAME: &'static str = "autoscale";

    async fn reconcile(&mut self) -> Outcome {
        let mut steps = Vec::new();
        let (world, demand) = (self.world.clone(), self.world.demand.get());
        if world.mode.get() != Mode::Open {
            return Outcome::default();
        }
        let news = demand.at > self.before.at;
        let desired = world.desired.get();
        for service in desired.services.values().filter(|s| s.scale.concurrency.is_some()) {
            let mut told: Vec<String> = self.woken(service).into_iter().collect();
            if news {
                told.extend(self.scale(service, &demand).await);
            }
            told.iter().for_each(|text| world.happened("scaling", &service.name, text));
            steps.extend(told);
        }
        self.before = demand;
        Outcome { steps, next: None }
    }
}

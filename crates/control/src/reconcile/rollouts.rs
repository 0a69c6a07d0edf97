//! Deployments -> the planner -> deployments: each state is recorded before anything is done about it.

use std::sync::Arc;
use std::time::Duration;

use model::ServiceSpec;
use planner::rollout::{Deployment, Seen, step};

use super::comparison::Comparisons;
use super::jobs::Jobs;
use crate::deploy;
use crate::driver::{Outcome, Reconciler};
use crate::world::{Mode, World, now};

/// The pause after a state that could not be recorded.
const RETRY: Duration = Duration::from_secs(1);
/// Steps that one rollout may take in one pass: as many as it has stages, so that it never hangs here.
const STEPS: usize = 20;

/// Takes every rollout on.
pub struct Rollouts {
    world: Arc<World>,
    jobs: Jobs,
    comparisons: Comparisons,
}

impl Rollouts {
    /// With nothing under way.
    pub fn new(world: Arc<World>, jobs: Jobs) -> Self {
        Self { world, jobs, comparisons: Comparisons::default() }
    }

    /// Takes one service's rollout as far as it goes now. Says when to look again.
    async fn advance(&mut self, service: &ServiceSpec, steps: &mut Vec<String>) -> Option<Duration> {
        for _ in 0..STEPS {
            let world = self.world.clone();
            let _held = world.deploying.lock().await;
            let deployment = world.deployment(&service.name);
            let rollout = deployment.rollout.as_ref().filter(|rollout| rollout.is_active())?;
            let observed = world.observed();
            let time = now();
            let seen = Seen {
                service: &service.name,
                observed: &observed,
                wanted: world.replicas_wanted(service),
                job: self.jobs.of(service, rollout),
                divided: self.is_divided(service),
                verdict: self.comparisons.verdict(&service.name, rollout, &world.signals.get()),
            };
            let taken = step(&deployment, &seen, time);
            if taken.deployment == deployment {
                return taken.next.map(|next| Duration::from_millis(next.saturating_sub(time).max(1)));
            }
            let told = news(service, &deployment, &taken.deployment);
            steps.extend(told.inspect(|text| world.happened("deploy", &service.name, text)));
            if let Err(error) = world.deploy(&service.name, taken.deployment).await {
                steps.push(format!("the rollout of {} could not be recorded: {error}", service.name));
                return Some(RETRY);
            }
        }
        Some(Duration::ZERO)
    }

    /// Whether the table in force divides the requests of a service as its deployment wants it.
    fn is_divided(&self, service: &ServiceSpec) -> bool {
        let shares = self.world.shares(&self.world.observed());
        self.world.data_plane.get().shares.get(&service.name) == shares.get(&service.name)
    }
}

/// What is new in the notes of a rollout.
fn news<'a>(
    service: &'a ServiceSpec,
    before: &'a Deployment,
    after: &'a Deployment,
) -> impl Iterator<Item = String> + 'a {
    let last = before.rollout.iter().flat_map(|r| &r.notes).next_back();
    let notes = after.rollout.iter().flat_map(|r| &r.notes).rev().take_while(move |note| Some(*note) != last);
    let new: Vec<_> = notes.collect();
    new.into_iter().rev().map(|note| format!("{}: {}", service.name, note.text))
}

impl Reconciler for Rollouts {
    const NAME: &'static str = "rollouts";

    async fn reconcile(&mut self) -> Outcome {
        let mut outcome = Outcome::default();
        if self.world.mode.get() != Mode::Open {
            return outcome;
        }
        let world = self.world.clone();
        for service in world.desired.get().services.values() {
            if let Some(pause) = self.advance(service, &mut outcome.steps).await {
                outcome.next = Some(outcome.next.map_or(pause, |next| next.min(pause)));
            }
        }
        outcome
    }
}

/// Ends what is under way, because the app ends: nothing of it goes on when it is started again.
pub async fn abandon(world: &World) {
    let _held = world.deploying.lock().await;
    for service in world.deployments.get().keys() {
        deploy::abandon(world, service, "the app was stopped").await;
    }
}

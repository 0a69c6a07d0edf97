//! Takes up the orders that nobody works on: after a crash, a lost lease, or an answer that never came.

use std::time::{Duration, Instant};

use service_kit::problem::Problem;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::drive::{drive, lease_ms};
use crate::service::Service;
use crate::store::{keys, work};

/// How many orders one round takes.
const BATCH: i64 = 16;
/// How long one order may take in a round.
const BUDGET: Duration = Duration::from_secs(5);
/// How often old keys are forgotten.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);

/// Works until it is told to stop, beginning at once. Several replicas may do so: each order's lease goes to one of them.
pub async fn recover(service: Service, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(service.timing.recovery_interval.max(Duration::from_millis(10)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut pruned: Option<Instant> = None;
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        if let Some(Err(problem)) = stop.run_until_cancelled(round(&service)).await {
            tracing::warn!(%problem, "unfinished orders could not be read");
        }
        if pruned.is_none_or(|at| at.elapsed() > PRUNE_EVERY) {
            pruned = Some(Instant::now());
            if let Err(error) = keys::prune(&service.db).await {
                tracing::warn!(cause = %error, "old checkout keys could not be forgotten");
            }
        }
    }
}

/// Dropped half-way, the orders at work keep their leases, and are taken up again once these run out.
async fn round(service: &Service) -> Result<(), Problem> {
    let mut at_work = JoinSet::new();
    for order_id in work::due(&service.db, BATCH).await? {
        let service = service.clone();
        at_work.spawn(async move { take_up(&service, &order_id).await });
    }
    while at_work.join_next().await.is_some() {}
    Ok(())
}

async fn take_up(service: &Service, order_id: &str) {
    let driven = match work::take(&service.db, order_id, lease_ms(service)).await {
        Ok(Some(lease)) => drive(service, &lease, Instant::now() + BUDGET).await,
        Ok(None) => return,
        Err(error) => Err(error.into()),
    };
    match driven {
        Ok(end) => tracing::info!(order = order_id, ?end, "an unfinished order was taken up"),
        Err(problem) => {
            tracing::warn!(order = order_id, %problem, "an unfinished order could not be taken up")
        }
    }
}

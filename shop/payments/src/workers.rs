//! What goes on beside the requests: attempts whose answer is missing are asked again, and authorizations whose
//! time is over are given back. Any number of replicas may do both at once.

use std::time::Duration;

use service_kit::clock::now_ms;
use service_kit::db::Db;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::cashier::{Cashier, pause_ms};
use crate::intent::{Attempt, Wish};
use crate::store;

const BATCH: i64 = 50;
/// An attempt that is being asked again is left to whoever does so for at least as long.
const ASKING_MS: i64 = 30_000;

/// Asks again at every tick until `stop`: first all attempts without an answer, since whoever started them before
/// this process came up may be gone; from then on those that are due.
pub(crate) async fn resolve(cashier: Cashier, db: Db, every: Duration, stop: CancellationToken) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut due_before = i64::MAX;
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        match ask_again(&cashier, &db, due_before).await {
            Ok(()) => due_before = 0,
            Err(error) => tracing::warn!(cause = %error, "attempts could not be read"),
        }
    }
}

async fn ask_again(cashier: &Cashier, db: &Db, due_before: i64) -> sqlx::Result<()> {
    let mut conn = db.pool().acquire().await?;
    let attempts = store::due_attempts(&mut conn, now_ms().max(due_before), BATCH).await?;
    drop(conn);
    let mut asked = JoinSet::new();
    for attempt in attempts {
        let until = now_ms().saturating_add(ASKING_MS.max(pause_ms(attempt.tries)));
        let mut tx = db.begin_write().await?;
        let taken = store::postpone(&mut tx, &attempt, until).await?;
        tx.commit().await?;
        if taken {
            let attempt = Attempt { tries: attempt.tries + 1, ..attempt };
            let cashier = cashier.clone();
            asked.spawn(async move { resolve_one(&cashier, &attempt).await });
        }
    }
    asked.join_all().await;
    Ok(())
}

async fn resolve_one(cashier: &Cashier, attempt: &Attempt) {
    match cashier.ask(attempt).await {
        Ok(done) => {
            let (status, operation) = (done.payment.state.as_str(), attempt.operation.as_str());
            tracing::info!(payment = attempt.payment_id, operation, status, "a missing answer was found");
        }
        Err(problem) => {
            tracing::warn!(payment = attempt.payment_id, cause = problem.detail(), "still without an answer");
        }
    }
}

/// Cancels payments whose authorization is over, at every tick until `stop`.
pub(crate) async fn expire(cashier: Cashier, db: Db, every: Duration, stop: CancellationToken) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        if let Err(error) = expire_due(&cashier, &db).await {
            tracing::warn!(cause = %error, "expired authorizations could not be read");
        }
    }
}

async fn expire_due(cashier: &Cashier, db: &Db) -> sqlx::Result<()> {
    let mut conn = db.pool().acquire().await?;
    let ids = store::expired_authorizations(&mut conn, BATCH).await?;
    drop(conn);
    let wish = Wish::Cancel { reason: "expired".to_owned() };
    for id in ids {
        match cashier.carry_out(&id, &wish, None).await {
            Ok(_) => tracing::info!(payment = id, "an authorization that was over was given back"),
            Err(problem) => tracing::warn!(payment = id, cause = problem.detail(), "not given back yet"),
        }
    }
    Ok(())
}

//! Gives back what lapsed holds still bind. Any number of replicas may sweep at once: each hold is expired by
//! one conditional update, and whoever comes second finds nothing to do.

use std::time::Duration;

use service_kit::clock::now_ms;
use service_kit::db::Db;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::domain::{Event, Status};
use crate::store;

const BATCH: i64 = 100;

/// Sweeps at every tick until `stop`.
pub(crate) async fn run(db: Db, every: Duration, stop: CancellationToken) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        match sweep(&db, now_ms()).await {
            Ok(0) => {}
            Ok(expired) => tracing::info!(expired, "lapsed holds given back"),
            Err(error) => tracing::warn!(cause = %error, "lapsed holds could not be given back"),
        }
    }
}

/// Expires every hold that lapsed by `now`, each in a transaction of its own. Returns how many.
///
/// # Errors
/// When the database refuses; holds that were expired before stay so.
pub async fn sweep(db: &Db, now: i64) -> sqlx::Result<usize> {
    let mut expired = 0;
    loop {
        let mut conn = db.pool().acquire().await?;
        let keys = store::lapsed_keys(&mut conn, now, BATCH).await?;
        drop(conn);
        for key in &keys {
            let mut tx = db.begin_write().await?;
            let applied = store::apply(&mut tx, key, Event::Expire, now, "sweeper", now).await?;
            tx.commit().await?;
            if matches!(applied, Some(Ok(reservation)) if reservation.status == Status::Expired) {
                expired += 1;
            }
        }
        if keys.is_empty() {
            return Ok(expired);
        }
    }
}

//! The store of calls over time: opened, and written to now and then.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use telemetry::{Limits, Metrics, StoreError};

use crate::world::{World, now};

/// How often what came is written down: a control plane that is killed loses so much, no more.
const FLUSH: Duration = Duration::from_secs(10);

/// Opens the store. One that cannot be read is put aside: it is no reason not to run.
pub fn open(path: &Path) -> Result<Metrics, StoreError> {
    let opened = Metrics::open(path, Limits::default());
    opened.or_else(|error| {
        let aside = path.with_extension("db.broken");
        tracing::error!("{error}; it is put aside as {}", aside.display());
        std::fs::rename(path, aside)?;
        Metrics::open(path, Limits::default())
    })
}

/// Writes down what came, and at the end.
pub async fn keep(world: Arc<World>) {
    loop {
        let goes_on = world.stop.run_until_cancelled(tokio::time::sleep(FLUSH)).await.is_some();
        let metrics = world.metrics.clone();
        let flushed = tokio::task::spawn_blocking(move || metrics.flush(now() / 1000)).await;
        if let Ok(Err(error)) = flushed {
            tracing::warn!("calls over time could not be written down: {error}");
        }
        if !goes_on {
            return;
        }
    }
}

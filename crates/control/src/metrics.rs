//! The stores of telemetry: opened, and written to now and then.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use telemetry::{Limits, StoreError};
use tokio::task::spawn_blocking;

use crate::world::{World, now};

/// How often calls and what services measure are written down: a control plane that is killed loses so much, no more.
pub const CALLS: Duration = Duration::from_secs(10);
/// How often spans are.
pub const SPANS: Duration = Duration::from_secs(2);

/// Bytes on disk of what services measure themselves, about.
pub const MEASURED: Limits = Limits { bytes: 64 << 20 };

/// Opens a store. One that cannot be read is put aside: it is no reason not to run.
pub fn open<S>(path: &Path, open: impl Fn(&Path) -> Result<S, StoreError>) -> Result<S, StoreError> {
    open(path).or_else(|error| {
        let aside = path.with_extension("db.broken");
        tracing::error!("{error}; it is put aside as {}", aside.display());
        std::fs::rename(path, aside)?;
        open(path)
    })
}

/// Writes down what came, now and then and at the end; `flush` is given the time in Unix seconds.
pub async fn keep<S: Send + Sync + 'static>(
    world: Arc<World>,
    store: Arc<S>,
    every: Duration,
    flush: fn(&S, u64) -> Result<(), StoreError>,
) {
    loop {
        let goes_on = world.stop.run_until_cancelled(tokio::time::sleep(every)).await.is_some();
        let store = store.clone();
        if let Ok(Err(error)) = spawn_blocking(move || flush(&store, now() / 1000)).await {
            tracing::warn!("telemetry could not be written down: {error}");
        }
        if !goes_on {
            return;
        }
    }
}

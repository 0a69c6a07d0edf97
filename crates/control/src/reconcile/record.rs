//! Observed replicas -> the database, so that the next control plane finds them.

use std::sync::Arc;

use model::ObservedState;

use crate::driver::{Outcome, Reconciler};
use crate::world::World;

/// Writes what changed since it last wrote.
pub struct Record {
    /// Shared.
    pub world: Arc<World>,
    /// What the database holds.
    pub written: Arc<ObservedState>,
}

impl Reconciler for Record {
    const NAME: &'static str = "record";

    async fn reconcile(&mut self) -> Outcome {
        let after = self.world.observed();
        if after == self.written {
            return Outcome::default();
        }
        let (store, before, new) = (self.world.store.clone(), self.written.clone(), after.clone());
        let result = tokio::task::spawn_blocking(move || store.record(&before, &new)).await;
        match result {
            Ok(Ok(())) => {
                self.written = after;
                Outcome::default()
            }
            Ok(Err(error)) => failed(&error.to_string()),
            Err(error) => failed(&error.to_string()),
        }
    }
}

/// Tried again soon: what is not recorded would be ended, not adopted, by the next control plane.
fn failed(error: &str) -> Outcome {
    Outcome {
        steps: vec![format!("the replicas could not be recorded, trying again: {error}")],
        next: Some(std::time::Duration::from_secs(1)),
    }
}

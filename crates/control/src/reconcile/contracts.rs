//! Releases in charge -> the operations of their contracts, for which the data plane counts requests, and what it holds
//! them to.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::shapes::ShapesFile;
use model::{ReleaseId, ServiceName};

use crate::driver::{Outcome, Reconciler};
use crate::gate::{Gate, Said};
use crate::world::{Operations, World};

/// Reads each contract once.
pub struct Contracts {
    /// Shared.
    pub world: Arc<World>,
    /// Who can read contracts.
    pub gate: Arc<dyn Gate>,
}

impl Reconciler for Contracts {
    const NAME: &'static str = "contracts";

    async fn reconcile(&mut self) -> Outcome {
        let deployments = self.world.deployments.get();
        let current = deployments.iter().filter_map(|(service, d)| Some((service, d.current.as_ref()?)));
        let known = self.world.operations.get();
        let mut operations = BTreeMap::new();
        for (service, release) in current {
            let read = match known.get(service).filter(|known| known.release == *release) {
                Some(known) => known.clone(),
                None => self.read(service, release).await,
            };
            operations.insert(service.clone(), read);
        }
        if *known != operations {
            self.world.operations.set(Arc::new(operations));
        }
        Outcome::default()
    }
}

impl Contracts {
    /// A release without a contract, or with one that cannot be read, has no operations that are known.
    async fn read(&self, service: &ServiceName, release: &ReleaseId) -> Operations {
        let (world, gate) = (self.world.clone(), self.gate.clone());
        let (name, id) = (service.clone(), release.clone());
        let read = tokio::task::spawn_blocking(move || {
            let Ok(found) = world.releases.open(&name, &id) else { return Default::default() };
            let Said { operations, shapes } = gate.read(&found);
            let path = shapes.and_then(|shapes| {
                let written = found.write_shapes(&shapes);
                written.inspect_err(|e| tracing::error!("{name} is not held to its contract: {e}")).ok()
            });
            (operations, path)
        });
        let (all, path) = read.await.unwrap_or_default();
        let shapes = path.map(|path| ShapesFile { release: release.clone(), path });
        Operations { release: release.clone(), all: Arc::new(all), shapes }
    }
}

//! The engine of sagas, joined to the edges: it is called, and calls, through the data plane.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use control::Control;
use model::DesiredState;
use saga::engine::{Engine, Options};
use saga::plan::Plan;
use saga::store::sqlite::SqliteStore;
use tokio::net::TcpListener;

use super::{StartError, other};

/// How long answers that are under way are waited for when the app ends.
const GRACE: Duration = Duration::from_secs(5);

/// Definitions that were read, and a socket for their API.
pub struct Prepared {
    plans: Vec<Plan>,
    listener: TcpListener,
    about: control::Sagas,
}

/// A running engine.
pub struct Running {
    engine: Engine,
}

impl Prepared {
    /// `None` if the app has no sagas.
    pub async fn new(desired: &DesiredState) -> Result<Option<Self>, StartError> {
        if desired.saga_files.is_empty() {
            return Ok(None);
        }
        let plans = crate::sagas::load(desired).map_err(|broken| StartError::Other {
            what: format!("{} saga definitions have faults", broken.len()),
            help: Some("`isles check` shows them".to_owned()),
        })?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await;
        let listener = listener.map_err(|e| other(format!("there is no port for the API of sagas: {e}")))?;
        let api = listener.local_addr().map_err(|e| other(e.to_string()))?;
        let process = supervisor::process::identify(std::process::id());
        let process = process.ok_or_else(|| other("this process is not to be found in /proc".to_owned()))?;
        let callees = plans.iter().flat_map(Plan::callees).filter_map(|name| name.parse().ok()).collect();
        Ok(Some(Self { plans, listener, about: control::Sagas { api, process, callees } }))
    }

    /// The definitions.
    pub fn plans(&self) -> &[Plan] {
        &self.plans
    }

    /// What the control plane has to know.
    pub fn about(&self) -> control::Sagas {
        self.about.clone()
    }

    /// Starts the engine, which takes up what was left unfinished.
    pub async fn start(self, control: &Control) -> Result<Running, StartError> {
        let path = control.paths().sagas();
        let opened = tokio::task::spawn_blocking(move || SqliteStore::open(&path)).await;
        let store = opened.map_err(|e| other(e.to_string()))?.map_err(|e| other(e.to_string()))?;
        let options = Options::new(control.saga_callees());
        let engine =
            Engine::start(Arc::new(store), self.plans, options).await.map_err(|e| other(e.to_string()))?;
        let router = saga::api::router(engine.clone());
        tokio::spawn(async move {
            if let Err(error) = axum::serve(self.listener, router).await {
                tracing::error!("the API of sagas has ended: {error}");
            }
        });
        Ok(Running { engine })
    }
}

impl Running {
    /// The API, for the admin socket.
    pub fn router(&self) -> Router {
        saga::api::router(self.engine.clone())
    }

    /// Puts everything down; whoever comes next goes on.
    pub async fn stop(self) {
        if let Err(error) = self.engine.stop(GRACE).await {
            tracing::warn!("sagas were not put down in order: {error}");
        }
    }
}

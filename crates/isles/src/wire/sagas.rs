//! The engine of sagas, joined to the edges: it is called, and calls, through the data plane.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use control::Control;
use model::{DesiredState, Template};
use saga::engine::{Engine, Options};
use saga::plan::Plan;
use saga::store::Store;
use saga::store::postgres::PostgresStore;
use saga::store::sqlite::SqliteStore;
use tokio::net::TcpListener;

use super::{StartError, inside, other};

const API: &str = "the API of sagas";

/// How long answers that are under way are waited for when the app ends.
const GRACE: Duration = Duration::from_secs(5);

/// How long an engine that shares a store may be silent before others take its sagas up.
const LEASE: Duration = Duration::from_secs(10);

/// Definitions that were read, and a socket for their API.
pub struct Prepared {
    store: Option<Template>,
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
        let listener = inside::listen(API).await?;
        let api = listener.local_addr().map_err(|e| other(e.to_string()))?;
        let process = supervisor::process::identify(std::process::id());
        let process = process.ok_or_else(|| other("this process is not to be found in /proc".to_owned()))?;
        let callees = plans.iter().flat_map(Plan::callees).filter_map(|name| name.parse().ok()).collect();
        Ok(Some(Self {
            store: desired.saga_store.clone(),
            plans,
            listener,
            about: control::Sagas { api, process, callees },
        }))
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
        let store = open(self.store.as_ref(), control).await?;
        let options = Options::new(control.saga_callees());
        let engine = Engine::start(store, self.plans, options).await.map_err(|e| other(e.to_string()))?;
        inside::serve(API, self.listener, saga::api::router(engine.clone()));
        Ok(Running { engine })
    }
}

/// The store that the manifest names, or SQLite.
async fn open(store: Option<&Template>, control: &Control) -> Result<Arc<dyn Store>, StartError> {
    let Some(template) = store else {
        let path = control.paths().sagas();
        let opened = tokio::task::spawn_blocking(move || SqliteStore::open(&path)).await;
        let opened = opened.map_err(|e| other(e.to_string()))?.map_err(|e| other(e.to_string()))?;
        return Ok(Arc::new(opened));
    };
    let url = control::fill_for_app(template, control.paths()).map_err(|unset| other(unset.to_string()))?;
    // Neither the URL nor what the driver says about one that it cannot read is shown: it may hold a password.
    let known = ["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme));
    let opened = if known {
        PostgresStore::open(&url, LEASE).await.map_err(|e| e.to_string())
    } else {
        Err("its URL does not begin with `postgres://`".to_owned())
    };
    let opened = opened.map_err(|cause| StartError::Other {
        what: format!("the store of [sagas] cannot be opened: {cause}"),
        help: Some(
            "look at `store` in [sagas]: the server has to be up, and the user may make tables".to_owned(),
        ),
    })?;
    Ok(Arc::new(opened))
}

impl Running {
    /// The API, for the admin socket.
    pub fn router(&self) -> Router {
        saga::api::router(self.engine.clone())
    }

    /// The engine itself.
    pub fn engine(&self) -> Engine {
        self.engine.clone()
    }

    /// Puts everything down; whoever comes next goes on.
    pub async fn stop(self) {
        if let Err(error) = self.engine.stop(GRACE).await {
            tracing::warn!("sagas were not put down in order: {error}");
        }
    }
}

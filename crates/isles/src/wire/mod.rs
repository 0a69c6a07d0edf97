//! Joins everything: a control plane, the admin API in front of it, and the end of both.

mod alerts;
mod console;
mod declared;
mod deploys;
mod drift;
mod export;
mod inside;
mod logs;
mod metrics;
mod openmetrics;
mod outgoing;
mod platform;
mod sagas;
mod status;
mod traffic;
mod usage;
mod webhook;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::console::Platform;
use control::{Control, Inner, Paths};
use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::gate::ContractGate;
pub use deploys::from_nothing;
pub use logs::entry as log_entry;
use platform::Wired;

const TELEMETRY: &str = "the telemetry of services";

/// Why an app did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It runs already.
    #[error("it is already running")]
    AlreadyRunning {
        /// The pid of its control plane, if known.
        pid: Option<u32>,
    },
    /// Another reason.
    #[error("{what}")]
    Other {
        /// What happened.
        what: String,
        /// What to do.
        help: Option<String>,
    },
}

/// A running app.
pub struct Running {
    /// What it can be asked.
    pub platform: Arc<dyn Platform>,
    /// Resolves when everything has ended, after `platform.down()`.
    pub finished: BoxFuture<'static, ()>,
    control: Arc<Control>,
}

impl Running {
    /// Kills every process of the app at once.
    pub async fn kill(&self) {
        self.control.kill().await;
    }
}

/// Starts an app, or takes over what a killed control plane left running; with `build`, services are built first.
/// Returns when the gateway is open.
pub async fn start(manifest: PathBuf, parsed: manifest::Parsed, build: bool) -> Result<Running, StartError> {
    let desired = parsed.desired;
    let listen = desired.console.listen;
    let program =
        std::env::current_exe().map_err(|e| other(format!("the isles program cannot be found: {e}")))?;
    let sagas = sagas::Prepared::new(&desired).await?;
    let about = sagas.as_ref().map(sagas::Prepared::about);
    let (engine, of_gate) = watch::channel(None);
    let declared = sagas.as_ref().map(sagas::Prepared::plans).unwrap_or_default();
    let gate = Arc::new(ContractGate::new(declared, sagas.is_some().then_some(of_gate)));
    let intake = inside::listen(TELEMETRY).await?;
    let inner = Inner { sagas: about, otlp: intake.local_addr().ok() };
    let control = Control::start(desired, control::Options { program, build, gate, inner }).await;
    let control = Arc::new(control.map_err(explain)?);
    inside::serve(TELEMETRY, intake, control::otlp_router(control.intake()));
    let sagas = match sagas {
        Some(prepared) => {
            let running = prepared.start(&control).await?;
            engine.send_replace(Some(running.engine()));
            Some(running)
        }
        None => None,
    };
    let socket = control.paths().control_socket();
    let listener = ::console::socket::bind(&socket)
        .map_err(|e| other(format!("the admin socket {} cannot be opened: {e}", socket.display())))?;
    // What the admin API does not know itself is beside it on the same socket.
    let more = sagas.as_ref().map(|s| axum::Router::new().nest("/v1/sagas", s.router())).unwrap_or_default();
    let (down, closed) = (CancellationToken::new(), CancellationToken::new());
    let dashboard = console::open(listen, control.paths()).await;
    export::start(&control);
    let engine = sagas.as_ref().map(sagas::Running::engine);
    let alerts = alerts::watch(control.clone(), engine, dashboard.about.url.clone());
    let wired = Wired::new(control.clone(), manifest, down.clone(), dashboard.about.clone(), alerts);
    let platform: Arc<dyn Platform> = Arc::new(wired);
    dashboard.serve(platform.clone(), more.clone(), closed.clone());
    let serving = tokio::spawn(::console::server::serve(listener, platform.clone(), more, closed.clone()));
    let ending = control.clone();
    let finished = tokio::spawn(async move {
        down.cancelled().await;
        if let Some(sagas) = sagas {
            sagas.stop().await;
        }
        ending.stop().await;
        closed.cancel();
        // Whether the last answers got through changes nothing any more.
        let _ = serving.await;
        let _ = std::fs::remove_file(&socket);
    });
    Ok(Running { platform, finished: Box::pin(async { drop(finished.await) }), control })
}

/// Ends what a control plane that is gone left behind in the app at `root`; gives how many processes there were.
pub async fn clean_up(root: &Path) -> Result<usize, String> {
    let paths = Paths::new(root);
    let ended = control::clean_up(&paths).await.map_err(|e| e.to_string())?;
    let others = proxy::link::path::others(&paths.proxy_socket());
    for socket in [paths.control_socket(), paths.proxy_socket()].into_iter().chain(others) {
        let _ = std::fs::remove_file(socket);
    }
    Ok(ended)
}

fn other(what: String) -> StartError {
    StartError::Other { what, help: None }
}

fn explain(error: control::StartError) -> StartError {
    let help = match &error {
        control::StartError::Lock(control::LockError::Held { pid }) => {
            return StartError::AlreadyRunning { pid: *pid };
        }
        control::StartError::Listen { address, .. } => Some(format!(
            "another program listens there: end it (`ss -ltnp 'sport = :{}'` shows it), or change the address in isles.toml",
            address.port()
        )),
        control::StartError::Store(_) => {
            Some("`isles down` ends what runs; then move .isles/state.db away and start again".to_owned())
        }
        _ => None,
    };
    StartError::Other { what: error.to_string(), help }
}

//! From the environment to a served [`App`], and from SIGTERM to a clean end.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::ListenerExt;
use axum::{Extension, Router};
use http::StatusCode;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;
use tracing_subscriber::EnvFilter;

use crate::auth::Auth;
use crate::config::{Config, StartError};
use crate::context::{REQUEST_ID, RequestContext};
use crate::db::Db;
use crate::problem::Problem;

/// The largest request body, in bytes.
pub const BODY_LIMIT: usize = 256 * 1024;
/// How long readiness waits for the database.
const READY_TIMEOUT: Duration = Duration::from_secs(1);
/// How long work in flight may go on after SIGTERM; the supervisor's own grace is usually shorter.
const DRAIN: Duration = Duration::from_secs(30);

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;
type Background = (&'static str, Box<dyn FnOnce(CancellationToken) -> Work + Send>);

/// Everything that a service is made of.
pub struct App {
    db: Db,
    routes: Router,
    auth: Option<Auth>,
    background: Vec<Background>,
}

impl App {
    /// A service with these routes (their state already given) over this database.
    #[must_use]
    pub fn new(db: Db, routes: Router) -> Self {
        Self { db, routes, auth: None, background: Vec::new() }
    }

    /// The service's own routes, for the test that compares them with its contract.
    pub fn routes(&self) -> &Router {
        &self.routes
    }

    /// Lets handlers ask who is signed in.
    #[must_use]
    pub fn auth(mut self, auth: Auth) -> Self {
        let warm = auth.clone();
        self.auth = Some(auth);
        self.background("signing keys", |stop| warm.warm_up(stop))
    }

    /// Runs work beside the requests. It must end soon after the token is cancelled, which happens once requests are done.
    #[must_use]
    pub fn background<F, W>(mut self, name: &'static str, work: F) -> Self
    where
        F: FnOnce(CancellationToken) -> W + Send + 'static,
        W: Future<Output = ()> + Send + 'static,
    {
        self.background.push((name, Box::new(move |stop| Box::pin(work(stop)))));
        self
    }

    /// Forgets old idempotency keys once an hour. For services whose migrations include the table of keys.
    #[must_use]
    pub fn prune_idempotency_keys(self) -> Self {
        let db = self.db.clone();
        self.background("idempotency pruning", |stop| async move {
            let mut hourly = tokio::time::interval(Duration::from_secs(3600));
            while stop.run_until_cancelled(hourly.tick()).await.is_some() {
                if let Err(error) = crate::idempotency::prune(&db).await {
                    tracing::warn!(cause = %error, "old idempotency keys could not be forgotten");
                }
            }
        })
    }

    fn router(&self, tracker: &TaskTracker) -> Router {
        let health = Router::new()
            .route("/health/live", get(|| async { axum::Json(json!({ "status": "live" })) }))
            .route("/health/ready", get(ready))
            .with_state(self.db.clone());
        let mut router =
            self.routes.clone().merge(health).fallback(no_route).method_not_allowed_fallback(no_method);
        if let Some(auth) = &self.auth {
            router = router.layer(Extension(auth.clone()));
        }
        router.layer(DefaultBodyLimit::max(BODY_LIMIT)).layer(from_fn_with_state(tracker.clone(), around))
    }

    /// Serves until `stop` is cancelled, then finishes what is in flight, ends the background work and closes the database.
    ///
    /// # Errors
    /// The listener breaks.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) -> std::io::Result<()> {
        let requests = TaskTracker::new();
        let background = TaskTracker::new();
        let end_background = CancellationToken::new();
        let router = self.router(&requests);
        for (name, work) in self.background {
            let span = tracing::info_span!("background", name);
            background.spawn(work(end_background.clone()).instrument(span));
        }
        let drained = stop.clone();
        // Small answers go out at once instead of waiting for the client's acknowledgement of the one before.
        let listener = listener.tap_io(|connection| {
            let _ = connection.set_nodelay(true);
        });
        let server = axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
        let give_up = async move {
            drained.cancelled().await;
            tokio::time::sleep(DRAIN).await;
        };
        let served = tokio::select! {
            served = server.into_future() => served,
            () = give_up => Ok(()),
        };
        requests.close();
        let _ = tokio::time::timeout(DRAIN, requests.wait()).await;
        end_background.cancel();
        background.close();
        let _ = tokio::time::timeout(DRAIN, background.wait()).await;
        self.db.close().await;
        served
    }
}

async fn ready(State(db): State<Db>) -> Response {
    match tokio::time::timeout(READY_TIMEOUT, db.ping()).await {
        Ok(Ok(())) => axum::Json(json!({ "status": "ready" })).into_response(),
        _ => Problem::unavailable("the database").into_response(),
    }
}

async fn no_route() -> Problem {
    Problem::not_found("There is no operation at this path.")
}

async fn no_method() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "This path has no such method; the Allow header lists those that it has.",
    )
}

/// Around every request. The handler runs as a task of its own, so that a client that goes away cannot stop it half-way,
/// and so that its panic is an answer and not a broken connection.
async fn around(State(tracker): State<TaskTracker>, request: Request, next: Next) -> Response {
    let context = RequestContext::from_headers(request.headers());
    let request_id = context.request_id.clone();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    // The route as it is declared: whoever knows the id of a guest's cart may use the cart, so no log gets it.
    let route = request.extensions().get::<MatchedPath>().map_or("(none)", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!(
        "request",
        %method,
        route,
        request_id = request_id.to_str().unwrap_or_default(),
        trace = context.traceparent.as_ref().and_then(|value| value.to_str().ok()),
    );
    let began = Instant::now();
    let work = context.scope(next.run(request)).instrument(span.clone());
    let response = match tracker.spawn(work).await {
        Ok(response) => response,
        Err(error) => span.in_scope(|| Problem::internal(error)).into_response(),
    };
    let mut response = located(response, &path);
    response.headers_mut().insert(REQUEST_ID, request_id);
    let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    span.in_scope(|| tracing::debug!(status = response.status().as_u16(), micros, "answered"));
    response
}

/// Adds `instance` to a problem, keeping every header that was added since.
fn located(mut response: Response, path: &str) -> Response {
    let Some(problem) = response.extensions_mut().remove::<Problem>() else { return response };
    let body = problem.at(path).to_json().to_string();
    response.headers_mut().remove(http::header::CONTENT_LENGTH);
    *response.body_mut() = body.into();
    response
}

/// Runs a service: `fn main() -> ExitCode { service_kit::start::run("catalog", app::build) }`.
/// `service` names it when the environment does not. Ends after SIGTERM or SIGINT; a failed start is told on
/// standard error with exit code 1.
pub fn run<F, B>(service: &'static str, build: F) -> ExitCode
where
    F: FnOnce(Config) -> B,
    B: Future<Output = Result<App, StartError>>,
{
    init_logs();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(service, &StartError::prepare(error)),
    };
    match runtime.block_on(run_until_signal(service, build)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(service, &error),
    }
}

fn failed(service: &str, error: &StartError) -> ExitCode {
    tracing::error!(service, cause = %error, "cannot start");
    eprintln!("{service}: {error}");
    ExitCode::FAILURE
}

async fn run_until_signal<F, B>(service: &'static str, build: F) -> Result<(), StartError>
where
    F: FnOnce(Config) -> B,
    B: Future<Output = Result<App, StartError>>,
{
    let began = Instant::now();
    let config = Config::from_env(service)?;
    let addr = config.addr;
    let name = config.service.clone();
    let stop = stop_on_signal()?;
    let app = build(config).await?;
    let listener = listen(addr).await?;
    let millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::info!(service = name, addr = %listener.local_addr().unwrap_or(addr), millis, "listening");
    app.serve(listener, stop).await.map_err(|source| StartError::Listen { addr, source })?;
    tracing::info!(service = name, "stopped");
    Ok(())
}

/// Binds the address.
///
/// # Errors
/// It is taken or not ours.
pub async fn listen(addr: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(addr).await.map_err(|source| StartError::Listen { addr, source })
}

fn stop_on_signal() -> Result<CancellationToken, StartError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(StartError::prepare)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(StartError::prepare)?;
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {} _ = interrupt.recv() => {} }
        tracing::info!("stopping: finishing what is in flight");
        token.cancel();
    });
    Ok(stop)
}

/// JSON lines on standard output; `RUST_LOG` chooses what, `info` without it.
fn init_logs() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,sqlx=warn"));
    let logs =
        tracing_subscriber::fmt().json().flatten_event(true).with_span_list(false).with_env_filter(filter);
    // Fails only if logs were set up already, as in tests; those are then kept.
    let _ = logs.try_init();
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panic");
    }));
}

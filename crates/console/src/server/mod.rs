//! The server's side: HTTP in, calls on a [`Platform`] out.

mod problem;
#[expect(unused_qualifications, reason = "what utoipa's macro writes out for query parameters is qualified")]
mod routes;
mod streams;
#[expect(unused_qualifications, reason = "as above")]
mod traffic;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Platform;

/// No request of this API needs more.
const LARGEST_BODY: usize = 16 * 1024;

/// How long requests that are under way may take once the server is told to end.
pub(crate) const GRACE: Duration = Duration::from_secs(2);

/// What every handler gets.
#[derive(Clone)]
struct Context {
    platform: Arc<dyn Platform>,
    shutdown: CancellationToken,
}

#[derive(OpenApi)]
#[openapi(info(
    title = "Isles admin API",
    description = "State and control of one running app, over the Unix socket `.isles/control.sock` beside its manifest.",
    license(name = "Apache-2.0", identifier = "Apache-2.0")
))]
struct Contract;

/// Serves the API on `listener` until `shutdown` is cancelled, then ends every stream and returns. `more` is what is served beside
/// it, with a contract of its own.
///
/// # Errors
/// What the system says when the socket cannot be served any more.
pub async fn serve(
    listener: UnixListener,
    platform: Arc<dyn Platform>,
    more: Router,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let router = router(platform, more, shutdown.clone());
    let ending = shutdown.clone();
    let server =
        axum::serve(listener, router).with_graceful_shutdown(async move { ending.cancelled().await });
    tokio::select! {
        served = async { server.await } => served,
        () = async { shutdown.cancelled().await; tokio::time::sleep(GRACE).await } => Ok(()),
    }
}

/// The API, and beside it `more`.
pub(crate) fn router(platform: Arc<dyn Platform>, more: Router, shutdown: CancellationToken) -> Router {
    let (router, _) = parts();
    router.with_state(Context { platform, shutdown }).merge(more)
}

/// The OpenAPI document of this API, as the JSON that is checked in and served at `/v1/openapi.json`.
pub fn openapi() -> String {
    let (_, contract) = parts();
    // Made of plain strings and maps by derive macros; the checked-in copy is compared with it in a test.
    contract.to_pretty_json().map(|json| json + "\n").unwrap_or_default()
}

fn parts() -> (Router<Context>, utoipa::openapi::OpenApi) {
    let (router, contract) = OpenApiRouter::with_openapi(Contract::openapi())
        .routes(routes!(routes::status))
        .routes(routes!(routes::service))
        .routes(routes!(routes::scale))
        .routes(routes!(routes::restart))
        .routes(routes!(routes::plan))
        .routes(routes!(routes::deploy))
        .routes(routes!(routes::rollback))
        .routes(routes!(routes::promote))
        .routes(routes!(routes::releases))
        .routes(routes!(routes::usage))
        .routes(routes!(routes::drift))
        .routes(routes!(routes::logs))
        .routes(routes!(routes::watch))
        .routes(routes!(routes::down))
        .routes(routes!(traffic::traffic))
        .routes(routes!(traffic::spans))
        .routes(routes!(traffic::metrics))
        .routes(routes!(traffic::measured))
        .routes(routes!(traffic::events))
        .routes(routes!(routes::contract))
        .split_for_parts();
    let router = router
        .route("/metrics", axum::routing::get(traffic::open_metrics))
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(DefaultBodyLimit::max(LARGEST_BODY));
    (router, contract)
}

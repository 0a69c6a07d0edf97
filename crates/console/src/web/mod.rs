//! The dashboard: pages for a browser on this machine, and the admin API for programs, both behind a token.
//!
//! Every page is HTML made here, whole without a script. A small one (`script.js`) asks for the same address as an event stream and puts
//! what comes in the place of what is there, so a page that is open is always about now. Nothing is fetched from elsewhere.

mod chart;
mod contract;
pub mod guard;
pub mod line;
mod live;
mod logs;
mod manifest;
mod map;
mod measured;
mod overview;
mod page;
mod sagas;
mod service;
mod timeline;
mod traces;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Form, Path, Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use maud::Markup;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::api::{AppStatus, DeployRequest, RollbackRequest};
use crate::{Platform, Refusal};
use guard::Guard;
use sagas::SagaApi;

/// What a page may do: nothing but load from here.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What every page is made from.
#[derive(Clone)]
struct Web {
    platform: Arc<dyn Platform>,
    sagas: SagaApi,
    shutdown: CancellationToken,
}

/// A page, or the part of it that changes.
struct Fragment {
    /// In the title bar.
    title: String,
    /// What stays while the page is open: filters, buttons.
    fixed: Markup,
    /// What is made anew.
    live: Markup,
}

/// Which page.
#[derive(Debug, Clone)]
enum Page {
    Overview,
    /// With the window of its drawings.
    Service(String, Option<String>),
    /// A number that a service measures, with the window of its drawings.
    Measured(String, measured::Wanted),
    Traces(traces::Filter),
    Trace(String),
    Logs(logs::Filter),
    Sagas(sagas::Filter),
    Saga(String),
    Timeline(timeline::Filter),
    Manifest,
}

impl Web {
    fn status(&self) -> Arc<AppStatus> {
        self.platform.status().borrow().clone()
    }

    async fn fragment(&self, page: &Page) -> Result<Fragment, Refusal> {
        match page {
            Page::Overview => Ok(overview::fragment(self)),
            Page::Service(name, window) => service::fragment(self, name, window.as_deref()).await,
            Page::Measured(service, wanted) => measured::fragment(self, service, wanted).await,
            Page::Traces(filter) => traces::list(self, filter).await,
            Page::Trace(id) => traces::one(self, id).await,
            Page::Logs(filter) => logs::fragment(self, filter).await,
            Page::Sagas(filter) => sagas::list(self, filter).await,
            Page::Saga(id) => sagas::one(self, id).await,
            Page::Timeline(filter) => timeline::fragment(self, filter).await,
            Page::Manifest => manifest::fragment(self).await,
        }
    }

    /// The page, or the stream of its changes for a script that asks for one.
    async fn answer(&self, headers: &HeaderMap, page: Page) -> Response {
        let wants = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
        if wants.is_some_and(|accept| accept.starts_with("text/event-stream")) {
            return live::stream(self.clone(), page);
        }
        let status = self.status();
        match self.fragment(&page).await {
            Ok(fragment) => page::whole(&status, &page, &fragment).into_response(),
            Err(refusal) => page::refused(&status, &refusal).into_response(),
        }
    }
}

/// Serves the dashboard and the API on `listener` until `shutdown` is cancelled. `more` is what is served beside the API.
///
/// # Errors
/// What the system says when the address cannot be served any more.
pub async fn serve(
    listener: TcpListener,
    platform: Arc<dyn Platform>,
    more: Router,
    guard: Guard,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let router = router(platform, more, guard, shutdown.clone());
    let ending = shutdown.clone();
    let server =
        axum::serve(listener, router).with_graceful_shutdown(async move { ending.cancelled().await });
    tokio::select! {
        served = async { server.await } => served,
        () = async { shutdown.cancelled().await; tokio::time::sleep(crate::server::GRACE).await } => Ok(()),
    }
}

fn router(platform: Arc<dyn Platform>, more: Router, guard: Guard, shutdown: CancellationToken) -> Router {
    let api = crate::server::router(platform.clone(), more.clone(), shutdown.clone());
    let web = Web { platform, sagas: SagaApi(more), shutdown };
    let pages = Router::new()
        .route("/", get(overview))
        .route("/services/{name}", get(one_service))
        .route("/services/{name}/measured", get(one_measured))
        .route("/services/{name}/scale", post(scale))
        .route("/services/{name}/restart", post(restart))
        .route("/services/{name}/deploy", post(deploy))
        .route("/services/{name}/rollback", post(rollback))
        .route("/services/{name}/promote", post(promote))
        .route("/traces", get(traces_list))
        .route("/traces/{id}", get(one_trace))
        .route("/logs", get(logs_page))
        .route("/timeline", get(timeline_page))
        .route("/manifest", get(manifest_page))
        .route("/sagas", get(sagas_list))
        .route("/sagas/{id}", get(one_saga))
        .route("/sagas/{id}/{order}", post(order_saga))
        .route("/assets/style.css", get(async || asset("text/css; charset=utf-8", include_str!("style.css"))))
        .route(
            "/assets/script.js",
            get(async || asset("text/javascript; charset=utf-8", include_str!("script.js"))),
        )
        .route("/assets/icon.svg", get(async || asset("image/svg+xml", include_str!("icon.svg"))))
        .with_state(web);
    let guarded = axum::middleware::from_fn(move |request, next| guard::check(guard.clone(), request, next));
    pages.merge(api).layer(guarded).layer(axum::middleware::map_response(secured))
}

/// Header fields of every answer.
async fn secured(mut response: Response) -> Response {
    let fields = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // With `no-referrer` a browser sends `Origin: null` with our own forms, which could not be told from those of others.
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in fields {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "max-age=60")], text).into_response()
}

async fn overview(State(web): State<Web>, headers: HeaderMap) -> Response {
    web.answer(&headers, Page::Overview).await
}

#[derive(Debug, Deserialize)]
struct Window {
    #[serde(default)]
    window: Option<String>,
}

async fn one_service(
    State(web): State<Web>,
    Path(name): Path<String>,
    Query(Window { window }): Query<Window>,
    headers: HeaderMap,
) -> Response {
    web.answer(&headers, Page::Service(name, window)).await
}

async fn one_measured(
    State(web): State<Web>,
    Path(name): Path<String>,
    Query(wanted): Query<measured::Wanted>,
    headers: HeaderMap,
) -> Response {
    web.answer(&headers, Page::Measured(name, wanted)).await
}

async fn traces_list(
    State(web): State<Web>,
    Query(filter): Query<traces::Filter>,
    headers: HeaderMap,
) -> Response {
    web.answer(&headers, Page::Traces(filter)).await
}

async fn one_trace(State(web): State<Web>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    web.answer(&headers, Page::Trace(id)).await
}

async fn logs_page(
    State(web): State<Web>,
    Query(filter): Query<logs::Filter>,
    headers: HeaderMap,
) -> Response {
    web.answer(&headers, Page::Logs(filter)).await
}

async fn manifest_page(State(web): State<Web>, headers: HeaderMap) -> Response {
    web.answer(&headers, Page::Manifest).await
}

async fn timeline_page(
    State(web): State<Web>,
    Query(filter): Query<timeline::Filter>,
    headers: HeaderMap,
) -> Response {
    web.answer(&headers, Page::Timeline(filter)).await
}

async fn sagas_list(
    State(web): State<Web>,
    Query(filter): Query<sagas::Filter>,
    headers: HeaderMap,
) -> Response {
    web.answer(&headers, Page::Sagas(filter)).await
}

async fn one_saga(State(web): State<Web>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    web.answer(&headers, Page::Saga(id)).await
}

#[derive(Debug, Deserialize)]
struct Scale {
    replicas: u32,
}

async fn scale(State(web): State<Web>, Path(name): Path<String>, Form(form): Form<Scale>) -> Response {
    ordered(&web, &name, async || web.platform.scale(&name, form.replicas).await.map(drop)).await
}

async fn restart(State(web): State<Web>, Path(name): Path<String>) -> Response {
    ordered(&web, &name, async || web.platform.restart(&name).await.map(drop)).await
}

#[derive(Debug, Deserialize)]
struct Deploy {
    #[serde(default)]
    canary: Option<String>,
}

async fn deploy(State(web): State<Web>, Path(name): Path<String>, Form(form): Form<Deploy>) -> Response {
    let (services, canary) = (vec![name.clone()], form.canary.is_some());
    let request = DeployRequest { services, canary, ..DeployRequest::default() };
    ordered(&web, &name, async || web.platform.deploy(request).await.map(drop)).await
}

#[derive(Debug, Deserialize)]
struct Rollback {
    #[serde(default)]
    release: Option<String>,
}

async fn rollback(State(web): State<Web>, Path(name): Path<String>, Form(form): Form<Rollback>) -> Response {
    let request = RollbackRequest { release: form.release.filter(|release| !release.is_empty()) };
    ordered(&web, &name, async || web.platform.rollback(&name, request).await.map(drop)).await
}

async fn promote(State(web): State<Web>, Path(name): Path<String>) -> Response {
    ordered(&web, &name, async || web.platform.promote(&name).await.map(drop)).await
}

/// Follows an order for a service, if there is that service.
async fn ordered(web: &Web, name: &str, order: impl AsyncFnOnce() -> Result<(), Refusal>) -> Response {
    let known = service::find(&web.status(), name).map(drop);
    let done = match known {
        Ok(()) => order().await,
        unknown => unknown,
    };
    back(web, &service::path(name), done)
}

async fn order_saga(State(web): State<Web>, Path((id, order)): Path<(String, String)>) -> Response {
    let done = sagas::order(&web, &id, &order).await;
    back(&web, &format!("/sagas/{}", words::segment(&id)), done)
}

/// To the page that the order was given on, or to one that says why it was not followed.
fn back(web: &Web, path: &str, done: Result<(), Refusal>) -> Response {
    match done {
        Ok(()) => Redirect::to(path).into_response(),
        Err(refusal) => page::refused(&web.status(), &refusal).into_response(),
    }
}

/// Whether a browser shows what is there to a person, so that a refusal has to be a page too.
pub(crate) fn is_page(uri: &Uri) -> bool {
    !uri.path().starts_with("/v1/")
}

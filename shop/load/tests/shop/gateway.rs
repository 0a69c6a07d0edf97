//! The little that these tests need of the platform: routes by path for customers, edges by caller for services, and a switch that
//! takes a service away.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

/// The gateway and all edges, on one port: `/edge/{caller}/{callee}/…` and everything else.
pub struct Gateway {
    /// Where customers come in.
    pub url: String,
    routes: Arc<Routes>,
}

#[derive(Default)]
struct Routes {
    services: Mutex<HashMap<&'static str, String>>,
    closed: Mutex<HashSet<&'static str>>,
    http: reqwest::Client,
}

impl Gateway {
    /// Listens on a free port, with no service behind it yet.
    pub async fn start() -> Self {
        let routes = Arc::new(Routes::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(forward).with_state(Arc::clone(&routes));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, routes }
    }

    /// The address at which `caller` reaches `callee`.
    pub fn edge(&self, caller: &str, callee: &str) -> String {
        format!("{}/edge/{caller}/{callee}", self.url)
    }

    /// Puts a service behind the gateway.
    pub fn open(&self, name: &'static str, url: String) {
        self.routes.services.lock().unwrap().insert(name, url);
    }

    /// Takes a service away, or brings it back.
    pub fn close(&self, name: &'static str, closed: bool) {
        let mut all = self.routes.closed.lock().unwrap();
        if closed {
            all.insert(name)
        } else {
            all.remove(name)
        };
    }
}

async fn forward(
    State(routes): State<Arc<Routes>>,
    method: Method,
    uri: Uri,
    mut headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri.path_and_query().unwrap().as_str();
    let (caller, service, path) = match path.strip_prefix("/edge/") {
        Some(rest) => {
            let mut parts = rest.splitn(3, '/');
            let (caller, callee) = (parts.next().unwrap(), parts.next().unwrap());
            (caller, callee, format!("/{}", parts.next().unwrap_or_default()))
        }
        None => {
            let service = path.strip_prefix("/api/").and_then(|rest| rest.split(['/', '?']).next());
            ("gateway", service.unwrap_or_default(), path.to_owned())
        }
    };
    let Some(base) = routes.services.lock().unwrap().get(service).cloned() else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    if routes.closed.lock().unwrap().contains(service) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    headers.remove("host");
    headers.insert("x-isles-caller", caller.parse().unwrap());
    let request = routes.http.request(method, format!("{base}{path}")).headers(headers).body(body);
    let Ok(response) = request.send().await else { return StatusCode::BAD_GATEWAY.into_response() };
    let (status, headers) = (response.status(), response.headers().clone());
    let Ok(bytes) = response.bytes().await else { return StatusCode::BAD_GATEWAY.into_response() };
    let mut answer = Response::new(Body::from(bytes));
    *answer.status_mut() = status;
    for (name, value) in headers.iter().filter(|(name, _)| *name != "transfer-encoding") {
        answer.headers_mut().append(name, value.clone());
    }
    answer
}

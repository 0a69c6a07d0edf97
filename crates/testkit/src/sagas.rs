//! The saga engine without the platform around it, for tests of services that begin sagas and take steps of them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use saga::contracts::{Contract, Contracts};
use saga::engine::{Callees, Engine, Options};
use saga::store::sqlite::SqliteStore;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// A running engine with a store of its own.
pub struct Sagas {
    /// What a service finds as `SAGAS_URL`.
    pub url: String,
    relays: HashMap<String, Relay>,
    // The engine ends with the process; its files only when the test is over.
    _folder: TempDir,
    _callees: watch::Sender<Arc<Callees>>,
}

/// What stands for the data plane: says who calls, and knows where the callee is.
#[derive(Clone)]
struct Relay {
    to: Arc<Mutex<String>>,
    http: reqwest::Client,
}

impl Sagas {
    /// Starts an engine for every definition in a folder, changed by `edit`, checked against contracts (service and file). Nobody is
    /// reached before [`Sagas::point`] says where.
    pub async fn start(
        definitions: &Path,
        contracts: &[(&str, PathBuf)],
        edit: impl Fn(&str) -> String,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut read = Contracts::new();
        let (mut relays, mut callees) = (HashMap::new(), Callees::new());
        for (service, file) in contracts {
            let contract = Contract::read(&std::fs::read_to_string(file).unwrap()).unwrap();
            read.insert((*service).to_owned(), Some(contract));
            let relay = Relay { to: Arc::default(), http: reqwest::Client::new() };
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            callees.insert((*service).to_owned(), listener.local_addr().unwrap());
            let router = Router::new().fallback(forward).with_state(relay.clone());
            tokio::spawn(async move { axum::serve(listener, router).await });
            relays.insert((*service).to_owned(), relay);
        }
        let texts: Vec<String> = std::fs::read_dir(definitions)
            .unwrap()
            .map(|entry| edit(&std::fs::read_to_string(entry.unwrap().path()).unwrap()))
            .collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let plans = saga::definition::read_all(&texts, &read);
        let plans = plans.into_iter().map(Result::unwrap).collect();
        let callees = watch::Sender::new(Arc::new(callees));
        let store = Arc::new(SqliteStore::open(&folder.path().join("sagas.db")).unwrap());
        let engine = Engine::start(store, plans, Options::new(callees.subscribe())).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, saga::api::router(engine)).await });
        Self { url, relays, _folder: folder, _callees: callees }
    }

    /// Says where a service is: an address, with a path before its own if need be.
    pub fn point(&self, service: &str, base: &str) {
        base.clone_into(&mut self.relays[service].to.lock().unwrap());
    }
}

async fn forward(
    State(relay): State<Relay>,
    method: Method,
    uri: Uri,
    mut headers: HeaderMap,
    body: Bytes,
) -> Response {
    let url = format!("{}{}", relay.to.lock().unwrap(), uri.path_and_query().unwrap());
    headers.remove("host");
    headers.insert("x-isles-caller", HeaderValue::from_static("isles-sagas"));
    let exchange = async {
        let response = relay.http.request(method, url).headers(headers).body(body).send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok::<_, reqwest::Error>((status, headers, response.bytes().await?))
    };
    let Ok((status, mut headers, bytes)) = exchange.await else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    headers.remove("transfer-encoding");
    let mut answer = Response::new(Body::from(bytes));
    (*answer.status_mut(), *answer.headers_mut()) = (status, headers);
    answer
}

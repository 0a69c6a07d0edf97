//! Catalog, inventory, payments, recommendations and accounts' keys, played by one server with honest books and scriptable faults.

use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::Value;
use service_kit::testing::Signer;
use tokio::sync::Notify;

use crate::books::{Books, Intent};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No answer until [`World::heal`], and then a broken connection.
    Hang,
    /// The connection breaks.
    Drop,
    /// This status without a word.
    Status(u16),
}

/// Whether the operation is carried out before it goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Nothing was done.
    Before,
    /// It was done; only the answer is lost.
    After,
}

/// An operation that is to go wrong.
#[derive(Debug)]
pub struct Trouble {
    operation: &'static str,
    when: When,
    fault: Fault,
    times: usize,
}

/// The server.
pub struct World {
    /// Where it listens.
    pub url: String,
    /// Signs access tokens.
    pub signer: Arc<Signer>,
    shared: Arc<Shared>,
}

struct Shared {
    books: Mutex<Books>,
    hanging: Notify,
    healed: Notify,
    jwks: Value,
}

impl World {
    /// Serves on a free port: SKUs A (500), B (1250), C (99), ten units each.
    pub async fn start() -> Self {
        let signer = Arc::new(Signer::new().unwrap());
        let mut books = Books::default();
        for (sku, price) in [("A", 500), ("B", 1250), ("C", 99)] {
            books.prices.insert(sku.into(), price);
            books.on_hand.insert(sku.into(), 10);
        }
        let shared = Arc::new(Shared {
            books: Mutex::new(books),
            hanging: Notify::new(),
            healed: Notify::new(),
            jwks: serde_json::to_value(signer.jwks()).unwrap(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(serve).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, signer, shared }
    }

    /// The books, to read or to change.
    pub fn books(&self) -> MutexGuard<'_, Books> {
        self.shared.books.lock().unwrap()
    }

    /// Makes an operation go wrong so many times.
    pub fn trouble(&self, operation: &'static str, when: When, fault: Fault, times: usize) {
        self.books().troubles.push(Trouble { operation, when, fault, times });
    }

    /// Waits until a request hangs.
    pub async fn hangs(&self) {
        self.shared.hanging.notified().await;
    }

    /// Ends all trouble.
    pub fn heal(&self) {
        self.books().troubles.clear();
        self.shared.healed.notify_waiters();
    }

    /// The order's intents.
    pub fn intents_of(&self, order: &str) -> Vec<Intent> {
        self.books().intents.values().filter(|intent| intent.reference == order).cloned().collect()
    }

    /// Fails unless the order took `units` of A, its money exactly once, and nothing else is held or promised.
    pub fn assert_bought(&self, order: &str, units: i64, total: i64) {
        let intents = self.intents_of(order);
        assert_eq!(intents.len(), 1, "{intents:?}");
        assert_eq!((intents[0].status, intents[0].captured, intents[0].refunded), ("succeeded", total, 0));
        assert_eq!(intents[0].bank_asked, 1, "the bank was asked once");
        let books = self.books();
        assert_eq!(books.on_hand["A"], 10 - units);
        assert_eq!(books.reservations[order].status, "committed");
        assert!(books.keyless.is_empty(), "without a key: {:?}", books.keyless);
    }

    /// Fails unless the order left no trace in stock and money.
    pub fn assert_no_trace(&self, order: &str) {
        for intent in self.intents_of(order) {
            assert_eq!(intent.captured, intent.refunded, "{intent:?}");
            assert_ne!(intent.status, "requires_capture", "an authorization is left");
        }
        let books = self.books();
        assert_eq!(books.on_hand["A"], 10);
        if let Some(reservation) = books.reservations.get(order) {
            assert!(matches!(reservation.status, "released" | "returned"), "{reservation:?}");
        }
    }

    /// How often an operation arrived.
    pub fn arrived(&self, operation: &str) -> usize {
        self.books().arrived.iter().filter(|name| *name == operation).count()
    }
}

async fn serve(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path: Vec<&str> = uri.path().trim_matches('/').split('/').collect();
    let operation = match (&method, path.as_slice()) {
        (&Method::GET, ["api", "accounts", ..]) => return axum::Json(shared.jwks.clone()).into_response(),
        (&Method::GET, ["products", "by-sku"]) => "products",
        (&Method::POST, ["reservations"]) => "reserve",
        (&Method::POST, ["reservations", _, "commit"]) => "commit",
        (&Method::POST, ["reservations", _, "cancel"]) => "release",
        (&Method::POST, ["payments"]) => "create",
        (&Method::POST, ["payments", _, "confirm"]) => "confirm",
        (&Method::POST, ["payments", _, "capture"]) => "capture",
        (&Method::POST, ["payments", _, "reverse"]) => "reverse",
        (&Method::POST, ["events", "order-confirmed"]) => "event",
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    shared.books.lock().unwrap().arrived.push(operation.to_owned());
    if let Some(fault) = take(&shared, operation, When::Before) {
        return go_wrong(&shared, fault).await;
    }
    let key = headers.get("idempotency-key").map(|key| key.to_str().unwrap().to_owned());
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let (status, answer) = once(&shared, operation, key, path.get(1).copied(), uri.query(), &body);
    if let Some(fault) = take(&shared, operation, When::After) {
        return go_wrong(&shared, fault).await;
    }
    (StatusCode::from_u16(status).unwrap(), axum::Json(answer)).into_response()
}

fn take(shared: &Shared, operation: &str, when: When) -> Option<Fault> {
    let mut books = shared.books.lock().unwrap();
    let fits =
        |trouble: &&mut Trouble| trouble.operation == operation && trouble.when == when && trouble.times > 0;
    let trouble = books.troubles.iter_mut().find(fits)?;
    trouble.times -= 1;
    Some(trouble.fault)
}

async fn go_wrong(shared: &Shared, fault: Fault) -> Response {
    match fault {
        Fault::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Fault::Hang => {
            let healed = shared.healed.notified();
            shared.hanging.notify_one();
            healed.await;
            broken()
        }
        Fault::Drop => broken(),
    }
}

/// A body that ends in an error: the connection is cut.
fn broken() -> Response {
    let error = std::io::Error::other("cut");
    Body::from_stream(futures_util::stream::iter([Err::<Bytes, _>(error)])).into_response()
}

/// Answers the same key with the same answer.
fn once(
    shared: &Shared,
    operation: &str,
    key: Option<String>,
    id: Option<&str>,
    query: Option<&str>,
    body: &Value,
) -> (u16, Value) {
    let mut books = shared.books.lock().unwrap();
    let reads = operation == "products";
    let Some(key) = key.filter(|_| !reads) else {
        if !reads {
            books.keyless.insert(operation.to_owned());
        }
        return books.act(operation, id.unwrap_or_default(), query.unwrap_or_default(), body);
    };
    if operation != "event"
        && let Some(answer) = books.answers.get(&key)
    {
        return answer.clone();
    }
    let answer = books.act(operation, id.unwrap_or_default(), "", body);
    books.answers.insert(key, answer.clone());
    answer
}

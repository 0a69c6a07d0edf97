//! A scriptable service: it keeps keys as a service has to, and does to one request what a test wants.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use saga::contracts::{Contract, Contracts};
use serde_json::{Value, json};
use tokio::sync::watch;

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The engine is killed, and the effect is not there.
    CrashBefore,
    /// The effect is there, and the engine is killed.
    CrashAfter,
    /// The effect is there, and the answer gets lost.
    LostReply,
    /// No answer in time; the request is carried out much later.
    Timeout,
    /// A definite refusal.
    Refusal,
    /// The effect is there, and the answer is 503, so it is asked for again.
    Repeat,
    /// A definite refusal, and then somebody mends what was wrong.
    Mended,
}

/// What became of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It has its effect.
    Applied,
    /// It has none any more, and never will.
    Undone,
    /// It was refused.
    Refused,
}

#[derive(Default)]
struct Inner {
    effects: HashMap<String, Effect>,
    /// How often each key was really applied, and really undone.
    applied: HashMap<String, u32>,
    undone: HashMap<String, u32>,
    calls: Vec<String>,
    /// By `do step` or `undo step`: what happens to how many of the requests to come.
    script: HashMap<String, (Fault, u32)>,
    /// The engine.
    pid: Option<u32>,
    /// The engine is stopped, as a debugger or a busy machine does it, when this many requests have come.
    pause_at: Option<usize>,
}

/// The service and everything that it has seen.
#[derive(Clone)]
pub struct World {
    inner: Arc<Mutex<Inner>>,
    gate: Arc<watch::Sender<bool>>,
    pub address: SocketAddr,
}

/// How long a request that is carried out late waits.
const LATE: Duration = Duration::from_millis(600);

impl World {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let world = Self {
            inner: Arc::default(),
            gate: Arc::new(watch::Sender::new(true)),
            address: listener.local_addr().unwrap(),
        };
        let router = Router::new()
            .route("/do/{step}", post(forward))
            .route("/undo/{step}/{key}", post(back))
            .with_state(world.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        world
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    /// Does `fault` to the next `times` requests for `what`: `do step` or `undo step`.
    pub fn script(&self, what: &str, fault: Fault, times: u32) {
        self.inner().script.insert(what.to_owned(), (fault, times));
    }

    /// Refuses the next request for `what`, and does not remember it: what was wrong is mended afterwards.
    pub fn refuse_once(&self, what: &str) {
        self.script(what, Fault::Mended, 1);
    }

    /// Lets requests wait.
    pub fn close_gate(&self) {
        self.gate.send_replace(false);
    }

    /// Lets requests in again, and stops the engine when this many more have come.
    pub fn pause_after(&self, calls: usize) {
        let mut inner = self.inner();
        inner.pause_at = Some(inner.calls.len() + calls);
        drop(inner);
        self.gate.send_replace(true);
    }

    /// Whether that has happened; the engine goes on with [`World::resume`].
    pub fn is_paused(&self) -> bool {
        let inner = self.inner();
        inner.pause_at.is_some_and(|at| inner.calls.len() >= at)
    }

    /// Lets a process go on.
    pub fn resume(pid: u32) {
        rustix::process::kill_process(process(pid), rustix::process::Signal::CONT).unwrap();
    }

    pub fn engine_is(&self, pid: u32) {
        self.inner().pid = Some(pid);
    }

    /// What became of each step of a saga.
    pub fn effects(&self, saga: &str) -> BTreeMap<String, Effect> {
        let inner = self.inner();
        let mine = inner
            .effects
            .iter()
            .filter_map(|(key, e)| Some((key.strip_prefix(saga)?.strip_prefix('.')?.to_owned(), *e)));
        mine.collect()
    }

    /// Every key was applied and undone at most once, and none was undone that is applied.
    pub fn audit(&self) {
        let inner = self.inner();
        for (key, effect) in &inner.effects {
            let applied = inner.applied.get(key).copied().unwrap_or(0);
            let undone = inner.undone.get(key).copied().unwrap_or(0);
            let net = i64::from(applied) - i64::from(undone);
            let expected = i64::from(*effect == Effect::Applied);
            assert!(
                applied <= 1 && undone <= 1 && net == expected,
                "{key}: {effect:?} {applied} {undone}: {:?}",
                inner.calls
            );
        }
    }

    /// The requests in their order: `do a`, `undo a`.
    pub fn calls(&self) -> Vec<String> {
        self.inner().calls.clone()
    }

    pub fn calls_of(&self, what: &str) -> usize {
        self.inner().calls.iter().filter(|c| *c == what).count()
    }

    fn fault(&self, what: &str) -> Option<Fault> {
        let mut inner = self.inner();
        inner.calls.push(what.to_owned());
        if inner.pause_at == Some(inner.calls.len()) {
            let pid = inner.pid.expect("a pause needs a process");
            rustix::process::kill_process(process(pid), rustix::process::Signal::STOP).unwrap();
        }
        let (fault, times) = inner.script.get_mut(what)?;
        *times = times.checked_sub(1)?;
        Some(*fault)
    }

    /// Kills the engine. A request that asked for it gets no answer.
    async fn crash(&self) -> Response {
        // It may be dead already, of another request that it had under way.
        if let Some(pid) = self.inner().pid.take() {
            rustix::process::kill_process(process(pid), rustix::process::Signal::KILL).unwrap();
        }
        std::future::pending().await
    }

    fn apply(&self, key: &str) -> Response {
        let mut inner = self.inner();
        match inner.effects.get(key) {
            Some(Effect::Undone) => problem(StatusCode::CONFLICT, "undone"),
            Some(Effect::Refused) => problem(StatusCode::UNPROCESSABLE_ENTITY, "refused"),
            Some(Effect::Applied) => done(key),
            None => {
                inner.effects.insert(key.to_owned(), Effect::Applied);
                *inner.applied.entry(key.to_owned()).or_default() += 1;
                done(key)
            }
        }
    }

    fn refuse(&self, key: &str) -> Response {
        self.inner().effects.entry(key.to_owned()).or_insert(Effect::Refused);
        problem(StatusCode::UNPROCESSABLE_ENTITY, "refused")
    }

    fn undo(&self, key: &str) -> Response {
        let mut inner = self.inner();
        if inner.effects.insert(key.to_owned(), Effect::Undone) == Some(Effect::Applied) {
            *inner.undone.entry(key.to_owned()).or_default() += 1;
        }
        done(key)
    }
}

fn process(pid: u32) -> rustix::process::Pid {
    rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap()
}

fn done(key: &str) -> Response {
    axum::Json(json!({ "id": format!("of-{key}") })).into_response()
}

fn problem(status: StatusCode, code: &str) -> Response {
    (status, axum::Json(json!({ "code": code }))).into_response()
}

async fn forward(State(world): State<World>, Path(step): Path<String>, headers: HeaderMap) -> Response {
    let key = headers["idempotency-key"].to_str().unwrap().to_owned();
    assert!(key.ends_with(&format!(".{step}")), "{key} is a key of {step}");
    // The gate is there for as long as the world is.
    let _ = world.gate.subscribe().wait_for(|open| *open).await;
    let fault = world.fault(&format!("do {step}"));
    let (w, k) = (world.clone(), key.clone());
    perform(&world, fault, move || w.apply(&k), || world.refuse(&key)).await
}

async fn back(
    State(world): State<World>,
    Path((step, key)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    assert_eq!(headers["idempotency-key"].to_str().unwrap(), format!("{key}.undo"));
    let fault = world.fault(&format!("undo {step}"));
    let (w, k) = (world.clone(), key.clone());
    perform(&world, fault, move || w.undo(&k), || problem(StatusCode::CONFLICT, "not_now")).await
}

async fn perform(
    world: &World,
    fault: Option<Fault>,
    effect: impl Fn() -> Response + Send + 'static,
    refusal: impl FnOnce() -> Response,
) -> Response {
    match fault {
        None => effect(),
        Some(Fault::CrashBefore) => world.crash().await,
        Some(Fault::CrashAfter) => {
            effect();
            world.crash().await
        }
        Some(Fault::LostReply) => {
            effect();
            // The connection breaks in the middle of the answer.
            let broken = std::future::ready(Err::<Vec<u8>, _>(std::io::Error::other("lost")));
            Body::from_stream(futures_util::stream::once(broken)).into_response()
        }
        Some(Fault::Timeout) => {
            // The caller goes away, and with it this future; what it asked for happens nevertheless.
            tokio::spawn(async move {
                tokio::time::sleep(LATE).await;
                effect();
            });
            std::future::pending().await
        }
        Some(Fault::Refusal) => refusal(),
        Some(Fault::Mended) => problem(StatusCode::UNPROCESSABLE_ENTITY, "not_now"),
        Some(Fault::Repeat) => {
            effect();
            problem(StatusCode::SERVICE_UNAVAILABLE, "not_sure")
        }
    }
}

/// A service `world` with the operations `doX` and `undoX` for these steps.
pub fn contracts(steps: &[&str]) -> Contracts {
    let mut paths = serde_json::Map::new();
    let answer = json!({ "200": { "description": "", "content": { "application/json": { "schema": {
        "type": "object", "properties": { "id": { "type": "string" } } } } } } });
    for step in steps {
        let forward = json!({ "operationId": format!("do_{step}"), "responses": answer });
        paths.insert(format!("/do/{step}"), json!({ "post": forward }));
        let key = json!([{ "name": "key", "in": "path", "required": true }]);
        let back = json!({ "operationId": format!("undo_{step}"), "parameters": key, "responses": answer });
        paths.insert(format!("/undo/{step}/{{key}}"), json!({ "post": back }));
    }
    let document = Value::Object([("paths".to_owned(), Value::Object(paths))].into_iter().collect());
    let contract = Contract::read(&document.to_string()).unwrap();
    [("world".to_owned(), Some(contract))].into()
}

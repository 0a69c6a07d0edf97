//! The engine: runs sagas above a [`Store`].
//!
//! A task for each saga that has something to do now; one that only waits longer is put down and claimed again when it is due.
//! Everything runs on one thread with a runtime of its own, so that nothing is passed between threads but what goes to the
//! store and back. Nothing is done outside before what made it due is durable.

mod call;
mod claim;
mod pool;
mod room;
mod task;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::advance::advance;
use crate::plan::Plan;
use crate::record::Outcome;
use crate::state::State;
use crate::store::{Begun, Filter, NewSaga, Signal, Status, Store, StoreError, Stored, Summary};

/// Where the services that sagas call are reached.
pub type Callees = BTreeMap<String, SocketAddr>;

/// How an engine works.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where services are reached, and every change of it.
    pub callees: watch::Receiver<Arc<Callees>>,
    /// Sagas that have something to do at one time; more are not started.
    pub active: usize,
    /// Calls at one time to one service; more wait.
    pub calls: usize,
    /// A saga that has nothing to do for longer than this is put down.
    pub patience: Duration,
    /// How often is looked for sagas that are due.
    pub poll: Duration,
    /// How long sagas are kept after their end.
    pub keep: Duration,
}

impl Options {
    /// What suits one application on one machine.
    pub fn new(callees: watch::Receiver<Arc<Callees>>) -> Self {
        Self {
            callees,
            active: 10_000,
            calls: 256,
            patience: Duration::from_secs(2),
            poll: Duration::from_millis(500),
            keep: Duration::from_secs(7 * 24 * 3600),
        }
    }
}

/// Why a saga was not started.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// There is no such definition.
    #[error("there is no saga `{0}`")]
    Unknown(String),
    /// The key was used for something else.
    #[error("the key was used with another input")]
    KeyReused,
    /// There is too much to do.
    #[error("too many sagas are under way")]
    Busy,
    /// The engine ends.
    #[error("the saga engine is stopping")]
    Stopping,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A saga to be started.
#[derive(Debug, Clone, Default)]
pub struct Begin {
    /// The definition's name.
    pub saga: String,
    /// The caller's key: of two with one name and key only the first is started.
    pub key: String,
    /// What it is started with.
    pub input: Value,
    /// The caller's trace (W3C `traceparent`).
    pub trace: Option<String>,
    /// The saga and step that start it.
    pub parent: Option<(String, String)>,
}

/// A running engine. A clone is the same engine.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

/// What all tasks of an engine share.
struct Shared {
    store: Arc<dyn Store>,
    options: Options,
    caller: call::Caller,
    runtime: Handle,
    plans: Mutex<Plans>,
    active: Mutex<HashMap<String, Arc<Running>>>,
    /// Somebody became due.
    poke: Notify,
    /// Milliseconds after `began` until when others leave our sagas alone.
    lease: AtomicU64,
    /// Grows whenever the lease has run out: what was begun under an older one may be somebody else's by now.
    term: AtomicU64,
    began: Instant,
    stop: CancellationToken,
}

#[derive(Default)]
struct Plans {
    /// The latest definition of each name, with its digest.
    latest: HashMap<String, (Arc<Plan>, String)>,
    /// Every plan that a saga runs on.
    by_digest: HashMap<String, Arc<Plan>>,
}

/// A saga that a task of this engine runs.
struct Running {
    /// There are signals for it.
    signal: Notify,
    /// How it ended; closed without a value when it was put down.
    ended: watch::Sender<Option<Outcome>>,
}

impl Engine {
    /// Starts an engine: `plans` are what can be started from now on; what runs goes on with what it began with.
    ///
    /// # Errors
    /// The store fails, or there is no thread to be had.
    pub async fn start(
        store: Arc<dyn Store>,
        plans: Vec<Plan>,
        options: Options,
    ) -> Result<Self, StoreError> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(no_thread)?;
        let shared = Arc::new(Shared {
            caller: call::Caller::new(options.calls, options.callees.clone()),
            store,
            options,
            runtime: runtime.handle().clone(),
            plans: Mutex::default(),
            active: Mutex::default(),
            poke: Notify::new(),
            lease: AtomicU64::new(0),
            term: AtomicU64::new(0),
            began: Instant::now(),
            stop: CancellationToken::new(),
        });
        let engine = Self { shared: shared.clone() };
        engine.define(plans).await?;
        claim::renew(&shared).await?;
        let thread = std::thread::Builder::new().name("saga-engine".to_owned());
        thread.spawn(move || runtime.block_on(claim::work(shared))).map_err(no_thread)?;
        Ok(engine)
    }

    /// Replaces the definitions that can be started.
    ///
    /// # Errors
    /// The store fails.
    pub async fn define(&self, plans: Vec<Plan>) -> Result<(), StoreError> {
        let mut latest = HashMap::new();
        for plan in plans {
            let digest = plan.digest();
            let json = serde_json::to_string(&plan).map_err(|e| StoreError::Unreadable(e.to_string()))?;
            self.shared.store.put_plan(&digest, &plan.name, json).await?;
            latest.insert(plan.name.clone(), (Arc::new(plan), digest));
        }
        let mut plans = lock(&self.shared.plans);
        for (plan, digest) in latest.values() {
            plans.by_digest.insert(digest.clone(), plan.clone());
        }
        plans.latest = latest;
        Ok(())
    }

    /// The definitions that can be started, by name.
    pub fn plans(&self) -> BTreeMap<String, Arc<Plan>> {
        lock(&self.shared.plans).latest.iter().map(|(name, (plan, _))| (name.clone(), plan.clone())).collect()
    }

    /// The plan that a saga began with.
    ///
    /// # Errors
    /// The store fails, or does not have it.
    pub async fn plan_of(&self, stored: &Stored) -> Result<Arc<Plan>, StoreError> {
        self.shared.plan(&stored.plan).await
    }

    /// The plans of the sagas that are not over: what they call must stay there.
    ///
    /// # Errors
    /// The store fails.
    pub async fn plans_in_use(&self) -> Result<Vec<Plan>, StoreError> {
        let plans = self.shared.store.plans_in_use().await?;
        plans.iter().map(|(digest, json)| read_plan(digest, json)).collect()
    }

    /// Starts a saga, or finds the one that was started with this key. Gives its id, and whether it is new.
    ///
    /// # Errors
    /// See [`BeginError`].
    pub async fn begin(&self, begin: Begin) -> Result<(String, bool), BeginError> {
        let shared = self.shared.clone();
        // A task of its own: a caller that goes away must not leave a saga that is begun and that nobody runs.
        let begun = self.shared.runtime.spawn(async move { shared.begin(begin).await });
        begun.await.unwrap_or(Err(BeginError::Stopping))
    }

    /// Waits until a saga is over, for at most `limit`. Gives it as it is then.
    ///
    /// # Errors
    /// The store fails.
    pub async fn wait(&self, id: &str, limit: Duration) -> Result<Option<Stored>, StoreError> {
        let until = tokio::time::Instant::now() + limit;
        loop {
            let running = lock(&self.shared.active).get(id).cloned();
            if let Some(running) = running {
                let mut ended = running.ended.subscribe();
                drop(running);
                // An error means that it was put down; then it is looked up below.
                let _ = tokio::time::timeout_at(until, ended.wait_for(Option::is_some)).await;
            }
            let found = self.shared.store.find(id).await?;
            let over = found.as_ref().is_none_or(|s| s.ended_at.is_some());
            if over || tokio::time::Instant::now() >= until {
                return Ok(found);
            }
            // It waits for something, or another engine has it.
            let pause = Duration::from_millis(100).min(until - tokio::time::Instant::now());
            tokio::time::sleep(pause).await;
        }
    }

    /// Waits until a saga that this engine works on is over, for at most `limit`, and gives how it ended without asking the store.
    /// `None` if it takes longer or is not being worked on: then there is [`Engine::wait`].
    pub async fn outcome(&self, id: &str, limit: Duration) -> Option<Outcome> {
        let mut ended = lock(&self.shared.active).get(id)?.ended.subscribe();
        let ended = tokio::time::timeout(limit, ended.wait_for(Option::is_some)).await;
        ended.ok()?.ok()?.clone()
    }

    /// A saga.
    ///
    /// # Errors
    /// The store fails.
    pub async fn find(&self, id: &str) -> Result<Option<Stored>, StoreError> {
        self.shared.store.find(id).await
    }

    /// Sagas, newest first.
    ///
    /// # Errors
    /// The store fails.
    pub async fn list(&self, filter: Filter) -> Result<Vec<Summary>, StoreError> {
        self.shared.store.list(filter).await
    }

    /// Leaves a signal for a saga. `false` if there is no such saga, or it is over; an undo also reaches one that is done.
    ///
    /// # Errors
    /// The store fails.
    pub async fn signal(&self, id: &str, signal: Signal) -> Result<bool, StoreError> {
        self.shared.signal(id, signal).await
    }

    /// How many sagas are being worked on.
    pub fn active(&self) -> usize {
        lock(&self.shared.active).len()
    }

    /// Ends: nothing new is begun, answers that are under way are waited for, and the rest is left to whoever comes next.
    ///
    /// # Errors
    /// The store fails.
    pub async fn stop(&self, grace: Duration) -> Result<(), StoreError> {
        self.shared.stop.cancel();
        let until = Instant::now() + grace;
        while self.active() > 0 && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.shared.store.close().await
    }
}

impl Shared {
    async fn begin(self: &Arc<Self>, begin: Begin) -> Result<(String, bool), BeginError> {
        if self.stop.is_cancelled() {
            return Err(BeginError::Stopping);
        }
        let latest = lock(&self.plans).latest.get(&begin.saga).cloned();
        let Some((plan, digest)) = latest else { return Err(BeginError::Unknown(begin.saga)) };
        let (id, now) = (uuid::Uuid::now_v7().to_string(), now());
        let fingerprint = fingerprint(&begin.input);
        let mut state = State::new(&id, &plan, begin.input, now);
        let journal = advance(&plan, &mut state, now, &|_| false);
        let new = NewSaga {
            id: id.clone(),
            name: begin.saga,
            key: begin.key,
            fingerprint: fingerprint.clone(),
            plan: digest,
            input: state.input.clone(),
            at: now,
            trace: begin.trace.clone(),
            parent: begin.parent.clone(),
            journal,
        };
        // Before it is in the store, so that no signal for it goes unheard.
        let Some(running) = self.register(&id) else { return Err(BeginError::Busy) };
        let term = self.term();
        match self.store.begin(new).await {
            Ok(Begun::New) => {}
            // The answer to an earlier attempt of the store itself was lost.
            Ok(Begun::Known(known)) if known.id == id => {}
            Ok(Begun::Known(known)) => {
                self.unregister(&id, &running);
                return if known.fingerprint == fingerprint {
                    Ok((known.id, false))
                } else {
                    Err(BeginError::KeyReused)
                };
            }
            Err(error) => {
                self.unregister(&id, &running);
                return Err(error.into());
            }
        }
        let saga = task::Saga {
            id: id.clone(),
            plan,
            state,
            epoch: 1,
            trace: begin.trace,
            parent: begin.parent,
            running,
            seen: 0,
            term,
        };
        self.runtime.spawn(task::run(self.clone(), saga, false));
        Ok((id, true))
    }

    async fn signal(&self, id: &str, signal: Signal) -> Result<bool, StoreError> {
        let reopen = signal == Signal::Undo;
        let there = self.store.signal(id, signal, reopen).await?;
        if there {
            self.tell(id);
        }
        Ok(there)
    }

    /// There are signals for a saga.
    fn tell(&self, id: &str) {
        if let Some(running) = lock(&self.active).get(id) {
            running.signal.notify_one();
        }
        // It may be put down this very moment.
        self.poke.notify_one();
    }

    async fn plan(&self, digest: &str) -> Result<Arc<Plan>, StoreError> {
        if let Some(plan) = lock(&self.plans).by_digest.get(digest) {
            return Ok(plan.clone());
        }
        let Some(json) = self.store.plan(digest).await? else {
            return Err(StoreError::Unreadable(format!("there is no plan {digest}")));
        };
        let plan = Arc::new(read_plan(digest, &json)?);
        lock(&self.plans).by_digest.insert(digest.to_owned(), plan.clone());
        Ok(plan)
    }

    /// Takes a saga in, unless there are too many.
    fn register(&self, id: &str) -> Option<Arc<Running>> {
        let mut active = lock(&self.active);
        if active.len() >= self.options.active {
            return None;
        }
        let running = Arc::new(Running { signal: Notify::new(), ended: watch::Sender::new(None) });
        active.insert(id.to_owned(), running.clone());
        Some(running)
    }

    /// Forgets a saga, unless it was taken up anew meanwhile.
    fn unregister(&self, id: &str, running: &Arc<Running>) {
        let mut active = lock(&self.active);
        if active.get(id).is_some_and(|known| Arc::ptr_eq(known, running)) {
            active.remove(id);
        }
    }

    /// Whether others still leave our sagas alone.
    fn holds_lease(&self) -> bool {
        self.elapsed() < self.lease.load(Ordering::Relaxed)
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The term that runs now.
    fn term(&self) -> u64 {
        self.term.load(Ordering::Relaxed)
    }
}

fn read_plan(digest: &str, json: &str) -> Result<Plan, StoreError> {
    serde_json::from_str(json).map_err(|e| StoreError::Unreadable(format!("the plan {digest}: {e}")))
}

fn fingerprint(input: &Value) -> String {
    Sha256::digest(input.to_string()).iter().take(16).map(|b| format!("{b:02x}")).collect()
}

fn no_thread(error: std::io::Error) -> StoreError {
    StoreError::Database(format!("the saga engine cannot be started: {error}"))
}

/// Where a state is.
fn status(plan: &Plan, state: &State) -> Status {
    match &state.ended {
        Some(Outcome::Done { .. }) => Status::Done,
        Some(Outcome::Undone { .. }) => Status::Undone,
        None if state.undoing.is_some() => Status::Undoing,
        None if state.stuck(plan) => Status::Stuck,
        None => Status::Running,
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// What is inside is whole after every statement, so a panic elsewhere does no harm.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

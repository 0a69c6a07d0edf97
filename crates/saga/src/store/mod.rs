//! Where sagas are kept. Two kinds: [`sqlite`] for one engine, [`postgres`] for several that share the work.
//!
//! A saga has an owner, the engine that runs it, and an epoch that grows with every change of owner. Whatever an engine writes
//! about a saga names the epoch under which it has it, and is refused once somebody else has it (fencing). A saga without an
//! owner has a time from when on it may be claimed.

pub mod postgres;
pub mod sqlite;

use std::fmt;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::record::{Outcome, Record};

/// A saga that is not due before this is due when something happens to it.
pub const NEVER: u64 = i64::MAX as u64;

/// The store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database could not do it.
    #[error("the saga store failed: {0}")]
    Database(String),
    /// A row holds what this version cannot read.
    #[error("the saga store holds something unreadable: {0}")]
    Unreadable(String),
    /// The store is closed.
    #[error("the saga store is closed")]
    Closed,
}

type Result<T> = std::result::Result<T, StoreError>;

/// A saga to be started.
#[derive(Debug, Clone)]
pub struct NewSaga {
    /// Its id, which grows with time (UUID version 7).
    pub id: String,
    /// The definition's name.
    pub name: String,
    /// The caller's key: of two with one name and key only the first is started.
    pub key: String,
    /// A digest of what was asked for, by which a key that is used for something else is found out.
    pub fingerprint: String,
    /// The digest of its plan, which the store knows.
    pub plan: String,
    /// What it is started with.
    pub input: Value,
    /// When, in Unix milliseconds.
    pub at: u64,
    /// The trace that it belongs to (W3C `traceparent`).
    pub trace: Option<String>,
    /// The saga and step that start it.
    pub parent: Option<(String, String)>,
    /// The first records.
    pub journal: Vec<Record>,
}

/// What became of [`NewSaga`].
#[derive(Debug)]
pub enum Begun {
    /// It is there, under epoch 1, and ours.
    New,
    /// One of this name and key was there before.
    Known(Box<Stored>),
}

/// A saga as it is kept.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Its id.
    pub id: String,
    /// The definition's name.
    pub name: String,
    /// The caller's key.
    pub key: String,
    /// A digest of what was asked for.
    pub fingerprint: String,
    /// The digest of its plan.
    pub plan: String,
    /// What it was started with.
    pub input: Value,
    /// What happened to it.
    pub journal: Vec<Record>,
    /// Under which epoch it is kept.
    pub epoch: i64,
    /// Where it is.
    pub status: Status,
    /// Whether some call has not worked for long.
    pub alert: bool,
    /// When it was started, in Unix milliseconds.
    pub started_at: u64,
    /// When it ended.
    pub ended_at: Option<u64>,
    /// The trace that it belongs to.
    pub trace: Option<String>,
    /// The saga and step that started it.
    pub parent: Option<(String, String)>,
    /// Signals up to this number are in the journal.
    pub seen: i64,
}

/// A saga in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Its id.
    pub id: String,
    /// The definition's name.
    pub saga: String,
    /// The caller's key.
    pub key: String,
    /// Where it is.
    pub status: Status,
    /// Whether some call has not worked for long.
    pub alert: bool,
    /// When it was started, in Unix milliseconds.
    pub started_at: u64,
    /// When it ended.
    pub ended_at: Option<u64>,
}

/// Where a saga is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Going forward.
    Running,
    /// Going back.
    Undoing,
    /// Standing still until somebody does something.
    Stuck,
    /// Every step is done.
    Done,
    /// No step has an effect.
    Undone,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Running, Self::Undoing, Self::Stuck, Self::Done, Self::Undone];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Undoing => "undoing",
            Self::Stuck => "stuck",
            Self::Done => "done",
            Self::Undone => "undone",
        }
    }

    /// Whether it is over.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Undone)
    }

    pub(crate) fn parse(text: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|s| s.as_str() == text)
            .ok_or_else(|| StoreError::Unreadable(format!("the status {text:?}")))
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Something that happened, to be written before anything follows from it.
#[derive(Debug, Clone)]
pub struct Append {
    /// Whose.
    pub id: String,
    /// Under which epoch the engine has it.
    pub epoch: i64,
    /// Records, as lines.
    pub journal: Vec<u8>,
    /// Where the saga is now.
    pub status: Status,
    /// Whether some call has not worked for long.
    pub alert: bool,
    /// What becomes of the ownership.
    pub then: Then,
    /// Signals up to this number are in the journal.
    pub seen: i64,
    /// Whether there are new ones among them, which are not needed any more.
    pub forget: bool,
}

/// What becomes of the ownership.
#[derive(Debug, Clone)]
pub enum Then {
    /// The engine keeps it.
    Keep,
    /// The engine gives it up; from this time on anybody may claim it. If a signal is there that was not read, at once.
    Release(u64),
    /// It is over.
    End {
        /// When, in Unix milliseconds.
        at: u64,
        /// Who is told, and what: a saga and its step that started this one.
        tell: Option<(String, String, Outcome)>,
    },
}

/// Something from outside for a saga.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "s", rename_all = "snake_case")]
pub enum Signal {
    /// Go back.
    Undo,
    /// Try again now.
    Retry,
    /// An event.
    Event {
        /// Its name.
        name: String,
        /// What it says.
        body: Value,
    },
    /// The saga that a step started has ended.
    Child {
        /// The step.
        step: String,
        /// How.
        outcome: Outcome,
    },
}

/// What a list is to hold.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only of this definition.
    pub saga: Option<String>,
    /// Only with one of these; empty means all.
    pub status: Vec<Status>,
    /// Only older than this one, for the next page.
    pub before: Option<String>,
    /// At most this many.
    pub limit: usize,
}

/// A store. Every method returns when what it wrote is durable. Futures are to be run to their end: what was asked for may happen even if
/// nobody waits for it.
pub trait Store: Send + Sync + 'static {
    /// Starts a saga, owned by this engine, unless one of its name and key is there.
    fn begin(&self, new: NewSaga) -> BoxFuture<'_, Result<Begun>>;

    /// Writes down what happened. `false` if the saga is somebody else's by now: then nothing was written.
    fn append(&self, append: Append) -> BoxFuture<'_, Result<bool>>;

    /// Takes up to `limit` sagas that are due.
    fn claim(&self, now: u64, limit: usize) -> BoxFuture<'_, Result<Vec<Stored>>>;

    /// Leaves a signal for a saga that is not over, or, with `reopen`, that is done. `false` if there is no such saga.
    fn signal(&self, id: &str, signal: Signal, reopen: bool) -> BoxFuture<'_, Result<bool>>;

    /// The signals for a saga, each with its number.
    fn signals(&self, id: &str) -> BoxFuture<'_, Result<Vec<(i64, Signal)>>>;

    /// Which sagas of this engine have signals. One that only a single engine uses may answer nothing: the engine was told.
    fn signalled(&self) -> BoxFuture<'_, Result<Vec<String>>>;

    /// A saga.
    fn find(&self, id: &str) -> BoxFuture<'_, Result<Option<Stored>>>;

    /// Sagas, newest first.
    fn list(&self, filter: Filter) -> BoxFuture<'_, Result<Vec<Summary>>>;

    /// Keeps a plan under its digest.
    fn put_plan(&self, digest: &str, name: &str, json: String) -> BoxFuture<'_, Result<()>>;

    /// The plan of a digest, as JSON.
    fn plan(&self, digest: &str) -> BoxFuture<'_, Result<Option<String>>>;

    /// The digests and plans of the sagas that are not over, as JSON.
    fn plans_in_use(&self) -> BoxFuture<'_, Result<Vec<(String, String)>>>;

    /// Says that this engine lives. Gives until when that holds; after that others may have its sagas.
    fn renew(&self) -> BoxFuture<'_, Result<Option<Instant>>>;

    /// How often [`Store::renew`] has to be called; `None` if never.
    fn renew_every(&self) -> Option<Duration>;

    /// Removes up to `limit` sagas that ended before `before`, in Unix milliseconds. Gives how many.
    fn prune(&self, before: u64, limit: usize) -> BoxFuture<'_, Result<usize>>;

    /// Gives up everything that this engine owns and ends what the store has running.
    fn close(&self) -> BoxFuture<'_, Result<()>>;
}

/// The smallest id that a saga started at this time can have (RFC 9562, section 5.7).
pub(crate) fn first_id(at: u64) -> String {
    let millis = at & 0xffff_ffff_ffff;
    uuid::Uuid::from_u128(u128::from(millis) << 80).to_string()
}

pub(crate) fn millis(at: u64) -> i64 {
    i64::try_from(at).unwrap_or(i64::MAX)
}

/// What a parent is told when a saga that it started has ended.
pub(crate) fn tell(then: &Then) -> Option<(&str, Signal)> {
    let Then::End { tell: Some((id, step, outcome)), .. } = then else { return None };
    Some((id, Signal::Child { step: step.clone(), outcome: outcome.clone() }))
}

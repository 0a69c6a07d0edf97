//! Holds real requests and answers to the contract of their service: a few of each operation, looked at beside the path of
//! the request ([`checker`]), and every request of a route that asks for it ([`enforce`]).
//!
//! What is found is kept in sentences without values, and examples whose values are masked: nothing that a customer
//! said leaves this process by it.

mod book;
mod check;
mod checker;
mod copy;
pub(crate) mod enforce;
mod findings;
mod look;
mod mask;
pub(crate) mod probe;
mod text;
mod unknown;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use http::{Method, StatusCode};
use model::ServiceName;
use model::shapes::ShapesFile;
use serde::Serialize;

use crate::link::Drift;
use crate::operations::Operations;
use book::Book;
pub(crate) use checker::Checker;
pub(crate) use copy::Copy;
use findings::Findings;
use look::Look;
pub(crate) use look::Sampling;
use unknown::Unknown;

/// Milliseconds between two looks at one operation: all of what is rare, and no more of what is frequent.
const INTERVAL: u64 = 1_000;
/// The same of requests that the contract does not have, all together.
const UNKNOWN_INTERVAL: u64 = 50;

/// Something that is not as the contract says. Shows no value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Violation {
    /// Of what: `query parameter "limit"`, `request body`, `answer 200`.
    pub place: String,
    /// Where in it, as a JSON Pointer (RFC 6901); none for the whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// What.
    pub detail: String,
}

/// The contract of a service's release, and what was found of it.
#[derive(Debug)]
pub(crate) struct Contract {
    file: ShapesFile,
    operations: Arc<Operations>,
    /// Read when it is first needed: most services of an app are not called for a long time.
    book: OnceLock<Result<Book, String>>,
    /// When each operation is to be looked at again, in milliseconds on the process's clock.
    due: Box<[AtomicU64]>,
    looks: SyncSender<Look>,
    findings: Mutex<Findings>,
    /// Looks that were not taken, since too many waited.
    missed: AtomicU64,
    unknown: Mutex<Unknown>,
    /// When a request that is not in the contract is to be noted again.
    unknown_due: AtomicU64,
}

impl Contract {
    pub(crate) fn new(file: &ShapesFile, operations: &Arc<Operations>, checker: &Checker) -> Self {
        Self {
            file: file.clone(),
            operations: Arc::clone(operations),
            book: OnceLock::new(),
            due: operations.all().iter().map(|_| AtomicU64::new(0)).collect(),
            looks: checker.sender(),
            findings: Mutex::default(),
            missed: AtomicU64::new(0),
            unknown: Mutex::default(),
            unknown_due: AtomicU64::new(0),
        }
    }

    pub(crate) fn is_of(&self, file: &ShapesFile, operations: &Arc<Operations>) -> bool {
        self.file == *file && Arc::ptr_eq(&self.operations, operations)
    }

    /// Whether a request for this operation is to be looked at; says so once in an interval, to whoever asks first.
    fn is_due(&self, operation: usize, now: u64) -> bool {
        let Some(due) = self.due.get(operation) else { return false };
        is_time(due, now, INTERVAL)
    }

    /// A replica has answered a request that is none of the contract's; now and then it is noted. That a service has
    /// nothing there is what the contract says, too.
    pub(crate) fn unknown(
        &self,
        method: &Method,
        path: &str,
        caller: Option<&ServiceName>,
        status: StatusCode,
        now: u64,
    ) {
        let known = matches!(status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED);
        if !known && is_time(&self.unknown_due, now, UNKNOWN_INTERVAL) {
            lock(&self.unknown).note(method, path, caller, status);
        }
    }

    /// The contract itself.
    ///
    /// # Errors
    /// Its file cannot be read; in a sentence.
    fn book(&self) -> Result<&Book, &str> {
        let read = || Book::read(&self.file.path, self.operations.all());
        self.book.get_or_init(read).as_ref().map_err(String::as_str)
    }

    /// Reads it now, so that no request has to wait for it.
    pub(crate) fn prepare(&self) {
        match self.book() {
            Ok(book) => book.prepare(),
            Err(error) => tracing::error!(%error, "a contract cannot be enforced"),
        }
    }

    /// Hands a look over to the thread that checks it.
    fn send(&self, look: Look) {
        if self.looks.try_send(look).is_err() {
            self.missed.fetch_add(1, Relaxed);
        }
    }

    /// All that was found so far.
    pub(crate) fn drift(&self, service: &ServiceName) -> Drift {
        let book = self.book.get();
        let unreadable = book.and_then(|book| book.as_ref().err().cloned());
        let unchecked = book.and_then(|book| book.as_ref().ok()).map(Book::unchecked).unwrap_or_default();
        Drift {
            service: service.clone(),
            release: self.file.release.clone(),
            missed: self.missed.load(Relaxed),
            unreadable,
            unchecked,
            operations: lock(&self.findings).told(self.operations.all()),
            undocumented: lock(&self.unknown).told(),
        }
    }
}

/// Whether it is time, and the next time an interval later. Written once in that: threads that serve requests share it
/// only for reading otherwise.
fn is_time(due: &AtomicU64, now: u64, interval: u64) -> bool {
    let at = due.load(Relaxed);
    now >= at && due.compare_exchange(at, now + interval, Relaxed, Relaxed).is_ok()
}

/// Milliseconds since 1970.
fn unix_now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// What is behind it is whole after every step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

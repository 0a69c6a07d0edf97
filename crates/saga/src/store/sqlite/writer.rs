//! The thread that has the connection.

use std::sync::mpsc::Receiver;

use rusqlite::Connection;
use tokio::sync::oneshot::Sender;

use super::rows;
use crate::store::{Append, Begun, NewSaga, Result, StoreError};

/// As many jobs share a transaction at most.
const LARGEST_BATCH: usize = 1024;

type Answer<T> = Sender<Result<T>>;
type Work = Box<dyn FnOnce(Option<&Connection>) -> Box<dyn FnOnce(Option<StoreError>) + Send> + Send>;

/// Something to be done, and whom to answer.
pub enum Job {
    Begin(Box<NewSaga>, Answer<Begun>),
    Append(Append, Answer<bool>),
    Other(Work),
    Close(Answer<()>),
}

impl Job {
    /// Anything else that is done with a connection.
    pub fn other<T: Send + 'static>(
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
        reply: Answer<T>,
    ) -> Self {
        Self::Other(Box::new(move |connection| {
            let result = connection.map_or(Err(StoreError::Closed), work);
            Box::new(move |failure| drop(reply.send(failure.map_or(result, Err))))
        }))
    }
}

/// An answer that waits for the commit.
enum Pending {
    Begin(Answer<Begun>, Result<Begun>),
    Append(Answer<bool>, Result<bool>),
    Other(Box<dyn FnOnce(Option<StoreError>) + Send>),
}

impl Pending {
    /// Sends the answer, or the reason why the commit failed. Nobody may be waiting for it any more.
    fn send(self, failure: Option<StoreError>) {
        match self {
            Self::Begin(to, result) => drop(to.send(failure.map_or(result, Err))),
            Self::Append(to, result) => drop(to.send(failure.map_or(result, Err))),
            Self::Other(send) => send(failure),
        }
    }
}

/// Works until the store is closed or dropped.
pub fn run(connection: Connection, queue: &Receiver<Job>) {
    let mut pending = Vec::new();
    while let Ok(first) = queue.recv() {
        let mut close = None;
        let mut failure = connection.execute_batch("BEGIN").err().map(StoreError::from);
        let mut next = Some(first);
        while let Some(job) = next.take() {
            match job {
                Job::Close(reply) => {
                    close = Some(reply);
                    break;
                }
                job => pending.push(one(&connection, job, &mut failure)),
            }
            if pending.len() < LARGEST_BATCH {
                next = queue.try_recv().ok();
            }
        }
        if failure.is_none() {
            failure = connection.execute_batch("COMMIT").err().map(StoreError::from);
        }
        if failure.is_some()
            && !connection.is_autocommit()
            && let Err(error) = connection.execute_batch("ROLLBACK")
        {
            tracing::error!("the saga store could not roll back: {error}");
        }
        let failure = failure.map(|f| f.to_string());
        for answer in pending.drain(..) {
            answer.send(failure.clone().map(StoreError::Database));
        }
        if let Some(reply) = close {
            let closed = connection.close().map_err(|(_, error)| StoreError::from(error));
            drop(reply.send(closed));
            return;
        }
    }
}

/// Does one job; what fails fails the transaction, and with it everything in it.
fn one(connection: &Connection, job: Job, failure: &mut Option<StoreError>) -> Pending {
    let usable = failure.is_none();
    match job {
        Job::Begin(new, reply) => {
            let result = if usable { rows::begin(connection, &new) } else { Err(StoreError::Closed) };
            note(&result, failure);
            Pending::Begin(reply, result)
        }
        Job::Append(append, reply) => {
            let result = if usable { rows::append(connection, &append) } else { Err(StoreError::Closed) };
            note(&result, failure);
            Pending::Append(reply, result)
        }
        Job::Other(work) => Pending::Other(work(usable.then_some(connection))),
        // It is taken out before.
        Job::Close(_) => Pending::Other(Box::new(drop)),
    }
}

fn note<T>(result: &Result<T>, failure: &mut Option<StoreError>) {
    if let Err(error) = result
        && failure.is_none()
    {
        *failure = Some(StoreError::Database(error.to_string()));
    }
}

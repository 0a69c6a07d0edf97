//! The access log: a line of JSON for each request at the gateway, where the manifest wants it.
//!
//! A request collects what is to be said in a [`Note`] and writes it when its answer has been passed on, into a buffer
//! of its thread. Full buffers, and those that have waited a little, go to the thread that writes the file
//! ([`writer`]). Nobody waits for it: where it cannot keep up, lines are left out, and the log says how many.

mod line;
mod writer;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_local;

use crate::worker::Worker;

pub(crate) use line::Note;
pub(crate) use writer::Log;

/// How long a line waits for others, at most.
const WAIT: Duration = Duration::from_millis(200);
/// Bytes after which a buffer does not wait.
const FULL: usize = 32 * 1024;

/// What one thread has not yet handed over.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    pending: RefCell<Vec<(Arc<Log>, Vec<u8>)>>,
    /// The thread ends: nothing waits any more.
    ended: Cell<bool>,
}

impl Lines {
    /// Adds a line, which `write` makes without its end.
    fn add(worker: &Rc<Worker>, log: &Arc<Log>, write: impl FnOnce(&mut Vec<u8>)) {
        let lines = &worker.lines;
        let mut pending = lines.pending.borrow_mut();
        let first = pending.is_empty();
        let index = pending.iter().position(|(other, _)| Arc::ptr_eq(other, log)).unwrap_or_else(|| {
            pending.push((Arc::clone(log), Vec::with_capacity(FULL + 2048)));
            pending.len() - 1
        });
        let buffer = &mut pending[index].1;
        write(buffer);
        buffer.push(b'\n');
        let now = buffer.len() >= FULL || lines.ended.get();
        drop(pending);
        if now {
            lines.flush();
        } else if first {
            let worker = Rc::clone(worker);
            spawn_local(async move {
                tokio::time::sleep(WAIT).await;
                worker.lines.flush();
            });
        }
    }

    /// Hands over what there is.
    pub(crate) fn flush(&self) {
        for (log, buffer) in self.pending.take() {
            log.take(buffer);
        }
    }

    /// Hands over what there is, and from now on every line at once.
    pub(crate) fn end(&self) {
        self.ended.set(true);
        self.flush();
    }
}

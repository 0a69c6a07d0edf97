//! The two answers that do not end by themselves: one JSON value a line, several lines a chunk.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use serde::Serialize;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

use crate::api::{AppStatus, LogEntry, LogItem, LogQuery};

/// A chunk is sent once it is this large, or when there is nothing more to put into it.
const CHUNK: usize = 32 * 1024;

/// Lines of different replicas may arrive in another order than they were written in, by at most this much.
const DISORDER: u64 = 2_000;

type Chunk = io::Result<Bytes>;

/// The state now, and after each change until `shutdown`.
pub fn watch(
    receiver: watch::Receiver<Arc<AppStatus>>,
    shutdown: CancellationToken,
) -> impl Stream<Item = Chunk> {
    stream::unfold((receiver, shutdown, true), |(mut receiver, shutdown, first)| async move {
        if !first {
            tokio::select! {
                biased;
                changed = receiver.changed() => changed.ok()?,
                () = shutdown.cancelled() => return None,
            }
        }
        let status = receiver.borrow_and_update().clone();
        let mut chunk = Vec::new();
        push(&mut chunk, status.as_ref());
        Some((Ok(chunk.into()), (receiver, shutdown, false)))
    })
}

/// The past lines, then, where `live` is given, every new one once.
pub fn logs(
    recent: Vec<LogEntry>,
    live: Option<broadcast::Receiver<Arc<LogEntry>>>,
    query: LogQuery,
    shutdown: CancellationToken,
) -> impl Stream<Item = Chunk> {
    let sent = Sent::new(if live.is_some() { &recent } else { &[] });
    let state = Logs { recent: recent.into(), live, sent, query, shutdown };
    stream::unfold(state, |mut state| async move {
        let chunk = match state.past() {
            Some(chunk) => chunk,
            None => state.present().await?,
        };
        Some((Ok(chunk.into()), state))
    })
}

struct Logs {
    recent: VecDeque<LogEntry>,
    live: Option<broadcast::Receiver<Arc<LogEntry>>>,
    sent: Sent,
    query: LogQuery,
    shutdown: CancellationToken,
}

impl Logs {
    /// The next chunk of the past; `None` when that is all.
    fn past(&mut self) -> Option<Vec<u8>> {
        let mut chunk = Vec::new();
        while chunk.len() < CHUNK {
            let Some(entry) = self.recent.pop_front() else { break };
            push(&mut chunk, &entry);
        }
        (!chunk.is_empty()).then_some(chunk)
    }

    /// Waits for new lines; `None` when there will be none.
    async fn present(&mut self) -> Option<Vec<u8>> {
        let live = self.live.as_mut()?;
        let mut chunk = Vec::new();
        loop {
            let received = tokio::select! {
                biased;
                received = live.recv() => received,
                () = self.shutdown.cancelled() => return None,
            };
            let mut received = match received {
                Ok(entry) => Ok(entry),
                Err(RecvError::Lagged(n)) => Err(n),
                Err(RecvError::Closed) => return None,
            };
            loop {
                match received {
                    Ok(entry) if self.query.wants(&entry) && !self.sent.contains(&entry) => {
                        push(&mut chunk, entry.as_ref());
                    }
                    Ok(_) => {}
                    Err(dropped) => push(&mut chunk, &LogItem::Dropped { dropped }),
                }
                if chunk.len() >= CHUNK {
                    return Some(chunk);
                }
                received = match live.try_recv() {
                    Ok(entry) => Ok(entry),
                    Err(TryRecvError::Lagged(n)) => Err(n),
                    Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                };
            }
            if !chunk.is_empty() {
                return Some(chunk);
            }
        }
    }
}

/// The past lines that may still come again as live ones, and how often each was there.
///
/// Lines carry no number, so two that are equal in everything, millisecond included, cannot be told apart: when one of
/// them falls before the seam between past and present and the other after it, they are sent as one.
struct Sent {
    entries: HashMap<LogEntry, usize>,
    newest: u64,
}

impl Sent {
    fn new(recent: &[LogEntry]) -> Self {
        let newest = recent.iter().map(|e| e.at).max().unwrap_or(0);
        let mut entries = HashMap::new();
        for entry in recent {
            *entries.entry(entry.clone()).or_insert(0) += 1;
        }
        Self { entries, newest }
    }

    /// Whether `live` was among the past lines; each of them counts once.
    fn contains(&mut self, live: &LogEntry) -> bool {
        if live.at > self.newest.saturating_add(DISORDER) {
            self.entries = HashMap::new();
        }
        match self.entries.get_mut(live) {
            Some(0) | None => false,
            Some(left) => {
                *left -= 1;
                true
            }
        }
    }
}

fn push(chunk: &mut Vec<u8>, value: &impl Serialize) {
    // Writing plain structs with string keys into memory does not fail; if it did, the line is left out whole.
    if let Ok(line) = serde_json::to_vec(value) {
        chunk.extend_from_slice(&line);
        chunk.push(b'\n');
    }
}

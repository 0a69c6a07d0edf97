//! Spans: which of them are kept, those that wait to be written down, and all that are.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{KeptSpan, OwnSpan, Span, SpanId, TraceId};

use crate::StoreError;
use crate::search::{SpanQuery, SpanStore};

/// Spans that wait to be written down; what comes beyond is dropped, and counted.
const MOST_WAITING: usize = 20_000;
/// Traces that are known to be kept, so that what comes later of them is kept as well.
const MOST_TRACES: usize = 50_000;
/// Spans of one name of one service that begin a kept trace in one second, though nothing is special about them.
const FAIR: u32 = 10;
/// Names that are told apart for that.
const MOST_NAMES: usize = 10_000;

/// What the store may need.
#[derive(Debug, Clone, Copy)]
pub struct TraceLimits {
    /// Bytes on disk, about: the oldest spans go first.
    pub bytes: u64,
    /// Seconds that a span is kept.
    pub keep: u64,
}

impl Default for TraceLimits {
    fn default() -> Self {
        Self { bytes: 256 << 20, keep: 7 * 86_400 }
    }
}

/// What became of spans since the control plane began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lost, since too many came at once.
    pub dropped: u64,
    /// Left out of services' own: enough of their kind were kept.
    pub left_out: u64,
}

/// All spans that are kept.
#[derive(Debug)]
pub struct Traces {
    limits: TraceLimits,
    waiting: Mutex<Waiting>,
    writer: Mutex<SpanStore>,
    /// Nobody who looks for something waits for what is being written.
    reader: Mutex<SpanStore>,
}

#[derive(Debug, Default)]
struct Waiting {
    spans: Vec<Arc<KeptSpan>>,
    kept: Recent,
    /// The second, and how many traces the spans of a name began in it.
    fair: HashMap<(String, String), (u64, u32)>,
    counts: Counts,
}

/// Traces in the order in which they were first kept.
#[derive(Debug, Default)]
struct Recent {
    known: HashSet<TraceId>,
    order: VecDeque<TraceId>,
}

impl Recent {
    fn add(&mut self, trace: TraceId) {
        if self.known.insert(trace) {
            self.order.push_back(trace);
            if self.order.len() > MOST_TRACES
                && let Some(oldest) = self.order.pop_front()
            {
                self.known.remove(&oldest);
            }
        }
    }
}

impl Traces {
    /// Opens the store, and makes it when there is none.
    ///
    /// # Errors
    /// It cannot be opened, or is none.
    pub fn open(path: &Path, limits: TraceLimits) -> Result<Self, StoreError> {
        let writer = Mutex::new(SpanStore::open(path)?);
        let reader = Mutex::new(SpanStore::open(path)?);
        Ok(Self { limits, waiting: Mutex::default(), writer, reader })
    }

    /// Spans that the data plane kept, and how many it had to drop. Touches no disk.
    pub fn add_hops(&self, spans: Vec<Span>, dropped: u64) {
        let mut waiting = lock(&self.waiting);
        waiting.counts.dropped += dropped;
        for span in spans {
            waiting.push(KeptSpan::Hop(Box::new(span)));
        }
    }

    /// Spans of a service's own, at `second`. Of traces of which something is kept they all are, and all that failed; of the
    /// others so many of each name as are fair. Gives how many there was no room for. Touches no disk.
    pub fn add_own(&self, spans: Vec<OwnSpan>, second: u64) -> usize {
        let mut waiting = lock(&self.waiting);
        let mut dropped = 0;
        // A trace that is kept for one of its spans is kept for all that came with it.
        for span in &spans {
            if span.failed || waiting.is_fair(span, second) {
                waiting.kept.add(span.trace);
            }
        }
        for span in spans {
            if !waiting.kept.known.contains(&span.trace) {
                waiting.counts.left_out += 1;
            } else if !waiting.push(KeptSpan::Own(Box::new(span))) {
                dropped += 1;
            }
        }
        dropped
    }

    /// What became of spans.
    pub fn counts(&self) -> Counts {
        lock(&self.waiting).counts
    }

    /// Writes down what waits, and forgets what is too old or too much at `now` (Unix seconds). Blocks.
    ///
    /// # Errors
    /// The store cannot be written: then what waits goes on waiting.
    pub fn flush(&self, now: u64) -> Result<(), StoreError> {
        let mut writer = lock(&self.writer);
        let due = lock(&self.waiting).spans.clone();
        if !due.is_empty() {
            writer.write(&due)?;
            // Only now: whoever looks for a span meanwhile finds it here or there.
            lock(&self.waiting).spans.drain(..due.len());
        }
        writer.forget(now.saturating_sub(self.limits.keep).saturating_mul(1_000_000_000), self.limits.bytes)
    }

    /// The newest spans that are wanted, the newest first. Blocks.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn find(&self, query: &SpanQuery) -> Result<Vec<KeptSpan>, StoreError> {
        let waiting = lock(&self.waiting).spans.clone();
        let mut found: Vec<KeptSpan> =
            waiting.iter().filter(|span| query.wants(span)).map(|span| KeptSpan::clone(span)).collect();
        let seen: HashSet<(TraceId, SpanId)> = found.iter().map(|span| (span.trace(), span.id())).collect();
        let stored = lock(&self.reader).find(query)?;
        found.extend(stored.into_iter().filter(|span| !seen.contains(&(span.trace(), span.id()))));
        found.sort_by_key(|span| std::cmp::Reverse(span.start()));
        found.truncate(query.most);
        Ok(found)
    }

    /// The oldest written spans that were not sent on to another back end, at most so many, and a number for [`Traces::sent`]. The
    /// first call begins with what comes after it. Blocks.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn unsent(&self, most: usize) -> Result<(Vec<KeptSpan>, i64), StoreError> {
        lock(&self.writer).unsent(most)
    }

    /// Spans up to a number were sent on; that outlives the process. Blocks.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn sent(&self, number: i64) -> Result<(), StoreError> {
        lock(&self.writer).sent(number)
    }

    /// What the store takes, in bytes. Blocks.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn bytes(&self) -> Result<u64, StoreError> {
        lock(&self.reader).bytes()
    }
}

impl Waiting {
    fn push(&mut self, span: KeptSpan) -> bool {
        if self.spans.len() >= MOST_WAITING {
            self.counts.dropped += 1;
            return false;
        }
        self.kept.add(span.trace());
        self.spans.push(Arc::new(span));
        true
    }

    fn is_fair(&mut self, span: &OwnSpan, second: u64) -> bool {
        if self.kept.known.contains(&span.trace) {
            return false;
        }
        if self.fair.len() >= MOST_NAMES {
            self.fair.retain(|_, (then, _)| *then == second);
        }
        let room = self.fair.len() < MOST_NAMES;
        let name = (span.service.to_string(), span.name.clone());
        let known = if room { Some(self.fair.entry(name).or_default()) } else { self.fair.get_mut(&name) };
        let Some((then, count)) = known else { return false };
        if *then != second {
            (*then, *count) = (second, 0);
        }
        *count += 1;
        *count <= FAIR
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every step leaves what it holds whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

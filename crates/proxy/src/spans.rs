//! Spans that wait to be fetched: a bounded ring for each worker.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use model::Span;

/// Spans that one worker keeps; older ones give way.
const KEPT: usize = 2048;
/// Spans that are handed out at a time: some megabytes.
const PORTION: usize = 4096;

/// The spans of all workers. A worker's lock is its own but for the moment in which spans are fetched, and is taken only
/// for spans that are kept.
#[derive(Debug)]
pub(crate) struct Spans(Box<[Mutex<Ring>]>);

#[derive(Debug, Default)]
struct Ring {
    spans: VecDeque<Span>,
    dropped: u64,
}

impl Spans {
    pub(crate) fn new(workers: usize) -> Self {
        Self((0..workers.max(1)).map(|_| Mutex::default()).collect())
    }

    pub(crate) fn keep(&self, worker: usize, span: Span) {
        let mut ring = self.0[worker % self.0.len()].lock().unwrap_or_else(PoisonError::into_inner);
        if ring.spans.len() >= KEPT {
            ring.spans.pop_front();
            ring.dropped += 1;
        }
        ring.spans.push_back(span);
    }

    /// Takes out a portion of what is there, and says how many were dropped since the last time.
    pub(crate) fn take(&self) -> (Vec<Span>, u64) {
        let (mut taken, mut dropped) = (Vec::new(), 0);
        for ring in &self.0 {
            let mut ring = ring.lock().unwrap_or_else(PoisonError::into_inner);
            let count = ring.spans.len().min(PORTION - taken.len());
            taken.extend(ring.spans.drain(..count));
            dropped += std::mem::take(&mut ring.dropped);
        }
        (taken, dropped)
    }
}

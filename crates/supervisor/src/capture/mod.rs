//! The one thread that owns every log file.
//!
//! A thread and not tasks: all it does is blocking file work, and one owner needs no locks. It wakes when a spool was written
//! to (`notify`), when it is told something, when an unfinished line has been quiet, and now and then as a safety net.

mod journal;
mod rotated;
mod spool;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use model::ReplicaId;
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::{broadcast, oneshot};

use self::journal::{Journal, private_folder};
use crate::log::LogLine;
use crate::spec::Options;

/// How often every spool is looked at: the net below `notify`, and what is left where that does not work.
const POLL: Duration = Duration::from_secs(1);
const POLL_ALONE: Duration = Duration::from_millis(100);
/// Lines that services sent and that are not written yet; what comes beyond is not taken.
const MOST_QUEUED: usize = 20_000;
/// Lines that a slow receiver may be behind.
const LIVE_LINES: usize = 4096;

enum Message {
    /// Empties the spools for a new process and hands out their writing ends.
    Renew(ReplicaId, oneshot::Sender<io::Result<[File; 2]>>),
    /// Takes lines from the spools from now on.
    Tail(ReplicaId, String),
    Note(ReplicaId, String),
    /// Lines that a service sent, each with its time.
    Logged(ReplicaId, Vec<(u64, String)>),
    /// Takes what is left, stops tailing, and tells the last lines.
    Finish(ReplicaId, oneshot::Sender<Vec<String>>),
    /// The slot is gone.
    Close(ReplicaId),
    /// Some spool was written to.
    Wake,
    ShutDown,
}

/// The way to the capture thread.
#[derive(Clone)]
pub(crate) struct Capture {
    messages: Sender<Message>,
    lines: broadcast::Sender<Arc<LogLine>>,
    /// Lines in messages that the thread has not handled yet.
    queued: Arc<AtomicUsize>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Capture {
    /// Makes the folder for logs and starts the thread.
    pub fn start(options: Options) -> io::Result<Self> {
        private_folder(&options.logs)?;
        let (messages, inbox) = channel();
        let (lines, _) = broadcast::channel(LIVE_LINES);
        let dirty = Arc::new(Dirty::default());
        let watcher = watcher(dirty.clone(), messages.clone());
        let poll = if watcher.is_some() { POLL } else { POLL_ALONE };
        let queued = Arc::new(AtomicUsize::new(0));
        let (journals, to_write) = (HashMap::new(), queued.clone());
        let worker =
            Worker { options, inbox, lines: lines.clone(), journals, dirty, watcher, poll, queued: to_write };
        let thread = std::thread::Builder::new().name("capture".into()).spawn(move || worker.run())?;
        Ok(Self { messages, lines, queued, thread: Arc::new(Mutex::new(Some(thread))) })
    }

    pub fn lines(&self) -> broadcast::Receiver<Arc<LogLine>> {
        self.lines.subscribe()
    }

    /// Files for a new process' standard output and error.
    pub async fn renew(&self, replica: &ReplicaId) -> io::Result<[File; 2]> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Renew(replica.clone(), reply));
        answer.await.unwrap_or_else(|_| Err(io::Error::other("the capture thread has ended")))
    }

    /// Begins to take lines of a process that was just started or adopted.
    pub fn tail(&self, replica: &ReplicaId, note: &str) {
        self.send(Message::Tail(replica.clone(), note.to_owned()));
    }

    pub fn note(&self, replica: &ReplicaId, text: &str) {
        self.send(Message::Note(replica.clone(), text.to_owned()));
    }

    /// Writes lines that a service sent; false where too many wait already, and then none of them is written.
    pub fn logged(&self, replica: &ReplicaId, lines: Vec<(u64, String)>) -> bool {
        if self.queued.load(Relaxed) + lines.len() > MOST_QUEUED {
            return false;
        }
        self.queued.fetch_add(lines.len(), Relaxed);
        self.send(Message::Logged(replica.clone(), lines));
        true
    }

    /// Takes what an ended process left; returns its last lines.
    pub async fn finish(&self, replica: &ReplicaId) -> Vec<String> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Finish(replica.clone(), reply));
        answer.await.unwrap_or_default()
    }

    pub fn close(&self, replica: &ReplicaId) {
        self.send(Message::Close(replica.clone()));
    }

    /// Ends the thread and waits for it: at most for the one chunk that it is writing.
    pub fn shut_down(&self) {
        self.send(Message::ShutDown);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the capture thread panicked; output since then is still in the spools");
        }
    }

    fn send(&self, message: Message) {
        // An error means that the thread has ended, which is only so when the supervisor has.
        let _ = self.messages.send(message);
    }
}

/// Replicas whose spools were written to. Many events become one entry, and one message for the first of them.
#[derive(Default)]
struct Dirty(Mutex<HashSet<ReplicaId>>);

impl Dirty {
    /// True when the set was empty, so that somebody has to be woken.
    fn mark(&self, replica: ReplicaId) -> bool {
        let mut set = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = set.is_empty();
        set.insert(replica);
        first
    }

    fn take(&self) -> HashSet<ReplicaId> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn watcher(dirty: Arc<Dirty>, messages: Sender<Message>) -> Option<RecommendedWatcher> {
    let on_event = move |event: notify::Result<Event>| {
        let Ok(event) = event else { return };
        for replica in event.paths.iter().filter_map(|path| replica_of(path)) {
            if event.kind.is_modify() && dirty.mark(replica) {
                // An error means that the thread has ended.
                let _ = messages.send(Message::Wake);
            }
        }
    };
    notify::recommended_watcher(on_event)
        .inspect_err(|error| tracing::warn!(%error, "files cannot be watched; logs are polled instead"))
        .ok()
}

fn replica_of(spool: &Path) -> Option<ReplicaId> {
    spool.file_name()?.to_str()?.split_once('.')?.0.parse().ok()
}

struct Worker {
    options: Options,
    inbox: Receiver<Message>,
    lines: broadcast::Sender<Arc<LogLine>>,
    journals: HashMap<ReplicaId, Journal>,
    dirty: Arc<Dirty>,
    watcher: Option<RecommendedWatcher>,
    poll: Duration,
    queued: Arc<AtomicUsize>,
}

impl Worker {
    fn run(mut self) {
        let mut next_poll = Instant::now() + self.poll;
        loop {
            let due = self.journals.values().filter_map(|journal| journal.due).min();
            let until = due.map_or(next_poll, |due| due.min(next_poll));
            match self.inbox.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Message::ShutDown) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(message) => self.handle(message),
                Err(RecvTimeoutError::Timeout) => {}
            }
            let now = Instant::now();
            let polled = now >= next_poll;
            if polled {
                next_poll = now + self.poll;
            }
            let dirty = self.dirty.take();
            for (replica, journal) in &mut self.journals {
                let called = polled || dirty.contains(replica) || journal.due.is_some_and(|due| due <= now);
                if called && journal.tailing {
                    pump(journal, replica, now);
                }
            }
        }
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::Renew(replica, reply) => {
                let files = self.journal(&replica).and_then(Journal::renew);
                // An error means that the replica's task is gone, and nothing was started.
                let _ = reply.send(files);
            }
            Message::Tail(replica, note) => self.tail(&replica, &note),
            Message::Note(replica, text) => self.note(&replica, &text),
            Message::Logged(replica, lines) => {
                self.queued.fetch_sub(lines.len(), Relaxed);
                if let Err(error) = self.journal(&replica).and_then(|journal| journal.logged(lines)) {
                    tracing::warn!(%replica, %error, "lines could not be written to the log");
                }
            }
            Message::Finish(replica, reply) => {
                let _ = reply.send(self.finish(&replica));
            }
            Message::Close(replica) => {
                self.unwatch(&replica);
                self.journals.remove(&replica);
            }
            Message::Wake | Message::ShutDown => {}
        }
    }

    fn journal(&mut self, replica: &ReplicaId) -> io::Result<&mut Journal> {
        if !self.journals.contains_key(replica) {
            let journal = Journal::open(&self.options, replica, self.lines.clone())?;
            self.journals.insert(replica.clone(), journal);
        }
        self.journals.get_mut(replica).ok_or_else(|| io::Error::other("the log was just opened"))
    }

    fn note(&mut self, replica: &ReplicaId, text: &str) {
        if let Err(error) = self.journal(replica).and_then(|journal| journal.note(text)) {
            tracing::warn!(%replica, %error, text, "a line could not be written to the log");
        }
    }

    fn tail(&mut self, replica: &ReplicaId, note: &str) {
        self.note(replica, note);
        let Some(journal) = self.journals.get_mut(replica) else { return };
        journal.tailing = true;
        journal.due = Some(Instant::now());
        for path in journal.paths() {
            if let Some(watcher) = &mut self.watcher
                && let Err(error) = watcher.watch(path, RecursiveMode::NonRecursive)
            {
                tracing::warn!(%replica, %error, "a spool cannot be watched; it is polled instead");
                self.poll = POLL_ALONE;
            }
        }
    }

    fn finish(&mut self, replica: &ReplicaId) -> Vec<String> {
        self.unwatch(replica);
        let Ok(journal) = self.journal(replica) else { return Vec::new() };
        journal.tailing = false;
        journal.due = None;
        journal.finish().unwrap_or_else(|error| {
            tracing::warn!(%replica, %error, "the last output could not be written to the log");
            journal.recent()
        })
    }

    fn unwatch(&mut self, replica: &ReplicaId) {
        if let (Some(watcher), Some(journal)) = (&mut self.watcher, self.journals.get(replica)) {
            for path in journal.paths() {
                // It may never have been watched.
                let _ = watcher.unwatch(path);
            }
        }
    }
}

fn pump(journal: &mut Journal, replica: &ReplicaId, now: Instant) {
    match journal.pump(false) {
        Ok(more) => {
            journal.failing = false;
            if more {
                journal.due = Some(now);
            }
        }
        Err(error) => {
            // Nothing is lost: it stays in the spool until a later attempt succeeds.
            if !std::mem::replace(&mut journal.failing, true) {
                tracing::warn!(%replica, %error, "output cannot be written to the log; trying again");
            }
            journal.due = Some(now + POLL);
        }
    }
}

//! The handle: finds a replica's task and passes the word on.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use model::{ObservedState, ProcessId, ReplicaId, ReplicaState};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::capture::Capture;
use crate::limits::Keeper;
use crate::log::LogLine;
use crate::replica::{self, Command, Published};
use crate::spec::{Options, ReplicaSpec, StartError};

/// Runs replicas. A cheap handle: clones are the same supervisor. When the last one is dropped, its tasks end and the
/// processes run on, to be adopted later.
#[derive(Clone)]
pub struct Supervisor {
    shared: Arc<Shared>,
}

/// What all handles have in common. Replica tasks hold it weakly, so that it ends with the last handle.
pub(crate) struct Shared {
    slots: Mutex<HashMap<ReplicaId, mpsc::UnboundedSender<Command>>>,
    published: Published,
    capture: Capture,
    limits: Keeper,
}

impl Drop for Shared {
    fn drop(&mut self) {
        // So that a successor in this very process never reads a spool at the same time.
        self.capture.shut_down();
    }
}

impl Shared {
    /// Takes a slot's task out of the map, unless a command is waiting for it, which is then returned.
    ///
    /// Commands are only sent while the map is locked, so none can get lost between the look and the removal.
    pub(crate) fn retire(
        &self,
        id: &ReplicaId,
        commands: &mut mpsc::UnboundedReceiver<Command>,
    ) -> Option<Command> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = commands.try_recv().ok();
        if waiting.is_none() {
            slots.remove(id);
        }
        waiting
    }
}

impl Supervisor {
    /// Starts a supervisor without any replica. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When the folder for logs cannot be made, or the capture thread cannot be started.
    pub fn new(options: Options) -> io::Result<Self> {
        let limits = Keeper::new(&options.logs);
        let capture = Capture::start(options)?;
        let published = Published::new();
        Ok(Self { shared: Arc::new(Shared { slots: Mutex::default(), published, capture, limits }) })
    }

    /// The state of every replica, always the latest.
    pub fn observed(&self) -> watch::Receiver<Arc<ObservedState>> {
        self.shared.published.subscribe()
    }

    /// Starts a process in a slot that has none. Returns as soon as the process exists; readiness shows in
    /// [`Self::observed`]. A slot that is `Exited` keeps its counts and its last exit.
    ///
    /// # Errors
    /// [`StartError::Running`] when the slot has a living process; [`StartError::Spawn`] when the program cannot be run,
    /// which also shows as `Exited`, with the message in `last_exit` and one more failure.
    pub async fn start(&self, spec: ReplicaSpec) -> Result<ProcessId, StartError> {
        let id = spec.id.clone();
        let (reply, answer) = oneshot::channel();
        self.send_or_create(&id, Command::Start(Box::new(spec), reply));
        answer.await.unwrap_or(Err(StartError::Closed { replica: id }))
    }

    /// Watches a process that an earlier supervisor started. True when that very process (pid and start time) lives; else
    /// the slot is recorded as `Exited`, with what the process still wrote.
    pub async fn adopt(&self, spec: ReplicaSpec, state: ReplicaState) -> bool {
        let id = spec.id.clone();
        let (reply, answer) = oneshot::channel();
        self.send_or_create(&id, Command::Adopt(Box::new((spec, state)), reply));
        answer.await.unwrap_or(false)
    }

    /// Marks a replica as draining: it never becomes ready again. The process is not touched.
    pub fn drain(&self, id: &ReplicaId) {
        self.send(id, Command::Drain);
    }

    /// Ends a replica by its stop policy, the whole process group, and returns when the leader and every member are gone and
    /// the slot has been removed. Returns at once when there is no such slot.
    pub async fn stop(&self, id: &ReplicaId) {
        let (reply, answer) = oneshot::channel();
        if self.send(id, Command::Stop(reply)) {
            // An error means that the task is gone, and with it the slot.
            let _ = answer.await;
        }
    }

    /// Drops a slot that is `Exited`; any other is left alone.
    pub fn forget(&self, id: &ReplicaId) {
        self.send(id, Command::Forget);
    }

    /// Log lines as they are captured. A slow receiver misses lines (`Lagged`); the files have them all.
    pub fn logs(&self) -> broadcast::Receiver<Arc<LogLine>> {
        self.shared.capture.lines()
    }

    /// Writes a line of the stream `isles` into a replica's log.
    pub fn note(&self, id: &ReplicaId, text: &str) {
        self.shared.capture.note(id, text);
    }

    /// Writes lines that a service sent by OTLP, each with its time (Unix milliseconds), into a replica's log. False where too many
    /// wait already; then none of them is written.
    pub fn logged(&self, id: &ReplicaId, lines: Vec<(u64, String)>) -> bool {
        self.shared.capture.logged(id, lines)
    }

    /// False when there is no such slot.
    fn send(&self, id: &ReplicaId, command: Command) -> bool {
        let slots = self.shared.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.get(id).is_some_and(|slot| slot.send(command).is_ok())
    }

    fn send_or_create(&self, id: &ReplicaId, command: Command) {
        let mut slots = self.shared.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = slots.entry(id.clone()).or_insert_with(|| {
            let (sender, receiver) = mpsc::unbounded_channel();
            let shared = &self.shared;
            let with = replica::Means {
                published: shared.published.clone(),
                capture: shared.capture.clone(),
                limits: shared.limits.clone(),
            };
            tokio::spawn(replica::run(id.clone(), receiver, Arc::downgrade(shared), with));
            sender
        });
        // A closed channel drops the command and with it the reply, which its waiter sees.
        let _ = slot.send(command);
    }
}

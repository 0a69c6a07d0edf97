//! Is the process at the other end of a connection a replica of the service that the edge belongs to?
//!
//! Asked once for each connection, while its first bytes come, and answered by a thread of its own: no worker reads
//! `/proc`. Connections that come at the same time are looked up together.
//!
//! It tells mistakes and other users of the machine apart from the caller. It does not defend against a process of the
//! same user that sets out to deceive: such a process can also read the caller's memory.

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "other.rs")]
mod os;
#[cfg(target_os = "linux")]
mod process;
#[cfg(target_os = "linux")]
mod socket;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use model::{ProcessId, ServiceName};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::warn;

use crate::table::{Kind, Table};
use crate::worker::Worker;

/// How long an answer is waited for. It takes a fraction of a millisecond; a machine that takes longer has other
/// troubles, and no caller should be refused for them.
const PATIENCE: Duration = Duration::from_secs(5);
/// The least time between two lines in the log about one edge, in milliseconds.
const LOG_PAUSE: u64 = 10_000;

/// The processes of the app's services, as the control plane knows them.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Processes {
    /// The app that they belong to.
    pub app: String,
    /// Every process that leads a replica, whatever it is doing.
    pub by_service: BTreeMap<ServiceName, Vec<ProcessId>>,
}

/// Whose connection it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The caller's, or nothing speaks against it.
    Accepted,
    /// Whoever opened it has closed it altogether and reads no answer.
    Abandoned,
    /// Somebody else's; what is known of them.
    Refused(String),
}

/// A connection to be looked at.
#[derive(Debug)]
pub(crate) struct Question {
    /// Its addresses as its client has them: its own, and the edge's.
    pub client: SocketAddr,
    pub edge: SocketAddr,
    pub caller: ServiceName,
    pub processes: Arc<Processes>,
    pub answer: oneshot::Sender<Verdict>,
}

/// Whoever answers questions.
#[derive(Debug, Clone)]
pub(crate) struct Verifier(mpsc::Sender<Question>);

impl Verifier {
    /// Starts the thread that answers; it ends with the last verifier.
    pub(crate) fn start() -> std::io::Result<Self> {
        let (ask, asked) = mpsc::channel::<Question>();
        std::thread::Builder::new().name("callers".to_owned()).spawn(move || {
            let mut system = os::System::default();
            while let Ok(first) = asked.recv() {
                let mut questions = vec![first];
                questions.extend(asked.try_iter());
                system.answer(questions);
            }
        })?;
        Ok(Self(ask))
    }

    /// Asks. The receiver fails where nobody can answer.
    pub(crate) fn ask(
        &self,
        client: SocketAddr,
        edge: SocketAddr,
        caller: &ServiceName,
        processes: &Arc<Processes>,
    ) -> oneshot::Receiver<Verdict> {
        let (answer, answered) = oneshot::channel();
        let question =
            Question { client, edge, caller: caller.clone(), processes: Arc::clone(processes), answer };
        // Without the thread the answer is dropped, which the one who waits for it sees.
        let _ = self.0.send(question);
        answered
    }
}

/// Whether this system tells whose a connection is, tried on a connection of our own.
///
/// # Errors
/// Why it does not; nobody is refused then.
pub fn can_verify() -> std::io::Result<()> {
    let listener = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
    let edge = listener.local_addr()?;
    let client = std::net::TcpStream::connect(edge)?;
    os::try_out(client.local_addr()?, edge)
}

/// A verdict that is under way; none where nothing is verified.
#[derive(Debug)]
pub(crate) struct Pending(Option<oneshot::Receiver<Verdict>>);

/// Begins to find out whose a connection is that came through `listener` from `client`.
pub(crate) fn begin(worker: &Worker, table: &Table, listener: SocketAddr, client: SocketAddr) -> Pending {
    let asked = || {
        let processes = table.processes.as_ref()?;
        let Kind::Edge { caller, .. } = &table.entries.get(&listener)?.kind else { return None };
        Some(worker.verifier()?.ask(client, listener, caller, processes))
    };
    Pending(asked())
}

impl Pending {
    pub(crate) async fn verdict(self) -> Verdict {
        let Some(answer) = self.0 else { return Verdict::Accepted };
        match timeout(PATIENCE, answer).await {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(_)) | Err(_) => {
                warn!("a caller could not be verified in time, and is let through");
                Verdict::Accepted
            }
        }
    }
}

/// Counts a connection that is refused, and says so, but not too often.
pub(crate) fn note_refusal(worker: &Worker, table: &Table, listener: SocketAddr, why: &str) {
    let Some(entry) = table.entries.get(&listener) else { return };
    for lane in &entry.lanes {
        let lane = &table.lanes[*lane];
        if let Some(refused) = lane.edge.refusals.count(worker.now(), LOG_PAUSE) {
            warn!(edge = %listener, callee = %lane.service, refused, "a connection is refused: {why}");
        }
    }
}

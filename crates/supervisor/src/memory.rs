//! Notices a replica whose processes use more memory than it may have.
//!
//! For where the kernel does not keep the limit by a control group, which needs rights that a developer mostly has not.
//! What grows faster than it is looked at may have more for a moment.

use std::time::Duration;

use model::ProcessId;
use tokio::sync::oneshot;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use crate::process::group_memory;

/// How often it is looked at. Each look reads a line for every process of the machine.
const LOOK: Duration = Duration::from_secs(1);

/// Watches one process group until this is dropped.
pub(crate) struct Overuse {
    found: Option<oneshot::Receiver<String>>,
    _task: Option<AbortOnDropHandle<()>>,
}

impl Overuse {
    /// Never finds anything.
    pub fn none() -> Self {
        Self { found: None, _task: None }
    }

    /// `limit` in bytes.
    pub fn watch(leader: ProcessId, limit: Option<u64>) -> Self {
        let Some(limit) = limit else { return Self::none() };
        let (sender, found) = oneshot::channel();
        let task = tokio::spawn(async move {
            let used = exceeded(leader, limit).await;
            // Nobody waits for it any more where the replica has just ended.
            let _ = sender.send(said(used, limit));
        });
        Self { found: Some(found), _task: Some(AbortOnDropHandle::new(task)) }
    }

    /// What is to be said of it once it was found to use too many; once. Cancel-safe.
    pub async fn found(&mut self) -> String {
        let Some(receiver) = &mut self.found else { return std::future::pending().await };
        let found = receiver.await;
        self.found = None;
        match found {
            Ok(said) => said,
            Err(_) => std::future::pending().await,
        }
    }
}

async fn exceeded(leader: ProcessId, limit: u64) -> u64 {
    loop {
        sleep(LOOK).await;
        // Reading how much a large process shares takes a while.
        let look = tokio::task::spawn_blocking(move || group_memory(leader, limit));
        match look.await {
            Ok(used) if used > limit => return used,
            _ => {}
        }
    }
}

fn said(used: u64, limit: u64) -> String {
    format!("it used {} of memory, and may use {}", megabytes(used), megabytes(limit))
}

/// The same of what the kernel ended.
pub(crate) fn ran_out(limit: u64) -> String {
    format!("it ran out of memory, and may use {}", megabytes(limit))
}

fn megabytes(bytes: u64) -> String {
    format!("{:.0} MB", bytes as f64 / 1e6)
}

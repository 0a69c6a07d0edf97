//! The thread that checks what was put aside: never one that serves requests.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::lock;
use super::look::Look;

/// Looks that may wait; more are counted as missed.
const WAITING: usize = 256;

/// Hands looks to its thread, which ends with the last contract that was made with it.
#[derive(Debug)]
pub(crate) struct Checker(SyncSender<Look>);

impl Checker {
    pub(crate) fn start() -> Self {
        let (sender, receiver) = sync_channel(WAITING);
        let started = std::thread::Builder::new().name("contracts".to_owned()).spawn(move || run(&receiver));
        if let Err(error) = started {
            // Every look is missed, then, and counted.
            tracing::error!(%error, "the thread that checks contracts cannot be started");
        }
        Self(sender)
    }

    pub(super) fn sender(&self) -> SyncSender<Look> {
        self.0.clone()
    }
}

fn run(looks: &Receiver<Look>) {
    while let Ok(look) = looks.recv() {
        let found = look.check();
        lock(&look.contract.findings).note(look.operation, look.caller.as_ref(), found);
    }
}

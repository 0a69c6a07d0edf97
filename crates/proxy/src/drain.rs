//! Telling many connections of one thread that it is time to end, and knowing when they have.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// A group of connections that will be asked to end together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gate(Rc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    retiring: Cell<bool>,
    closing: Cell<bool>,
    next: Cell<u64>,
    members: RefCell<HashMap<u64, Option<Waker>>>,
    waiting: RefCell<Option<Waker>>,
}

/// A connection's place in the group, until dropped.
#[derive(Debug)]
pub(crate) struct Pass {
    gate: Gate,
    id: u64,
    registered: bool,
}

impl Gate {
    pub(crate) fn enter(&self) -> Pass {
        let id = self.0.next.get();
        self.0.next.set(id.wrapping_add(1));
        self.0.members.borrow_mut().insert(id, None);
        Pass { gate: self.clone(), id, registered: false }
    }

    /// Asks everybody to end as soon as the other side knows that it will: a client that is just about to send a
    /// request must not lose it.
    pub(crate) fn retire(&self) {
        self.0.retiring.set(true);
        self.wake();
    }

    /// Asks everybody to end, also those who enter later.
    pub(crate) fn close(&self) {
        self.0.retiring.set(true);
        self.0.closing.set(true);
        self.wake();
    }

    fn wake(&self) {
        let wakers: Vec<Waker> = self.0.members.borrow().values().flatten().cloned().collect();
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn is_retiring(&self) -> bool {
        self.0.retiring.get()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.closing.get()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.members.borrow().is_empty()
    }

    /// Waits until nobody is left.
    pub(crate) async fn empty(&self) {
        poll_fn(|cx| {
            if self.0.members.borrow().is_empty() {
                return Poll::Ready(());
            }
            *self.0.waiting.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Pass {
    /// Whether it is time to end. The first call arranges for the calling task, which must stay the same, to be
    /// woken when it is; all others cost one look at a flag.
    pub(crate) fn poll_closing(&mut self, cx: &Context<'_>) -> bool {
        self.register(cx);
        self.gate.0.closing.get()
    }

    /// As [`Self::poll_closing`], but true already when the group retires.
    pub(crate) fn poll_retiring(&mut self, cx: &Context<'_>) -> bool {
        self.register(cx);
        self.gate.0.retiring.get()
    }

    fn register(&mut self, cx: &Context<'_>) {
        if !self.registered {
            self.registered = true;
            self.gate.0.members.borrow_mut().insert(self.id, Some(cx.waker().clone()));
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut members = self.gate.0.members.borrow_mut();
        members.remove(&self.id);
        if members.is_empty()
            && let Some(waker) = self.gate.0.waiting.borrow_mut().take()
        {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn closing_wakes_members_and_empty_waits_for_them() {
        let gate = Gate::default();
        let mut pass = gate.enter();
        let member = async move {
            poll_fn(|cx| if pass.poll_closing(cx) { Poll::Ready(()) } else { Poll::Pending }).await;
        };
        let closer = async {
            tokio::task::yield_now().await;
            gate.close();
            gate.empty().await;
        };
        tokio::join!(member, closer);

        let retiring = Gate::default();
        let mut pass = retiring.enter();
        let (seen, mut told) = tokio::sync::mpsc::unbounded_channel();
        let member = async move {
            poll_fn(|cx| if pass.poll_retiring(cx) { Poll::Ready(()) } else { Poll::Pending }).await;
            seen.send("retiring").unwrap();
            poll_fn(|cx| if pass.poll_closing(cx) { Poll::Ready(()) } else { Poll::Pending }).await;
            seen.send("closing").unwrap();
        };
        let closer = async {
            tokio::task::yield_now().await;
            retiring.retire();
            assert_eq!(told.recv().await, Some("retiring"));
            assert!(!retiring.is_closed() && told.try_recv().is_err());
            retiring.close();
            assert_eq!(told.recv().await, Some("closing"));
        };
        tokio::join!(member, closer);
        let mut late = gate.enter();
        assert!(poll_fn(|cx| Poll::Ready(late.poll_closing(cx))).await);
    }
}

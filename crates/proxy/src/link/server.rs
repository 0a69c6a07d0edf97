//! The data plane's end of the link.

use std::io;
use std::rc::Rc;

use tokio::net::UnixStream;
use tokio::sync::watch;
use tracing::{info, warn};

use super::handover::{End, Role, Seat};
use super::{Hello, PROTOCOL, Reply, Request, build, frame};

/// Serves control planes, the newest one only, and other data planes, for ever.
///
/// Runs inside a `LocalSet`.
pub(crate) async fn serve(seat: Rc<Seat>) -> io::Result<()> {
    let newest = Rc::new(watch::Sender::new(0));
    let mut number = 0;
    loop {
        let link = seat.link()?;
        loop {
            let stream = tokio::select! {
                accepted = link.accept() => accepted?.0,
                () = seat.moved() => break,
            };
            number += 1;
            tokio::task::spawn_local(attend(
                Rc::clone(&seat),
                stream,
                Turn { newest: Rc::clone(&newest), number },
            ));
        }
    }
}

/// Which conversation it is whose turn it is.
struct Turn {
    newest: Rc<watch::Sender<u64>>,
    number: u64,
}

impl Turn {
    /// Takes the turn; false if a newer conversation has it.
    fn take(&self) -> bool {
        self.newest
            .send_if_modified(|newest| std::mem::replace(newest, self.number.max(*newest)) < self.number);
        *self.newest.borrow() == self.number
    }

    async fn over(&self) {
        // The sender is in `self`.
        let _ = self.newest.subscribe().wait_for(|newest| *newest > self.number).await;
    }
}

async fn attend(seat: Rc<Seat>, stream: UnixStream, turn: Turn) {
    let ended = converse(stream, &seat, &turn).await;
    let mine = *turn.newest.borrow() == turn.number;
    match ended {
        Ok(()) if mine => info!("the control plane left; the last route table stays in force"),
        Ok(()) => {}
        Err(error) => warn!(%error, "the link broke; the last route table stays in force"),
    }
    if mine && seat.role() == Role::Successor {
        warn!("the control plane left before this data plane led: it ends, its predecessor serves on");
        seat.withdraw().await;
    }
}

async fn converse(mut stream: UnixStream, seat: &Rc<Seat>, turn: &Turn) -> io::Result<()> {
    let hello = Hello {
        pid: std::process::id(),
        protocol: PROTOCOL,
        version: seat.plane.borrow().version(),
        build: build(),
        retired: seat.role() == Role::Retired,
    };
    frame::write(&mut stream, &Reply::Hello(hello)).await?;
    loop {
        let request = tokio::select! {
            biased;
            () = turn.over() => return Ok(()),
            request = frame::read(&mut stream) => request,
        };
        let request = match request {
            Ok(Some(Request::Take { listeners })) => return seat.take(stream, listeners).await,
            Ok(Some(request)) => request,
            Ok(None) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                // The length may be what is wrong, so nothing after it can be trusted.
                frame::write(&mut stream, &Reply::Refused { reason: error.to_string() }).await?;
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        if !turn.take() {
            return Ok(());
        }
        let reply = answer(seat, request).await;
        frame::write(&mut stream, &reply).await?;
        if matches!(reply, Reply::ShuttingDown) {
            // Full only if the end is under way already.
            let _ = seat.end.try_send(End::Drain);
        }
    }
}

async fn answer(seat: &Rc<Seat>, request: Request) -> Reply {
    match request {
        Request::Apply { .. } | Request::Stats | Request::Signals if seat.role() == Role::Retired => {
            Reply::Refused { reason: "a successor has taken its place".to_owned() }
        }
        Request::Apply { table } => {
            let (applied, closed) = seat.plane.borrow_mut().apply(&table);
            closed.await;
            Reply::Applied(applied)
        }
        Request::Stats => Reply::Stats(seat.plane.borrow_mut().stats()),
        Request::Signals => Reply::Signals(seat.plane.borrow_mut().signals()),
        Request::Spans => Reply::Spans(seat.plane.borrow().take_spans()),
        Request::Load => Reply::Load(seat.plane.borrow().load()),
        Request::Shutdown => Reply::ShuttingDown,
        Request::HandOver { to } => refusal(seat.hand_over(&to).await, Reply::HandedOver),
        Request::Lead => refusal(seat.lead().await, Reply::Leading),
        Request::Take { .. } => Reply::Refused { reason: "nothing to take here".to_owned() },
    }
}

fn refusal(done: Result<(), String>, reply: Reply) -> Reply {
    done.map_or_else(|reason| Reply::Refused { reason }, |()| reply)
}

//! How a data plane takes another one's place without losing a request.
//!
//! ```text
//! control plane            successor S (asked at <socket>.<pid>)      predecessor P (has <socket>)
//!   start S ──────────────> listens at a path of its own
//!   hand_over {to: S} ─────────────────────────────────────────────> connects to S
//!                           <── take {listeners} + their sockets, the link's socket and its lock ──
//!   apply {table} ────────> accepts at the same sockets as P, is in force
//!   lead ─────────────────> retire ────────────────────────────────> accepts nothing more, moves its own link away
//!                           is asked at <socket> from here on <───── retired
//!                                                                    ends what it has, then itself
//! ```
//!
//! A socket is shared by all who have it open, with the connections that wait in it: whoever closes it, none is reset. The lock
//! of the link's path goes with its file, see flock(2), so at no moment could a third process take the path.
//!
//! Until S says `retire`, P serves as if nothing were; if S or the control plane ends before that, nothing has
//! changed (S ends when its control plane leaves before `lead`). From `retire` on nobody else is needed. If P dies, S leads all the
//! same: it has everything.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use tokio::net::UnixStream;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::spawn_local;
use tracing::{info, warn};

use super::path::{self, Bound};
use super::stable::{Order, Say};
use super::{frame, pass};
use crate::plane::Plane;
use crate::worker::Waiting;

/// Which part a data plane has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Started to take a predecessor's place; not yet in it.
    Successor,
    /// The one that is asked at the link's path.
    Leading,
    /// Relieved by a successor, or one that came to nothing.
    Retired,
}

/// What the process is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Drain and end.
    Drain,
    /// Nothing is left to drain.
    Now,
}

/// A data plane's place: where it is asked, and how it hands over or takes over.
pub(crate) struct Seat {
    pub plane: RefCell<Plane>,
    /// Gets a message when the process is to end.
    pub end: mpsc::Sender<End>,
    /// The path at which whoever leads is asked.
    path: PathBuf,
    role: watch::Sender<Role>,
    bound: RefCell<Bound>,
    moved: Notify,
    /// A predecessor's connection, its link's socket and the lock, until this one leads.
    predecessor: RefCell<Option<Predecessor>>,
    /// Calls off the hand-over that is under way.
    handing: RefCell<Option<oneshot::Sender<()>>>,
}

struct Predecessor {
    stream: UnixStream,
    link: UnixListener,
    lock: File,
}

impl Seat {
    /// Opens the link: at `path`, or beside it for a successor.
    pub(crate) fn open(
        path: &Path,
        successor: bool,
        plane: impl FnOnce() -> io::Result<Plane>,
        end: mpsc::Sender<End>,
    ) -> io::Result<Self> {
        let (bound, role) = if successor {
            (path::bind_own(path)?, Role::Successor)
        } else {
            (path::bind(path)?, Role::Leading)
        };
        Ok(Self {
            plane: RefCell::new(plane()?),
            end,
            path: path.to_owned(),
            role: watch::Sender::new(role),
            bound: RefCell::new(bound),
            moved: Notify::new(),
            predecessor: RefCell::default(),
            handing: RefCell::default(),
        })
    }

    pub(crate) fn role(&self) -> Role {
        *self.role.borrow()
    }

    /// Waits until a successor has taken its place.
    pub(crate) async fn retired(&self) {
        // The sender is in `self`.
        let _ = self.role.subscribe().wait_for(|role| *role == Role::Retired).await;
    }

    /// The socket at which it is asked now.
    pub(crate) fn link(&self) -> io::Result<tokio::net::UnixListener> {
        tokio::net::UnixListener::from_std(self.bound.borrow().try_clone()?)
    }

    /// Waits until that is another one.
    pub(crate) async fn moved(&self) {
        self.moved.notified().await;
    }

    fn move_to(&self, bound: Bound, role: Role) -> Bound {
        self.role.send_replace(role);
        let before = self.bound.replace(bound);
        self.moved.notify_one();
        before
    }

    /// Gives up taking a predecessor's place, which serves on, and ends when its own connections have.
    pub(crate) async fn withdraw(&self) {
        // With this the predecessor knows.
        self.predecessor.take();
        let (_, empty) = self.plane.borrow_mut().retire(Waiting::Serve);
        self.role.send_replace(Role::Retired);
        empty.await;
        // Full only if the end is under way already.
        let _ = self.end.try_send(End::Now);
    }

    /// Passes all sockets to the successor at `to`, and waits in the background until that one leads.
    pub(crate) async fn hand_over(self: &Rc<Self>, to: &Path) -> Result<(), String> {
        if self.role() != Role::Leading {
            return Err("it does not lead itself".to_owned());
        }
        let stream = self.give(to).await.map_err(|e| format!("{}: {e}", to.display()))?;
        info!(to = %to.display(), "a successor has got the sockets");
        let (call_off, called_off) = oneshot::channel();
        // Dropped, the sender before it calls off an earlier hand-over.
        *self.handing.borrow_mut() = Some(call_off);
        let seat = Rc::clone(self);
        spawn_local(async move { seat.await_retirement(stream, called_off).await });
        Ok(())
    }

    async fn give(&self, to: &Path) -> io::Result<UnixStream> {
        let mut stream = path::connect(to).await?;
        let Some(Say::Hello(_)) = frame::read(&mut stream).await? else {
            return Err(unexpected("no greeting"));
        };
        // Copies, because much may happen while they are on their way.
        let (listeners, files) = self.files()?;
        frame::write(&mut stream, &Order::Take { listeners }).await?;
        pass::send(&stream, &files.iter().map(AsFd::as_fd).collect::<Vec<_>>()).await?;
        match frame::read(&mut stream).await? {
            Some(Say::Taken) => Ok(stream),
            Some(Say::Refused { reason }) => Err(unexpected(&reason)),
            _ => Err(unexpected("it did not take the sockets")),
        }
    }

    /// All that a successor needs, and the addresses of the listening sockets among it.
    fn files(&self) -> io::Result<(Vec<SocketAddr>, Vec<OwnedFd>)> {
        let bound = self.bound.borrow();
        let mut files = Vec::new();
        for file in bound.files().ok_or_else(|| unexpected("no lock to pass"))? {
            files.push(file.try_clone_to_owned()?);
        }
        let mut listeners = Vec::new();
        for (address, socket) in self.plane.borrow().sockets() {
            listeners.push(address);
            files.push(socket.as_fd().try_clone_to_owned()?);
        }
        Ok((listeners, files))
    }

    /// Retires when the successor says so; if it ends before that, nothing has happened.
    async fn await_retirement(&self, mut stream: UnixStream, called_off: oneshot::Receiver<()>) {
        let said = tokio::select! {
            biased;
            _ = called_off => {
                let reason = "another successor has been chosen".to_owned();
                // It is gone if this does not arrive.
                let _ = frame::write(&mut stream, &Say::Refused { reason }).await;
                return;
            }
            said = frame::read(&mut stream) => said,
        };
        match said {
            Ok(Some(Order::Retire)) => {}
            Ok(_) => return warn!("the successor ended before it led; this data plane serves on"),
            Err(error) => return warn!(%error, "the successor is gone; this data plane serves on"),
        }
        let own = match path::bind_own(&self.path) {
            Ok(own) => own,
            Err(error) => {
                let reason = format!("no path for its own link: {error}");
                // It is gone if this does not arrive.
                let _ = frame::write(&mut stream, &Say::Refused { reason }).await;
                return;
            }
        };
        let (stopped, empty) = self.plane.borrow_mut().retire(Waiting::Leave);
        stopped.await;
        self.move_to(own, Role::Retired).leave();
        info!("a successor leads: this data plane ends what it has");
        // A successor that died in this moment leaves no data plane: the control plane starts one.
        let _ = frame::write(&mut stream, &Say::Retired).await;
        empty.await;
        // Full only if the end is under way already.
        let _ = self.end.try_send(End::Now);
    }

    /// Takes the sockets that a predecessor passes on `stream`, of `listeners` at these addresses.
    pub(crate) async fn take(&self, mut stream: UnixStream, listeners: Vec<SocketAddr>) -> io::Result<()> {
        if self.role() != Role::Successor || self.plane.borrow().version().is_some() {
            let reason = "it is no successor, or serves already".to_owned();
            return frame::write(&mut stream, &Say::Refused { reason }).await;
        }
        let mut files = pass::receive(&stream, listeners.len() + 2).await?.into_iter();
        let (Some(link), Some(lock)) = (files.next(), files.next()) else {
            return Err(unexpected("files are missing"));
        };
        let sockets = listeners.into_iter().zip(files.map(TcpListener::from)).collect();
        self.plane.borrow_mut().inherit(sockets);
        frame::write(&mut stream, &Say::Taken).await?;
        *self.predecessor.borrow_mut() = Some(Predecessor { stream, link: link.into(), lock: lock.into() });
        Ok(())
    }

    /// Takes the predecessor's place: it stops accepting, and this data plane is asked at its path.
    pub(crate) async fn lead(&self) -> Result<(), String> {
        if self.plane.borrow().version().is_none() {
            return Err("it has no route table yet".to_owned());
        }
        let Some(Predecessor { mut stream, link, lock }) = self.predecessor.take() else {
            return Err("no predecessor passed its sockets".to_owned());
        };
        // Where this fails, there may still be a word to read.
        let _ = frame::write(&mut stream, &Order::Retire).await;
        match frame::read(&mut stream).await {
            Ok(Some(Say::Refused { reason })) => return Err(reason),
            Ok(Some(Say::Retired)) => {}
            // It never closes this connection without a word while it lives.
            Ok(_) | Err(_) => warn!("the predecessor is gone: this data plane leads all the same"),
        }
        // The file at its own path goes with the one before.
        drop(self.move_to(Bound::inherited(self.path.clone(), link, lock), Role::Leading));
        info!("this data plane leads");
        Ok(())
    }
}

fn unexpected(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

//! The data plane's end of the link.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::{Hello, PROTOCOL, Reply, Request, frame, path};
use crate::plane::Plane;

/// Serves control planes, the newest one only, for ever. `shutdown` gets a message when one asks for the end.
///
/// Runs inside a `LocalSet`.
pub(crate) async fn serve(
    bound: path::Bound,
    plane: Rc<RefCell<Plane>>,
    shutdown: mpsc::Sender<()>,
) -> io::Result<()> {
    let listener = UnixListener::from_std(bound.try_clone()?)?;
    let mut newest: Option<tokio::task::JoinHandle<()>> = None;
    loop {
        let (stream, _) = listener.accept().await?;
        if let Some(before) = newest.take() {
            before.abort();
        }
        let (plane, shutdown) = (Rc::clone(&plane), shutdown.clone());
        newest = Some(tokio::task::spawn_local(async move {
            match converse(stream, &plane, &shutdown).await {
                Ok(()) => info!("the control plane left; the last route table stays in force"),
                Err(error) => {
                    warn!(%error, "the link to the control plane broke; the last route table stays in force")
                }
            }
        }));
    }
}

async fn converse(
    mut stream: UnixStream,
    plane: &RefCell<Plane>,
    shutdown: &mpsc::Sender<()>,
) -> io::Result<()> {
    let hello = Hello {
        pid: std::process::id(),
        protocol: PROTOCOL,
        version: plane.borrow().version(),
        build: env!("CARGO_PKG_VERSION").to_owned(),
    };
    frame::write(&mut stream, &Reply::Hello(hello)).await?;
    loop {
        let request = match frame::read(&mut stream).await {
            Ok(Some(request)) => request,
            Ok(None) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                // The length may be what is wrong, so nothing after it can be trusted.
                frame::write(&mut stream, &Reply::Refused { reason: error.to_string() }).await?;
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        let reply = match request {
            Request::Apply { table } => {
                let (applied, closed) = plane.borrow_mut().apply(&table);
                closed.await;
                Reply::Applied(applied)
            }
            Request::Stats => Reply::Stats(plane.borrow_mut().stats()),
            Request::Signals => Reply::Signals(plane.borrow_mut().signals()),
            Request::Spans => Reply::Spans(plane.borrow().take_spans()),
            Request::Shutdown => Reply::ShuttingDown,
        };
        frame::write(&mut stream, &reply).await?;
        if matches!(reply, Reply::ShuttingDown) {
            // Full only if the end is under way already.
            let _ = shutdown.try_send(());
        }
    }
}

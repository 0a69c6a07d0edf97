//! Connections that stop being HTTP (WebSocket and others): bytes are passed on until both sides have ended.

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;
use tokio::task::spawn_local;
use tracing::debug;

use crate::drain::Gate;
use crate::flight::Flight;

/// Joins the two connections once both have switched. The tunnel counts as in flight, and a drain waits for it.
pub(crate) fn join(client: OnUpgrade, replica: OnUpgrade, flight: Flight, gate: &Gate) {
    let pass = gate.enter();
    spawn_local(async move {
        if let Err(error) = tunnel(client, replica).await {
            debug!(%error, "an upgraded connection broke");
        }
        drop((flight, pass));
    });
}

async fn tunnel(client: OnUpgrade, replica: OnUpgrade) -> std::io::Result<()> {
    let switched = async |side: OnUpgrade| -> std::io::Result<TokioIo<Upgraded>> {
        side.await.map(TokioIo::new).map_err(std::io::Error::other)
    };
    let (client, replica) = tokio::join!(switched(client), switched(replica));
    copy_bidirectional(&mut client?, &mut replica?).await?;
    Ok(())
}

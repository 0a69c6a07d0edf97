//! Connections that stop being HTTP (WebSocket and others): bytes are passed on until both sides have ended.

use std::rc::Rc;

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;
use tokio::task::spawn_local;
use tracing::debug;

use crate::connection::Client;
use crate::flight::Flight;

/// Joins the two connections once both have switched. The tunnel counts as in flight and as a connection, and a drain
/// waits for it.
pub(crate) fn join(ours: OnUpgrade, replica: OnUpgrade, flight: Flight, client: &Rc<Client>) {
    let pass = client.gate.enter();
    let client = Rc::clone(client);
    spawn_local(async move {
        if let Err(error) = tunnel(ours, replica).await {
            debug!(%error, "an upgraded connection broke");
        }
        drop((flight, pass, client));
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

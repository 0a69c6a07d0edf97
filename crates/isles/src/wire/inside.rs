//! What this process offers to services, each on a port of its own. Services never learn of these: what they are told is their
//! edge to it, which outlives this process.

use axum::Router;
use tokio::net::TcpListener;

use super::{StartError, other};

/// A free port on loopback for something.
pub async fn listen(what: &str) -> Result<TcpListener, StartError> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await;
    listener.map_err(|e| other(format!("there is no port for {what}: {e}")))
}

/// Serves it, over HTTP/1.1 and HTTP/2, for as long as this process lives.
pub fn serve(what: &'static str, listener: TcpListener, router: Router) {
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!("{what} has ended: {error}");
        }
    });
}

//! Where services send what they tell of themselves: behind an edge of each.

use control::Control;
use tokio::net::TcpListener;

use super::{StartError, other};

/// A port for it. Services never learn of it: what they are told is their edge, which outlives this process.
pub async fn listen() -> Result<TcpListener, StartError> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await;
    listener.map_err(|e| other(format!("there is no port for the telemetry of services: {e}")))
}

/// Takes what comes, over HTTP/1.1 and, for gRPC, HTTP/2.
pub fn serve(listener: TcpListener, control: &Control) {
    let router = control::otlp_router(control.intake());
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!("the intake of telemetry has ended: {error}");
        }
    });
}

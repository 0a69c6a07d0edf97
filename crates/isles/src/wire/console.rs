//! The dashboard's socket and token.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use console::Platform;
use console::web::guard::Guard;
use control::Paths;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Where the dashboard is, for the status.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// Its address, without the token.
    pub url: Option<String>,
    /// Why it is not where the manifest says.
    pub problem: Option<String>,
}

/// A socket that nobody is served on yet.
pub struct Opened {
    pub about: About,
    socket: Option<(TcpListener, Guard)>,
}

/// Opens the socket: where that address is taken, as by another app that has the same default, on a port that is free.
/// An app without its dashboard is worth more than none, so nothing here is an error.
pub async fn open(listen: SocketAddr, paths: &Paths) -> Opened {
    let (bound, taken) = match TcpListener::bind(listen).await {
        Ok(listener) => (Ok(listener), None),
        Err(error) => (TcpListener::bind((listen.ip(), 0)).await, Some(error)),
    };
    let opened = bound.and_then(|listener| {
        let address = listener.local_addr()?;
        let guard = Guard::of_file(&paths.console_token(), address.port())?;
        Ok((listener, guard, address))
    });
    let problem = match (&opened, taken) {
        (Err(error), _) => Some(format!("there is no dashboard: {error}")),
        (Ok((.., address)), Some(error)) => {
            Some(format!("the dashboard is at {address}, since {listen} cannot be had: {error}"))
        }
        (Ok(_), None) => None,
    };
    if let Some(problem) = &problem {
        tracing::warn!("{problem}");
    }
    let Ok((listener, guard, address)) = opened else {
        return Opened { about: About { url: None, problem }, socket: None };
    };
    let about = About { url: Some(format!("http://{address}")), problem };
    Opened { about, socket: Some((listener, guard)) }
}

impl Opened {
    /// Serves it until `closed`.
    pub fn serve(self, platform: Arc<dyn Platform>, more: Router, closed: CancellationToken) {
        let Some((listener, guard)) = self.socket else { return };
        tokio::spawn(async move {
            if let Err(error) = console::web::serve(listener, platform, more, guard, closed).await {
                tracing::error!("the dashboard has ended: {error}");
            }
        });
    }
}

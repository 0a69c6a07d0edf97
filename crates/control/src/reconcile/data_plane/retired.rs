//! Data planes that a newer one has replaced and that still have something in flight.

use std::io;
use std::path::Path;
use std::time::Duration;

use model::ProcessId;
use proxy::link::{Client, Hello, Load, path};
use supervisor::process;
use tokio::time::timeout;

/// One that does not answer within this time is passed over: what it has in flight will not end by being waited for.
const ANSWER: Duration = Duration::from_secs(1);

/// A data plane that only ends what it has.
pub struct Retired {
    /// Its process.
    pub process: ProcessId,
    /// What it has.
    pub load: Load,
    client: Client,
}

/// Every retired data plane of the app whose data plane is asked at `socket`. Each is found by its own socket, so those
/// are found too that an earlier control plane replaced.
pub async fn all(socket: &Path) -> Vec<Retired> {
    let mut found = Vec::new();
    for path in path::others(socket) {
        match timeout(ANSWER, ask(&path)).await {
            Ok(Ok(Some(retired))) => found.push(retired),
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                // Left by a process that was killed. Where it is gone by now, all is well.
                let _ = std::fs::remove_file(path);
            }
            Ok(Ok(None) | Err(_)) | Err(_) => {}
        }
    }
    found
}

async fn ask(path: &Path) -> io::Result<Option<Retired>> {
    let (mut client, Hello { pid, retired, .. }) = Client::connect(path).await?;
    let Some(process) = process::identify(pid).filter(|_| retired) else { return Ok(None) };
    let load = client.load().await.map_err(io::Error::other)?;
    Ok(Some(Retired { process, load, client }))
}

/// Asks all of them to end, and waits until they have.
pub async fn end_all(socket: &Path) {
    for mut retired in all(socket).await {
        if retired.client.shutdown().await.is_ok() {
            process::gone(&retired.process).await;
        }
    }
}

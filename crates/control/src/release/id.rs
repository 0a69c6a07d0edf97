//! The name of a release, which follows from its content.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use model::{DesiredState, ReleaseId, ServiceSpec};
use sha2::{Digest as _, Sha256};

use super::ReleaseError;
use super::content::{Content, Part};

/// A file as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Read {
    /// Absolute, in the source.
    pub path: PathBuf,
    /// The name of its content in the store: a digest, with an `x` after it where it can be executed.
    pub object: String,
    /// Its size.
    pub bytes: u64,
}

/// Reads every file, and names the release: the same content gives the same name, on every machine.
///
/// It covers the files and those settings that a process is started with. Replica counts, limits, health and rollout
/// settings make no new release.
pub(super) fn identify(
    service: &ServiceSpec,
    desired: &DesiredState,
    content: &Content,
) -> Result<(ReleaseId, Vec<Read>), ReleaseError> {
    let mut hash = Sha256::new();
    hash.update(settings(service, desired).to_string());
    let mut files = Vec::new();
    for (path, part) in &content.parts {
        // The layout counts, but not the place of the whole on this machine.
        let mut place = |kind: &str, what: &str| {
            let name = path.strip_prefix(&content.base).unwrap_or(path).as_os_str().as_encoded_bytes();
            for piece in [kind.as_bytes(), name, what.as_bytes()] {
                hash.update(piece.len().to_le_bytes());
                hash.update(piece);
            }
        };
        match part {
            Part::Link(target) => {
                let target = target.strip_prefix(&content.base).unwrap_or(target);
                place("link", &target.to_string_lossy());
            }
            Part::File { counts } => {
                let read = read(path);
                let read = read.map_err(|source| ReleaseError::Unreadable { path: path.clone(), source })?;
                if *counts {
                    place("file", &read.object);
                }
                files.push(read);
            }
        }
    }
    let id = hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    Ok((ReleaseId(id), files))
}

fn settings(service: &ServiceSpec, desired: &DesiredState) -> serde_json::Value {
    // A process is told the addresses of its callees, whose scheme depends on more than its own settings. Where a system
    // outside is, only the data plane knows.
    let callees = service
        .calls
        .iter()
        .map(|call| (call.callee.as_str(), desired.services.get(&call.callee).map(|s| s.protocol)));
    let mut settings = serde_json::json!({
        "command": service.command, "env": service.env, "calls": service.calls, "protocol": service.protocol,
        "before_start": service.before_start, "callees": callees.collect::<Vec<_>>(),
    });
    // It is told where to start sagas.
    if !desired.saga_files.is_empty() {
        settings["sagas"] = true.into();
    }
    settings
}

/// Reads one file.
pub(super) fn read(path: &Path) -> io::Result<Read> {
    let mut file = File::open(path)?;
    let executable = file.metadata()?.permissions().mode() & 0o111 != 0;
    let (mut hash, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; 64 * 1024]);
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            n => {
                hash.update(&buffer[..n]);
                bytes += n as u64;
            }
        }
    }
    let mut object: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    if executable {
        object.push('x');
    }
    Ok(Read { path: path.to_owned(), object, bytes })
}

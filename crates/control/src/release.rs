//! What a release is made of, and the name that follows from it.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use model::{DesiredState, ReleaseId, ServiceSpec};
use sha2::{Digest as _, Sha256};

use crate::environment::program_path;

/// A release could not be named because something that belongs to it cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{path} belongs to the release and cannot be read: {source}", path = path.display())]
pub struct ReleaseError {
    /// What.
    path: PathBuf,
    /// Why not.
    source: io::Error,
}

/// The id of what would run now: the same content gives the same id, on every machine.
///
/// It covers the artifact (by default everything in `dir` that git would track, and the command's own file), the
/// contract, and those settings that a process is started with. Replica counts, limits, health and rollout
/// settings do not make a new release. Reads every file: call it where blocking is allowed.
pub fn identify(service: &ServiceSpec, desired: &DesiredState) -> Result<ReleaseId, ReleaseError> {
    let mut hash = Sha256::new();
    // A process is told the addresses of its callees, whose scheme depends on more than its own settings. Where a system
    // outside is, only the data plane knows.
    let callees = service.calls.iter().map(|call| {
        let outside: Option<&str> = None;
        (call.callee.as_str(), outside, desired.services.get(&call.callee).map(|s| s.protocol))
    });
    let settings = serde_json::json!({
        "command": service.command, "env": service.env, "calls": service.calls, "protocol": service.protocol,
        "before_start": service.before_start, "callees": callees.collect::<Vec<_>>(),
    });
    hash.update(settings.to_string());
    let mut files = match &service.artifact {
        Some(artifact) => artifact.iter().map(|path| tracked(path)).collect::<Result<Vec<_>, _>>()?.concat(),
        None => [tracked(&service.dir)?, program(service).into_iter().collect()].concat(),
    };
    files.extend(service.contract.clone());
    files.sort();
    files.dedup();
    for file in files {
        let name = file.strip_prefix(&service.dir).unwrap_or(&file);
        hash.update(name.as_os_str().as_encoded_bytes());
        hash_file(&mut hash, &file).map_err(|source| ReleaseError { path: file.clone(), source })?;
    }
    Ok(ReleaseId(hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect()))
}

/// The command's own file, when it is given as a path.
fn program(service: &ServiceSpec) -> Option<PathBuf> {
    let program = service.command.0.first()?.fill(|_| Err(())).ok()?;
    let path = PathBuf::from(program_path(&service.dir, &program));
    (program.contains('/') && path.is_file()).then_some(path)
}

/// A file itself, or the files below a folder that git would track.
fn tracked(path: &Path) -> Result<Vec<PathBuf>, ReleaseError> {
    if let Err(source) = path.metadata() {
        return Err(ReleaseError { path: path.to_owned(), source });
    }
    let mut files = Vec::new();
    let walk = ignore::WalkBuilder::new(path)
        .hidden(false)
        .require_git(false)
        .filter_entry(|entry| !matches!(entry.file_name().to_str(), Some(".git" | ".isles")))
        .build();
    for entry in walk {
        // A folder that cannot be read or vanished meanwhile is no part of what runs.
        let Ok(entry) = entry else { continue };
        if entry.file_type().is_some_and(|kind| kind.is_file())
            || entry.depth() == 0 && entry.path().is_file()
        {
            files.push(entry.into_path());
        }
    }
    Ok(files)
}

fn hash_file(hash: &mut Sha256, path: &Path) -> io::Result<()> {
    let mut file = File::open(path)?;
    hash.update(file.metadata()?.len().to_le_bytes());
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(()),
            n => hash.update(&buffer[..n]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{desired, service};

    #[test]
    fn content_makes_a_release_and_scale_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        file("main.py", "1");
        file(".gitignore", "*.log\n");
        let mut web = service("web", &[]);
        web.dir = folder.path().to_owned();
        let app = desired([service("other", &[])]);
        let identify = |service: &ServiceSpec| identify(service, &app);
        let first = identify(&web).unwrap();
        assert_eq!(first.0.len(), 12);

        file("noise.log", "x");
        web.scale.max = 9;
        assert_eq!(identify(&web).unwrap(), first, "neither an ignored file nor scale is content");

        file("main.py", "2");
        let second = identify(&web).unwrap();
        assert_ne!(second, first);

        web.env.insert("A".into(), model::Template::literal("b"));
        assert_ne!(identify(&web).unwrap(), second);
    }

    #[test]
    fn a_missing_artifact_is_named() {
        let mut web = service("web", &[]);
        web.artifact = Some(vec!["/nowhere/bin".into()]);
        assert!(
            identify(&web, &desired([service("other", &[])]))
                .unwrap_err()
                .to_string()
                .starts_with("/nowhere/bin belongs to the release")
        );
    }
}

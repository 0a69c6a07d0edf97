//! Reads logs back, newest first, with no supervisor needed.

use std::collections::{HashSet, VecDeque};
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use model::{ReplicaId, ServiceName};

use super::{LogLine, aged, log_path, record};

/// The last `n` lines of these services (of all, when none is named), merged by time. Reads rotated files too, but never
/// more of any file than the `n` lines need. Replicas that no longer exist count as long as their logs do.
///
/// # Errors
/// When a log cannot be read. A folder that does not exist has no lines.
pub fn tail(logs: &Path, services: &[ServiceName], n: usize) -> io::Result<Vec<LogLine>> {
    gather(logs, services, n, &|file, n| {
        Ok(record::last(&file, n)?.into_iter().map(|record| record.line).collect())
    })
}

/// The last `n` lines of these services that have `text` in them, whatever the case, merged by time; without a text those of [`tail`].
/// Reads all that is kept, as far back as it has to.
///
/// # Errors
/// When a log cannot be read.
pub fn search(logs: &Path, services: &[ServiceName], text: &str, n: usize) -> io::Result<Vec<LogLine>> {
    if text.is_empty() {
        return tail(logs, services, n);
    }
    let text = text.to_lowercase();
    gather(logs, services, n, &|file, n| matching(BufReader::new(file), &text, n))
}

/// Gives the last so many lines of a file that are wanted.
type Take<'t> = &'t dyn Fn(File, usize) -> io::Result<Vec<LogLine>>;

fn gather(logs: &Path, services: &[ServiceName], n: usize, take: Take<'_>) -> io::Result<Vec<LogLine>> {
    let mut lines: Vec<LogLine> = Vec::new();
    for replica in replicas(logs, services)? {
        lines.extend(of_replica(&log_path(logs, &replica), n, take)?);
        // Stable: lines of one replica with the same time stay in the order they were written in.
        lines.sort_by_key(|line| line.at);
        lines.drain(..lines.len().saturating_sub(n));
    }
    Ok(lines)
}

/// The last `n` lines of one replica, through all its files.
fn of_replica(current: &Path, n: usize, take: Take<'_>) -> io::Result<Vec<LogLine>> {
    let mut parts: Vec<Vec<LogLine>> = Vec::new();
    let mut missing = n;
    for file in open_all(current)? {
        if missing == 0 {
            break;
        }
        let part = take(file, missing)?;
        missing -= part.len().min(missing);
        parts.push(part);
    }
    Ok(parts.into_iter().rev().flatten().collect())
}

/// The last `n` lines with a text in them; what is no record is passed over.
fn matching(mut file: BufReader<File>, text: &str, n: usize) -> io::Result<Vec<LogLine>> {
    let mut found = VecDeque::new();
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        if file.read_until(b'\n', &mut bytes)? == 0 {
            return Ok(found.into());
        }
        let Ok(line) = serde_json::from_slice::<LogLine>(&bytes) else { continue };
        if line.text.to_lowercase().contains(text) {
            if found.len() == n {
                found.pop_front();
            }
            found.push_back(line);
        }
    }
}

/// The current file and the rotated ones, newest first. All are opened before any is read, and one that a rotation renamed in
/// between is taken once. In the middle of a rotation, or after one that was cut off, one file is missing in the row.
fn open_all(current: &Path) -> io::Result<Vec<File>> {
    let mut files = Vec::new();
    let mut seen = HashSet::new();
    let mut missing = 0;
    for age in 0.. {
        match File::open(aged(current, age)) {
            Ok(file) => {
                let about = file.metadata()?;
                if seen.insert((about.dev(), about.ino())) {
                    files.push(file);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && missing == 0 => missing = 1,
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(error) => return Err(error),
        }
    }
    Ok(files)
}

fn replicas(logs: &Path, services: &[ServiceName]) -> io::Result<Vec<ReplicaId>> {
    let mut found = Vec::new();
    for folder in entries(logs)? {
        let service = folder.file_name().and_then(|name| ServiceName::new(name.to_str()?).ok());
        let Some(service) = service.filter(|name| services.is_empty() || services.contains(name)) else {
            continue;
        };
        for file in entries(&folder)? {
            let replica = file.file_name().and_then(|name| {
                let (replica, kind) = name.to_str()?.split_once('.')?;
                let is_log = kind == "log" || kind == "log.1";
                replica.parse::<ReplicaId>().ok().filter(|replica| is_log && replica.service == service)
            });
            found.extend(replica);
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// What is in a folder; nothing when there is no such folder.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect(),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(Vec::new())
        }
        Err(error) => Err(error),
    }
}

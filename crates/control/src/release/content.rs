//! Which files belong to a release.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use ignore::WalkBuilder;
use model::{Command, DesiredState, ServiceSpec};

use super::ReleaseError;

/// What is installed here is the machine's: it is run where it is, and no copy is kept.
const MACHINE: [&str; 8] =
    ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/nix/store", "/snap", "/opt/homebrew"];
/// Never part of a release.
const SKIPPED: [&str; 2] = [".git", ".isles"];

/// What a release is made of.
#[derive(Debug)]
pub(super) struct Content {
    /// The innermost folder that holds the service's folder and every part; parts are laid out below it.
    pub base: PathBuf,
    /// By absolute path.
    pub parts: BTreeMap<PathBuf, Part>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// A file, or what a link to one leads to.
    File {
        /// Whether another content makes another release.
        counts: bool,
    },
    /// A symbolic link, with the path that it leads to.
    Link(PathBuf),
}

/// Finds everything: the artifact (by default what git would track in `dir`, with the packages that an interpreter
/// finds there), the programs' own files, and the contract.
pub(super) fn content(service: &ServiceSpec, desired: &DesiredState) -> Result<Content, ReleaseError> {
    let mut parts = BTreeMap::new();
    match &service.artifact {
        Some(artifact) => {
            for path in artifact {
                walk(path, false, &mut parts)?;
            }
        }
        None => {
            walk(&service.dir, true, &mut parts)?;
            // A comma in the manifest is no new release of every service beside it.
            parts.remove(&desired.root.join("isles.toml"));
            for packages in packages(service) {
                walk(&packages, false, &mut parts)?;
            }
        }
    }
    for command in std::iter::once(&service.command).chain(&service.before_start) {
        if let Some((path, part)) = program(&service.dir, command) {
            parts.entry(path).or_insert(part);
        }
    }
    if let Some(contract) = &service.contract {
        readable(contract)?;
        parts.insert(normal(contract), Part::File { counts: true });
    }
    let folders = parts.keys().filter_map(|path| path.parent());
    let base = folders.fold(normal(&service.dir), |base, folder| common(&base, folder));
    Ok(Content { base, parts })
}

impl Content {
    /// Whether a path is a part, or a folder with parts in it.
    pub fn has(&self, path: &Path) -> bool {
        self.parts.range(path.to_owned()..).next().is_some_and(|(first, _)| first.starts_with(path))
    }
}

/// Packages that git does not track and an interpreter needs: the virtual environment that the command's program is in,
/// and `node_modules`.
fn packages(service: &ServiceSpec) -> Vec<PathBuf> {
    let modules = service.dir.join("node_modules");
    let modules = modules.is_dir().then_some(modules);
    let environment = path_of(&service.dir, &service.command).and_then(|program| {
        let folder = program.parent()?.parent()?.to_owned();
        folder.join("pyvenv.cfg").is_file().then_some(folder)
    });
    modules.into_iter().chain(environment).collect()
}

/// A program that is given as a path and is not the machine's.
fn program(dir: &Path, command: &Command) -> Option<(PathBuf, Part)> {
    let path = path_of(dir, command)?;
    if is_of_machine(&path) || !path.is_file() {
        return None;
    }
    let leads_to = std::fs::read_link(&path).ok().and_then(|_| path.canonicalize().ok());
    match leads_to {
        Some(target) if is_of_machine(&target) => Some((path, Part::Link(target))),
        _ => Some((path, Part::File { counts: true })),
    }
}

fn path_of(dir: &Path, command: &Command) -> Option<PathBuf> {
    let program = command.0.first()?.fill(|_| Err(())).ok()?;
    program.contains('/').then(|| normal(&dir.join(program)))
}

fn is_of_machine(path: &Path) -> bool {
    MACHINE.iter().any(|folder| path.starts_with(folder))
}

/// Adds a file itself, or all that is below a folder; with `tracked`, what git would track of it.
fn walk(path: &Path, tracked: bool, parts: &mut BTreeMap<PathBuf, Part>) -> Result<(), ReleaseError> {
    readable(path)?;
    let walk = WalkBuilder::new(path)
        .standard_filters(tracked)
        .hidden(false)
        .require_git(false)
        .filter_entry(|entry| !is_skipped(entry.path()))
        .build();
    for entry in walk {
        // A folder that cannot be read or vanished meanwhile is no part of what runs.
        let Ok(entry) = entry else { continue };
        let Some(kind) = entry.file_type() else { continue };
        let path = normal(entry.path());
        let part = if kind.is_symlink() && entry.depth() > 0 {
            let Ok(target) = std::fs::read_link(&path) else { continue };
            Part::Link(normal(&path.parent().unwrap_or(Path::new("/")).join(target)))
        } else if kind.is_file() || (kind.is_symlink() && path.is_file()) {
            Part::File { counts: !is_derived(&path) }
        } else {
            continue;
        };
        parts.insert(path, part);
    }
    Ok(())
}

fn readable(path: &Path) -> Result<(), ReleaseError> {
    let read = path.metadata();
    read.map(|_| ()).map_err(|source| ReleaseError::Unreadable { path: path.to_owned(), source })
}

fn is_skipped(path: &Path) -> bool {
    let is = |path: &Path, name: &str| path.file_name().is_some_and(|n| n == name);
    SKIPPED.iter().any(|name| is(path, name))
        // Tools keep caches there, which change whenever they run.
        || is(path, ".cache") && path.parent().is_some_and(|parent| is(parent, "node_modules"))
}

/// Python writes these by itself beside what it runs.
fn is_derived(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "pyc")
}

fn common(a: &Path, b: &Path) -> PathBuf {
    a.components().zip(b.components()).take_while(|(a, b)| a == b).map(|(a, _)| a).collect()
}

/// Without `.` and `..`, by the text alone.
pub(super) fn normal(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut normal, component| {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            other => normal.push(other),
        }
        normal
    })
}

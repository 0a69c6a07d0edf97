//! Releases: what a service runs from, kept below `.isles/releases/` so that nothing depends on its source folder.
//!
//! ```text
//! releases/<service>/<id>/release.json   what it is: settings as declared (no secret is filled in), when it was made
//! releases/<service>/<id>/tree/…         its files, laid out as they were, so that relative paths lead to the same things
//! releases/objects/<sha256>[x]           one link to each file's content; releases with the same content share it
//! ```

mod content;
mod id;
mod store;

use std::io;
use std::path::{Path, PathBuf};

use model::{Command, ReleaseId, Segment, ServiceName, ServiceSpec, Template};
use serde::{Deserialize, Serialize};

pub use store::Releases;

use content::normal;

/// Why a release cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// Something that belongs to it cannot be read.
    #[error("{path} belongs to the release and cannot be read: {source}", path = .path.display())]
    Unreadable {
        /// What.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file changed while it was copied.
    #[error("{path} changed while it was copied into the release: deploy again once nothing writes to it", path = .0.display())]
    Changed(PathBuf),
    /// The store cannot be written.
    #[error("the release cannot be kept at {path}: {source}", path = .path.display())]
    Unwritable {
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is no such release, or what is there is not one.
    #[error("release {id} of {service} is not in .isles/releases: deploy it again ({reason})")]
    Missing {
        /// Which.
        id: ReleaseId,
        /// Of which service.
        service: ServiceName,
        /// What was found.
        reason: String,
    },
}

/// A release that is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Release {
    /// Its name, made from its content.
    pub id: ReleaseId,
    /// When it was made: Unix milliseconds.
    pub made_at: u64,
    /// The settings with which it was made; paths lead to the source.
    pub spec: ServiceSpec,
    /// The folder that `tree` stands for: the innermost that holds the service's folder and every file.
    base: PathBuf,
    /// How many files it has.
    pub files: u64,
    /// How many bytes they have.
    pub bytes: u64,
    /// Where its files are.
    #[serde(skip)]
    tree: PathBuf,
}

impl Release {
    /// The settings with every path that leads to something in the release leading there.
    pub fn placed(&self) -> ServiceSpec {
        let mut spec = self.spec.clone();
        spec.command = self.command(&spec.command);
        spec.before_start = spec.before_start.as_ref().map(|c| self.command(c));
        spec.contract = spec.contract.as_deref().map(|path| self.kept(path).unwrap_or(path.to_owned()));
        spec.dir = self.place(&spec.dir).unwrap_or(spec.dir);
        spec
    }

    /// Where a path of the source is in the release, whether or not anything is there.
    fn place(&self, path: &Path) -> Option<PathBuf> {
        let rest = normal(path).strip_prefix(&self.base).ok()?.to_owned();
        Some(self.tree.join(rest))
    }

    /// The same, where the release has it.
    fn kept(&self, path: &Path) -> Option<PathBuf> {
        self.place(path).filter(|kept| kept.symlink_metadata().is_ok())
    }

    /// The program, and every other word that is a whole absolute path.
    fn command(&self, command: &Command) -> Command {
        let word = |(index, word): (usize, &Template)| {
            let [Segment::Literal(text)] = word.0.as_slice() else { return word.clone() };
            let is_path = if index == 0 { text.contains('/') } else { text.starts_with('/') };
            if !is_path {
                return word.clone();
            }
            let source = normal(&self.spec.dir.join(text));
            match self.kept(&source) {
                Some(kept) => Template::literal(kept.to_string_lossy().into_owned()),
                // A program of the machine, which is not copied.
                None if index == 0 => Template::literal(source.to_string_lossy().into_owned()),
                None => word.clone(),
            }
        };
        Command(command.0.iter().enumerate().map(word).collect())
    }
}

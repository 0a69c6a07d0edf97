//! What surrounds a manifest: where it is, and the environment it may speak of.

use std::path::{Component, Path, PathBuf};

/// How a name is looked up; `None` where it is not set.
pub type Lookup = Box<dyn Fn(&str) -> Option<String>>;

/// What surrounds a manifest.
pub struct Context {
    /// The manifest file, absolute; relative paths start at its folder.
    pub path: PathBuf,
    /// Answers `${env.NAME}`.
    pub env: Lookup,
    /// Answers `${secret.NAME}`.
    pub secrets: Lookup,
}

impl Context {
    /// The context of this process: its environment, and secrets from the file `.isles/secrets/NAME` beside the
    /// manifest (one line end at its end is not part of the secret) or else the variable `ISLES_SECRET_NAME`.
    /// A relative `path` is taken from the current folder.
    pub fn from_process(path: impl AsRef<Path>) -> Self {
        let path = settled(path.as_ref());
        let folder = path.parent().unwrap_or(Path::new("/")).join(".isles").join("secrets");
        let secrets = move |name: &str| {
            let from_file = std::fs::read_to_string(folder.join(name)).ok().map(|mut text| {
                text.truncate(text.strip_suffix('\n').unwrap_or(&text).len());
                text.truncate(text.strip_suffix('\r').unwrap_or(&text).len());
                text
            });
            from_file.or_else(|| std::env::var(format!("ISLES_SECRET_{name}")).ok())
        };
        Self { path, env: Box::new(|name| std::env::var(name).ok()), secrets: Box::new(secrets) }
    }
}

/// The path, absolute and without `..`, so that one manifest has one name and one folder of state.
fn settled(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    if !path.components().any(|part| part == Component::ParentDir) {
        return path;
    }
    // Only the system knows where `..` leads behind a symbolic link.
    match (path.parent().map(std::fs::canonicalize), path.file_name()) {
        (Some(Ok(folder)), Some(file)) => folder.join(file),
        _ => path,
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("path", &self.path).finish_non_exhaustive()
    }
}

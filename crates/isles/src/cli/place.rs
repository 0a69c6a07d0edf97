//! Which app a command is about: the manifest that was named, or the nearest one above.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use console::api::AppStatus;
use console::client::{Client, ClientError};
use control::Paths;

use super::failure::Failure;

/// `-f FILE`.
#[derive(Debug, Clone, clap::Args)]
pub struct FileArg {
    /// The manifest, in place of the nearest isles.toml
    #[arg(short = 'f', long, value_name = "FILE")]
    pub file: Option<PathBuf>,
}

impl FileArg {
    /// What was said after the command counts more than what was said before it.
    pub fn or(self, before: Self) -> Self {
        Self { file: self.file.or(before.file) }
    }
}

/// An app on this machine.
#[derive(Debug, Clone)]
pub struct Place {
    /// Its manifest, absolute.
    pub manifest: PathBuf,
    /// Its state.
    pub paths: Paths,
}

impl Place {
    /// Finds the app. The manifest is not read: a running app can be asked and stopped whatever is in it now.
    pub fn find(file: FileArg) -> Result<Self, Failure> {
        let here = std::env::current_dir()
            .map_err(|e| Failure::failed(format!("the current folder cannot be read: {e}")))?;
        let manifest = match file.file {
            Some(file) => here.join(file),
            None => manifest::find(&here).ok_or_else(|| {
                Failure::usage(format!("there is no isles.toml in {} or above", here.display()))
                    .help("go to the app's folder, or name the file with `-f FILE`")
            })?,
        };
        let manifest = real(manifest)?;
        let root = manifest.parent().unwrap_or(Path::new("/"));
        Ok(Self { paths: Paths::new(root), manifest })
    }

    /// A client for the app's control plane.
    pub fn client(&self) -> Client {
        Client::new(self.paths.control_socket())
    }

    /// The running app as it is now.
    pub async fn status(&self) -> Result<AppStatus, Failure> {
        match self.client().status().await {
            Ok(status) => Ok(status),
            Err(ClientError::NothingRunning) => Err(self.nothing_running()),
            Err(error) => Err(error.into()),
        }
    }

    /// There is nobody to speak to; but services may run on after their control plane was killed.
    fn nothing_running(&self) -> Failure {
        match supervisor::process::marked(self.paths.state()).len() {
            0 => Failure::nothing_running(),
            1 => Failure::left_running("1 process runs on"),
            left => Failure::left_running(&format!("{left} processes run on")),
        }
    }

    /// The folder that the manifest is in.
    pub fn root(&self) -> &Path {
        self.manifest.parent().unwrap_or(Path::new("/"))
    }
}

/// Now, in Unix milliseconds.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The one path of a file, whatever links lead to it: running processes are found again by it.
fn real(mut file: PathBuf) -> Result<PathBuf, Failure> {
    if file.is_dir() {
        file.push(manifest::FILE_NAME);
    }
    match file.canonicalize() {
        Ok(file) => Ok(file),
        Err(e) => Err(Failure::usage(format!("cannot read {}: {e}", file.display()))
            .help("name the manifest with `-f FILE`, or go to the app's folder")),
    }
}

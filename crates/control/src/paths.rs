//! Where an app keeps its state: `.isles/` beside its manifest.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use model::ServiceName;

/// The places below `.isles/`. Nothing else in Isles builds such a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    state: PathBuf,
}

impl Paths {
    /// The state folder of the app whose manifest is in `root`.
    pub fn new(root: &Path) -> Self {
        Self { state: root.join(".isles") }
    }

    /// `.isles/` itself.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Makes the folders, open to their owner alone, and tells git to leave them be.
    pub fn create(&self) -> io::Result<()> {
        for folder in
            [self.state.clone(), self.logs(), self.state.join("data"), self.secrets(), self.releases()]
        {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
        }
        let ignore = self.state.join(".gitignore");
        if !ignore.exists() {
            fs::write(ignore, "*\n")?;
        }
        Ok(())
    }

    /// The socket of the admin API.
    pub fn control_socket(&self) -> PathBuf {
        self.state.join("control.sock")
    }

    /// The token of the dashboard.
    pub fn console_token(&self) -> PathBuf {
        self.state.join("console.token")
    }

    /// The socket on which the data plane takes its routing tables.
    pub fn proxy_socket(&self) -> PathBuf {
        self.state.join("proxy.sock")
    }

    /// What the data plane has to say.
    pub fn proxy_log(&self) -> PathBuf {
        self.state.join("proxy.log")
    }

    /// What a detached control plane has to say.
    pub fn control_log(&self) -> PathBuf {
        self.state.join("control.log")
    }

    /// Held while a control plane runs.
    pub fn lock(&self) -> PathBuf {
        self.state.join("lock")
    }

    /// The database.
    pub fn database(&self) -> PathBuf {
        self.state.join("state.db")
    }

    /// Calls over time.
    pub fn metrics(&self) -> PathBuf {
        self.state.join("metrics.db")
    }

    /// What services measured themselves.
    pub fn measured(&self) -> PathBuf {
        self.state.join("measured.db")
    }

    /// Spans.
    pub fn traces(&self) -> PathBuf {
        self.state.join("traces.db")
    }

    /// The sagas.
    pub fn sagas(&self) -> PathBuf {
        self.state.join("sagas.db")
    }

    /// Captured output, a folder for each service.
    pub fn logs(&self) -> PathBuf {
        self.state.join("logs")
    }

    /// What was asked of the gateway, where the manifest wants it to be written down.
    pub fn access_log(&self) -> PathBuf {
        self.logs().join("gateway-access.log")
    }

    /// The ACME account, and the certificates got with it.
    pub fn acme(&self) -> PathBuf {
        self.state.join("acme")
    }

    /// The output of the last build and `before_start` of a service.
    pub fn build_log(&self, service: &ServiceName) -> PathBuf {
        self.logs().join(service.as_str()).join("build.log")
    }

    /// What services run from.
    pub fn releases(&self) -> PathBuf {
        self.state.join("releases")
    }

    /// A service's own folder.
    pub fn data(&self, service: &ServiceName) -> PathBuf {
        self.state.join("data").join(service.as_str())
    }

    /// `ISLES_DATA` of data planes, so that they are found like every other process of the app; no service has it.
    pub fn proxy_mark(&self) -> PathBuf {
        self.state.join("proxy")
    }

    /// Files named after the secrets that they hold.
    pub fn secrets(&self) -> PathBuf {
        self.state.join("secrets")
    }
}

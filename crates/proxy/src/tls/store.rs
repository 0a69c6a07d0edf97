//! What is kept of an authority: the account with it, and the certificate got from it. Files for their owner alone.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The files of one authority.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    folder: PathBuf,
}

impl Store {
    /// Below `root`, a folder for each authority: an account of one means nothing to another.
    pub(crate) fn new(root: &Path, directory: &str) -> Self {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' || c == '-' { c } else { '_' };
        let name = directory.split_once("://").map_or(directory, |(_, rest)| rest);
        Self { folder: root.join(name.chars().map(plain).collect::<String>()) }
    }

    /// Credentials of the account, if there is one.
    pub(crate) fn account(&self) -> Option<Vec<u8>> {
        std::fs::read(self.folder.join("account.json")).ok()
    }

    pub(crate) fn keep_account(&self, credentials: &[u8]) -> io::Result<()> {
        self.keep("account.json", credentials)
    }

    /// The authority does not know the account any more.
    pub(crate) fn forget_account(&self) {
        // Where it is gone already, all is well.
        let _ = std::fs::remove_file(self.folder.join("account.json"));
    }

    /// Key and chain, PEM, in one file: there is no moment at which they do not belong together.
    pub(crate) fn certificate(&self) -> Option<Vec<u8>> {
        std::fs::read(self.folder.join("certificate.pem")).ok()
    }

    pub(crate) fn keep_certificate(&self, key: &str, chain: &str) -> io::Result<()> {
        self.keep("certificate.pem", format!("{key}{chain}").as_bytes())
    }

    fn keep(&self, name: &str, content: &[u8]) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let new = self.folder.join(format!("{name}.new"));
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&new)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(new, self.folder.join(name))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn each_authority_has_files_of_its_own_for_the_owner_alone() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::new(root.path(), "https://ca.example:14000/dir");
        assert_eq!((store.account(), store.certificate()), (None, None));
        store.keep_account(b"secret").unwrap();
        store.keep_certificate("key\n", "chain\n").unwrap();
        assert_eq!(store.account().unwrap(), b"secret");
        assert_eq!(store.certificate().unwrap(), b"key\nchain\n");
        for (path, mode) in [("", 0o700), ("account.json", 0o600), ("certificate.pem", 0o600)] {
            let path = root.path().join("ca.example_14000_dir").join(path);
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode, "{path:?}");
        }
        assert!(Store::new(root.path(), "https://other.example/dir").account().is_none());
        store.forget_account();
        assert!(store.account().is_none());
    }
}

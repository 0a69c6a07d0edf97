//! One control plane for one app.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

/// How long a holder that is ending may take.
const ENDING: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(10);

/// Held for as long as it lives; the kernel lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another control plane has it.
    #[error("another control plane runs already")]
    Held {
        /// Its pid, when it could be read.
        pid: Option<u32>,
    },
    /// The file could not be opened or written.
    #[error("the lock file cannot be used: {0}")]
    Io(#[from] io::Error),
}

impl Lock {
    /// As [`Lock::take`], but waits a moment for a holder that is just ending: the kernel lets go of a killed
    /// process' lock only when all of the process is torn down.
    pub async fn take_soon(path: &Path) -> Result<Self, LockError> {
        let deadline = tokio::time::Instant::now() + ENDING;
        loop {
            match Self::take(path) {
                Err(LockError::Held { .. }) if tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(LOOK).await;
                }
                taken => return taken,
            }
        }
    }

    /// Takes the lock at `path`, or tells who has it.
    pub fn take(path: &Path) -> Result<Self, LockError> {
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut text = String::new();
                file.read_to_string(&mut text)?;
                return Err(LockError::Held { pid: text.trim().parse().ok() });
            }
            Err(error) => return Err(io::Error::from(error).into()),
        }
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_holder_that_is_ending_is_waited_for_and_one_that_stays_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = Lock::take(&path).unwrap();
        assert!(matches!(Lock::take_soon(&path).await, Err(LockError::Held { .. })));
        let (second, ()) = tokio::join!(Lock::take_soon(&path), async {
            tokio::time::sleep(ENDING / 2).await;
            drop(first);
        });
        second.unwrap();
    }

    #[test]
    fn only_one_holds_it_and_the_other_learns_who() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = Lock::take(&path).unwrap();
        match Lock::take(&path) {
            Err(LockError::Held { pid }) => assert_eq!(pid, Some(std::process::id())),
            other => panic!("{other:?}"),
        }
        drop(first);
        Lock::take(&path).unwrap();
    }
}

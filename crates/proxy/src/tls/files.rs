//! Certificate and key from two files, read again when they change.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Weak;
use std::time::{Duration, SystemTime};

use tracing::info;

use super::Certificates;
use super::certificate::{self, Pair};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Looks at the two files now and then.
#[derive(Debug)]
pub(crate) struct Watch {
    cert: PathBuf,
    key: PathBuf,
    /// The files as they were when they were last read.
    seen: Option<Stamp>,
    /// The pair in force.
    pair: Option<Pair>,
    /// Why the files as they are now cannot be used.
    failure: Option<String>,
}

/// What changes when a file does: for either one its time, size and place on the disk, and 0 where it is not there.
/// The place catches a file that another one took the name of, as a mounted secret does.
type Stamp = [(i64, i64, u64, u64); 2];

impl Watch {
    /// Reads the files for the first time.
    pub(crate) fn begin(cert: PathBuf, key: PathBuf, certificates: &Certificates) -> Self {
        let mut watch = Self { cert, key, seen: None, pair: None, failure: None };
        watch.look(certificates);
        watch.report(certificates);
        watch
    }

    /// Looks until nobody needs the certificates any more.
    pub(crate) async fn run(mut self, certificates: Weak<Certificates>) {
        loop {
            tokio::time::sleep(LOOK).await;
            let Some(certificates) = certificates.upgrade() else { return };
            // A pair is written one file after the other: what is wrong now is told if it still is the next time.
            let was_wrong = self.failure.is_some();
            self.look(&certificates);
            if self.failure.is_none() || was_wrong {
                self.report(&certificates);
            }
        }
    }

    fn look(&mut self, certificates: &Certificates) {
        let stamp = [stamp(std::fs::metadata(&self.cert)), stamp(std::fs::metadata(&self.key))];
        if self.seen == Some(stamp) && self.failure.is_none() {
            return;
        }
        self.seen = Some(stamp);
        match self.read() {
            Ok(pair) => {
                info!(cert = %self.cert.display(), "a certificate is in force");
                certificates.replace(pair.certified.clone());
                self.pair = Some(pair);
                self.failure = None;
            }
            Err(why) => self.failure = Some(why),
        }
    }

    fn read(&self) -> Result<Pair, String> {
        let read = |path: &PathBuf| {
            std::fs::read(path).map_err(|error: io::Error| format!("cannot read {}: {error}", path.display()))
        };
        certificate::read(&read(&self.cert)?, &read(&self.key)?)
    }

    fn report(&self, certificates: &Certificates) {
        let problem = match (&self.failure, &self.pair) {
            (Some(why), Some(_)) => Some(format!("{why}; the certificate before it stays in force")),
            (Some(why), None) => Some(format!("{why}; until that is mended no client can connect")),
            (None, Some(pair)) => pair.complaint(SystemTime::now()),
            (None, None) => None,
        };
        certificates.report(problem);
    }
}

fn stamp(metadata: io::Result<Metadata>) -> (i64, i64, u64, u64) {
    metadata.map_or((0, 0, 0, 0), |m| (m.mtime(), m.mtime_nsec(), m.size(), m.ino()))
}

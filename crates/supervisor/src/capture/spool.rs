//! A spool: the plain file that a service writes one of its outputs to, and how far it has been read.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, UNIX_EPOCH};

/// Bytes read at a time, so that a flood in one spool does not hold up the others.
const CHUNK: usize = 256 * 1024;
/// Read bytes that may pile up before their room on the disk is given back.
const PUNCH: u64 = 256 * 1024;
/// How long a line without an end must be quiet before it is taken as it is.
const QUIET: Duration = Duration::from_millis(250);

/// Bytes that have not been taken yet.
pub(super) struct Fresh {
    pub bytes: Vec<u8>,
    /// Whether an unfinished line at their end is to be taken too.
    pub whole: bool,
    /// When they were written (Unix milliseconds), if that was before this supervisor looked.
    pub written_at: Option<u64>,
}

/// One output of one replica.
pub(super) struct Spool {
    path: PathBuf,
    file: File,
    offset: u64,
    punched: u64,
    /// How large the file was, and since when.
    seen: (u64, Instant),
    /// Up to which size the file was written while nobody looked, and when it was written last.
    backlog: (u64, u64),
    /// The last line taken had no end yet, so that a newline next is its end and not another line.
    open_line: bool,
}

impl Spool {
    /// `<logs>/<service>/<replica>.<stream>.spool`, to be read from `offset` on.
    pub fn open(log: &Path, stream: &str, offset: u64) -> io::Result<Self> {
        let path = log.with_extension(format!("{stream}.spool"));
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)?;
        let about = file.metadata()?;
        let written = about.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let backlog = (about.len(), written.map_or(0, crate::clock::millis));
        let offset = if offset > about.len() { 0 } else { offset };
        let seen = (about.len(), Instant::now());
        Ok(Self { path, file, offset, punched: 0, seen, backlog, open_line: false })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// A file for the service to write to: every write goes to the end, wherever that is by then.
    pub fn writer(&self) -> io::Result<File> {
        OpenOptions::new().append(true).open(&self.path)
    }

    /// Empties the file; offsets begin at 0 again.
    pub fn truncate(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        (self.offset, self.punched, self.open_line) = (0, 0, false);
        self.seen = (0, Instant::now());
        self.backlog = (0, 0);
        Ok(())
    }

    pub fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// The bytes after the offset, at most a chunk; the file is not changed. `last`: nothing more will be written.
    pub fn read(&mut self, last: bool, now: Instant) -> io::Result<Fresh> {
        let size = self.size()?;
        if size != self.seen.0 {
            self.seen = (size, now);
        }
        if size < self.offset {
            // Somebody emptied it.
            (self.offset, self.punched) = (0, 0);
        }
        let wanted = usize::try_from(size.saturating_sub(self.offset)).unwrap_or(CHUNK).min(CHUNK);
        let mut bytes = vec![0; wanted];
        self.file.read_exact_at(&mut bytes, self.offset)?;
        let to_the_end = self.offset + wanted as u64 == size;
        let whole = to_the_end && (last || now.duration_since(self.seen.1) >= QUIET);
        if self.open_line && bytes.starts_with(b"\n") {
            bytes.remove(0);
            self.offset += 1;
            self.open_line = false;
        }
        let written_at = (self.offset < self.backlog.0).then_some(self.backlog.1);
        Ok(Fresh { bytes, whole, written_at })
    }

    /// Everything before `offset` is safe in the log.
    pub fn taken(&mut self, offset: u64, open_line: bool) {
        self.offset = offset;
        self.open_line = open_line;
        if self.offset - self.punched >= PUNCH {
            self.punch();
        }
    }

    /// When to look again although nothing was written: an unfinished line has to be taken some time.
    pub fn due(&self) -> Option<Instant> {
        (self.offset < self.seen.0).then(|| self.seen.1 + QUIET)
    }

    /// Gives the room of what was taken back to the disk; the file keeps its size, so that offsets and writers go on.
    /// Where the file system cannot do this, the file grows until its service is started again.
    #[cfg(target_os = "linux")]
    fn punch(&mut self) {
        use rustix::fs::{FallocateFlags, fallocate};
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        if let Err(error) = fallocate(&self.file, flags, self.punched, self.offset - self.punched) {
            tracing::debug!(path = %self.path.display(), %error, "the room of a read spool cannot be given back");
        }
        self.punched = self.offset;
    }

    #[cfg(not(target_os = "linux"))]
    fn punch(&mut self) {
        self.punched = self.offset;
    }
}

//! A log file that is appended to and rotated by size.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use crate::log::aged;

/// The current file of a log. Records are buffered until [`Self::flush`].
pub(super) struct Rotated {
    path: PathBuf,
    file: File,
    length: u64,
    buffer: Vec<u8>,
    limit: u64,
    keep: usize,
}

impl Rotated {
    /// Opens the log and cuts off a torn last record.
    pub fn open(path: PathBuf, limit: u64, keep: usize) -> io::Result<Self> {
        let file = open_for_append(&path)?;
        let length = crate::log::record::whole_length(&file)?;
        file.set_len(length)?;
        // The old file has the offsets to go on from, so there always is one.
        Ok(Self { path, file, length, buffer: Vec::new(), limit, keep: keep.max(1) })
    }

    /// The current file and the one before it, to read them.
    pub fn newest(&self) -> io::Result<Vec<File>> {
        let before = match File::open(aged(&self.path, 1)) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(std::iter::once(self.file.try_clone()?).chain(before).collect())
    }

    /// Whether a record still fits into this file; an empty one takes any.
    pub fn fits(&self, record: &[u8]) -> bool {
        let used = self.length + self.buffer.len() as u64;
        used == 0 || used + record.len() as u64 <= self.limit
    }

    pub fn push(&mut self, record: &[u8]) {
        self.buffer.extend_from_slice(record);
    }

    /// Writes what was pushed. On an error nothing of it is in the file.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let written = self.file.write_all(&self.buffer);
        match written {
            Ok(()) => self.length += self.buffer.len() as u64,
            Err(_) => self.file.set_len(self.length)?,
        }
        self.buffer.clear();
        written
    }

    /// Makes the current file the first of the old ones and begins a new one.
    pub fn rotate(&mut self) -> io::Result<()> {
        for age in (0..self.keep).rev() {
            match fs::rename(aged(&self.path, age), aged(&self.path, age + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        self.file = open_for_append(&self.path)?;
        self.length = 0;
        Ok(())
    }
}

fn open_for_append(path: &PathBuf) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)
}

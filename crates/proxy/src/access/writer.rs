//! The thread that writes an access log, and takes a new file when one is long enough.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use tokio::sync::oneshot;
use tracing::warn;

/// The length at which a file is put aside, in bytes.
const LONGEST: u64 = 16 * 1024 * 1024;
/// Files that were put aside and are kept: `.1` is the newest.
const KEPT: u32 = 4;
/// Buffers that wait for the thread, of 32 KiB each.
const QUEUE: usize = 128;

/// The threads' end of a log. The file's thread ends when nobody has one any more.
#[derive(Debug)]
pub(crate) struct Log {
    sender: SyncSender<Message>,
    /// Lines that could not be kept, since the last one that could.
    lost: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Message {
    Lines(Vec<u8>),
    Written(oneshot::Sender<()>),
}

impl Log {
    /// Starts the thread that writes to the file at `path`.
    pub(crate) fn start(path: &Path) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        let writer = Writer { path: path.to_owned(), file: None, lost: Arc::clone(&lost), failures: 0 };
        std::thread::Builder::new().name("access-log".to_owned()).spawn(move || writer.run(&receiver))?;
        Ok(Self { sender, lost })
    }

    /// Takes whole lines, or leaves them out and counts them.
    pub(crate) fn take(&self, lines: Vec<u8>) {
        if let Err(
            TrySendError::Full(Message::Lines(lines)) | TrySendError::Disconnected(Message::Lines(lines)),
        ) = self.sender.try_send(Message::Lines(lines))
        {
            self.lost.fetch_add(count(&lines), Relaxed);
        }
    }

    /// Ready once everything that was taken before has been written.
    pub(crate) fn written(&self) -> oneshot::Receiver<()> {
        let (done, written) = oneshot::channel();
        // Where the queue is full this is dropped, which ends the wait: the end of the process is not held up.
        let _ = self.sender.try_send(Message::Written(done));
        written
    }
}

fn count(lines: &[u8]) -> u64 {
    lines.iter().filter(|byte| **byte == b'\n').count() as u64
}

struct Writer {
    path: PathBuf,
    file: Option<(File, u64)>,
    lost: Arc<AtomicU64>,
    failures: u64,
}

impl Writer {
    fn run(mut self, receiver: &Receiver<Message>) {
        while let Ok(message) = receiver.recv() {
            match message {
                Message::Lines(lines) => self.write(lines),
                Message::Written(done) => drop(done.send(())),
            }
        }
    }

    fn write(&mut self, mut lines: Vec<u8>) {
        let lost = self.lost.swap(0, Relaxed);
        let own = count(&lines);
        if lost > 0 {
            let time = jiff::Timestamp::now();
            lines.extend_from_slice(
                format!("{{\"time\":\"{time}\",\"isles.lost_lines\":{lost}}}\n").as_bytes(),
            );
        }
        if let Err(error) = self.append(&lines) {
            self.file = None;
            self.lost.fetch_add(lost + own, Relaxed);
            self.failures += 1;
            if self.failures.is_power_of_two() {
                warn!(path = %self.path.display(), %error, "the access log cannot be written");
            }
        }
    }

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let (mut file, length) = match self.file.take() {
            Some(open) => open,
            None => self.open()?,
        };
        file.write_all(lines)?;
        let length = length + lines.len() as u64;
        if length < LONGEST {
            self.file = Some((file, length));
            return Ok(());
        }
        self.put_aside()
    }

    fn open(&self) -> io::Result<(File, u64)> {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&self.path)?;
        let length = file.metadata()?.len();
        Ok((file, length))
    }

    fn put_aside(&self) -> io::Result<()> {
        for number in (1..KEPT).rev() {
            match std::fs::rename(self.numbered(number), self.numbered(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        std::fs::rename(&self.path, self.numbered(1))
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn long_files_are_put_aside_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let log = Log::start(&path).unwrap();
        let half = usize::try_from(LONGEST / 2).unwrap();
        for turn in 0..2 * (KEPT + 2) {
            let mut lines = vec![b'a' + u8::try_from(turn).unwrap(); half];
            lines.push(b'\n');
            log.take(lines);
        }
        log.take(b"last\n".to_vec());
        log.written().await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"last\n");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let names = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(names, 1 + KEPT as usize);
        let newest = std::fs::read(folder.path().join("access.log.1")).unwrap();
        assert_eq!(newest[0], b'a' + u8::try_from(2 * (KEPT + 2) - 2).unwrap());
    }

    #[tokio::test]
    async fn what_could_not_be_written_is_counted_and_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("later").join("access.log");
        let log = Log::start(&path).unwrap();
        log.take(b"one\ntwo\n".to_vec());
        log.written().await.unwrap();
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        log.take(b"three\n".to_vec());
        log.written().await.unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let (three, lost) = text.split_once('\n').unwrap();
        assert_eq!(three, "three");
        assert!(lost.ends_with("\"isles.lost_lines\":2}\n"), "{lost}");
    }

    #[test]
    fn a_queue_that_is_full_loses_lines_and_nobody_waits() {
        let (sender, receiver) = sync_channel(1);
        let log = Log { sender, lost: Arc::default() };
        log.take(b"one\n".to_vec());
        log.take(b"two\nthree\n".to_vec());
        assert_eq!(log.lost.load(Relaxed), 2);
        drop(receiver);
        log.take(b"four\n".to_vec());
        assert_eq!(log.lost.load(Relaxed), 3);
    }
}

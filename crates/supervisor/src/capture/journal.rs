//! One replica's log: takes lines out of its two spools and puts them into its log file, each exactly once.
//!
//! The only state is the pair of offsets up to which the spools have been taken, and every record carries it. A line that is
//! not finished yet simply stays in the spool, so that there is nothing to lose when this process is killed.

use std::collections::VecDeque;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use model::ReplicaId;
use tokio::sync::broadcast;

use super::rotated::Rotated;
use super::spool::Spool;
use crate::clock::unix_now;
use crate::log::lines::split;
use crate::log::record::{self, Record};
use crate::log::{LogLine, Stream, log_path};
use crate::mask::Mask;
use crate::spec::Options;

/// How many lines an exit report keeps.
const RECENT: usize = 20;

/// A line that is encoded, but not yet safe in the file.
struct Pending {
    line: Arc<LogLine>,
    /// Where its spool goes on, and whether its end is still to come.
    taken: Option<(usize, u64, bool)>,
}

/// The log of one replica and the spools it is fed from.
pub(super) struct Journal {
    replica: ReplicaId,
    log: Rotated,
    mask: Mask,
    spools: [Spool; 2],
    recent: VecDeque<String>,
    pending: Vec<Pending>,
    lines: broadcast::Sender<Arc<LogLine>>,
    /// False between two processes: then nothing is taken.
    pub tailing: bool,
    /// When the spools are to be looked at, if at any known time.
    pub due: Option<Instant>,
    /// The last attempt failed, and that was said.
    pub failing: bool,
}

impl Journal {
    /// Opens a replica's log where its last record left off.
    pub fn open(
        options: &Options,
        replica: &ReplicaId,
        lines: broadcast::Sender<Arc<LogLine>>,
    ) -> io::Result<Self> {
        let path = log_path(&options.logs, replica);
        private_folder(path.parent().unwrap_or(&options.logs))?;
        let log = Rotated::open(path.clone(), options.log_limit, options.log_files)?;
        let (offsets, recent) = recall(&log)?;
        let spools = [Spool::open(&path, "out", offsets[0])?, Spool::open(&path, "err", offsets[1])?];
        let replica = replica.clone();
        Ok(Self {
            replica,
            log,
            mask: options.mask.clone(),
            spools,
            recent,
            pending: Vec::new(),
            lines,
            tailing: false,
            due: None,
            failing: false,
        })
    }

    /// Empties both spools for a new process and gives it its ends.
    pub fn renew(&mut self) -> io::Result<[File; 2]> {
        for spool in &mut self.spools {
            spool.truncate()?;
        }
        self.recent.clear();
        Ok([self.spools[0].writer()?, self.spools[1].writer()?])
    }

    /// The files that are to be watched.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.spools.iter().map(Spool::path)
    }

    /// Writes a line of Isles' own.
    pub fn note(&mut self, text: &str) -> io::Result<()> {
        for piece in split(text.as_bytes(), true) {
            self.push(Stream::Isles, piece.text.into_owned(), unix_now(), None)?;
        }
        self.commit()
    }

    /// Writes lines that did not come by the spools, each with its time.
    pub fn logged(&mut self, lines: Vec<(u64, String)>) -> io::Result<()> {
        for (at, text) in lines {
            for piece in split(text.as_bytes(), true) {
                self.push(Stream::Otlp, piece.text.into_owned(), at, None)?;
            }
        }
        self.commit()
    }

    /// Takes what is in the spools, a chunk of each. True when there is more at once.
    pub fn pump(&mut self, last: bool) -> io::Result<bool> {
        let mut more = false;
        for (index, stream) in [Stream::Out, Stream::Err].into_iter().enumerate() {
            more |= self.pump_stream(index, stream, last)?;
        }
        self.due = self.spools.iter().filter_map(Spool::due).min();
        Ok(more)
    }

    /// True when the spool had a whole chunk, so that there may be more.
    fn pump_stream(&mut self, index: usize, stream: Stream, last: bool) -> io::Result<bool> {
        let fresh = self.spools[index].read(last, Instant::now())?;
        let base = self.spools[index].offset();
        let at = fresh.written_at.unwrap_or_else(unix_now);
        for piece in split(&fresh.bytes, fresh.whole) {
            let ended = fresh.bytes.get(piece.end - 1) == Some(&b'\n');
            let taken = (index, base + piece.end as u64, !ended);
            self.push(stream, piece.text.into_owned(), at, Some(taken))?;
        }
        self.commit()?;
        let spool = &self.spools[index];
        Ok(spool.offset() > base && spool.offset() < spool.size()? && !fresh.whole)
    }

    /// Takes everything that was written until now, empties the spools, and returns the last lines.
    pub fn finish(&mut self) -> io::Result<Vec<String>> {
        let ends = [self.spools[0].size()?, self.spools[1].size()?];
        let mut before = None;
        while self.spools.iter().zip(ends).any(|(spool, end)| spool.offset() < end) {
            self.pump(true)?;
            let now = [self.spools[0].offset(), self.spools[1].offset()];
            // Somebody cut a spool off meanwhile: there will never be more.
            if before.replace(now) == Some(now) {
                break;
            }
        }
        for spool in &mut self.spools {
            // A process that left its group may still write: what it wrote meanwhile stays.
            if spool.size()? == spool.offset() {
                spool.truncate()?;
            }
        }
        Ok(self.recent())
    }

    /// The last lines of the present process.
    pub fn recent(&self) -> Vec<String> {
        self.recent.iter().cloned().collect()
    }

    fn push(
        &mut self,
        stream: Stream,
        text: String,
        at: u64,
        taken: Option<(usize, u64, bool)>,
    ) -> io::Result<()> {
        let line = LogLine { at, replica: self.replica.clone(), stream, text: self.mask.clean(text) };
        let mut offsets = [self.spools[0].offset(), self.spools[1].offset()];
        if let Some((index, end, _)) = taken {
            offsets[index] = end;
        }
        let record = record::encode(&line, offsets)?;
        if !self.log.fits(&record) {
            self.commit()?;
            self.log.rotate()?;
        }
        self.log.push(&record);
        self.pending.push(Pending { line: Arc::new(line), taken });
        Ok(())
    }

    /// Makes what was pushed safe, and only then counts it as taken and shows it.
    fn commit(&mut self) -> io::Result<()> {
        let pending = std::mem::take(&mut self.pending);
        self.log.flush()?;
        for Pending { line, taken } in pending {
            if let Some((index, end, open)) = taken {
                self.spools[index].taken(end, open);
                remember(&mut self.recent, line.text.clone());
            }
            // An error means that nobody listens.
            let _ = self.lines.send(line);
        }
        Ok(())
    }
}

fn remember(recent: &mut VecDeque<String>, text: String) {
    if recent.len() == RECENT {
        recent.pop_front();
    }
    recent.push_back(text);
}

/// Where the spools go on, and the last lines of the process that wrote them.
fn recall(log: &Rotated) -> io::Result<([u64; 2], VecDeque<String>)> {
    let mut records: Vec<Record> = Vec::new();
    for file in log.newest()? {
        let mut older = record::last(&file, RECENT * 2)?;
        older.append(&mut records);
        records = older;
        if records.len() >= RECENT {
            break;
        }
    }
    let mut recent = VecDeque::new();
    for record in &records {
        if matches!(record.line.stream, Stream::Out | Stream::Err) {
            remember(&mut recent, record.line.text.clone());
        } else if record.line.stream == Stream::Isles && record.spool == [0, 0] {
            // A process began or ended here.
            recent.clear();
        }
    }
    Ok((records.last().map_or([0, 0], |record| record.spool), recent))
}

/// Makes a folder for its owner only, with those above it.
pub(super) fn private_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

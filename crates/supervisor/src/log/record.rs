//! One line of a log file: JSON, the line and how far both spools had been read when it was written.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use serde::{Deserialize, Serialize};

use super::LogLine;

/// Bytes read at a time, from the end of a file towards its beginning.
const BLOCK: u64 = 64 * 1024;

#[derive(Serialize)]
struct Stored<'a> {
    #[serde(flatten)]
    line: &'a LogLine,
    spool: [u64; 2],
}

/// What a capture needs to go on after the last record.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Record {
    #[serde(flatten)]
    pub line: LogLine,
    /// The offsets after this line in the spools of standard output and standard error.
    pub spool: [u64; 2],
}

/// The record's bytes, newline included.
pub(crate) fn encode(line: &LogLine, spool: [u64; 2]) -> io::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(&Stored { line, spool })?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// The last `count` whole records of a file, oldest first; a torn last one and anything unreadable is passed over.
/// Reads no more than is needed for them.
pub(crate) fn last(file: &File, count: usize) -> io::Result<Vec<Record>> {
    let bytes = tail_bytes(file, count)?;
    let records = bytes.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
    let mut records: Vec<Record> = records.filter_map(|line| serde_json::from_slice(line).ok()).collect();
    records.drain(..records.len().saturating_sub(count));
    Ok(records)
}

/// The length of a file up to the end of its last whole record.
pub(crate) fn whole_length(file: &File) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let bytes = tail_bytes(file, 1)?;
    let torn = bytes.iter().rev().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    Ok(length.saturating_sub(torn as u64))
}

/// The end of a file, with at least `count` whole lines, if it has so many. It starts at a line's beginning.
fn tail_bytes(file: &File, count: usize) -> io::Result<Vec<u8>> {
    let mut start = file.metadata()?.len();
    let mut blocks = Vec::new();
    let mut newlines = 0;
    // One newline more than lines: the one before the first of them, and one for a torn line at the end.
    while start > 0 && newlines <= count {
        let size = start.min(BLOCK);
        start -= size;
        let mut block = vec![0; usize::try_from(size).unwrap_or_default()];
        file.read_exact_at(&mut block, start)?;
        newlines += block.iter().filter(|byte| **byte == b'\n').count();
        blocks.push(block);
    }
    let mut bytes = blocks.into_iter().rev().collect::<Vec<_>>().concat();
    if start > 0 {
        let first = bytes.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        bytes.drain(..first);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::log::Stream;

    fn file_of(count: u64, torn: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        for at in 0..count {
            let text = format!("line {at} \"quoted\\n\" {}", "x".repeat(at as usize % 700));
            let line = LogLine { at, replica: "a-1".parse().unwrap(), stream: Stream::Out, text };
            file.write_all(&encode(&line, [at, 0]).unwrap()).unwrap();
        }
        file.write_all(torn).unwrap();
        file
    }

    #[test]
    fn the_last_records_are_found_from_the_end() {
        for (written, wanted) in [(0, 5), (3, 5), (1000, 1), (1000, 700), (1000, 5000)] {
            let file = file_of(written, b"");
            let expected: Vec<u64> = (written.saturating_sub(wanted)..written).collect();
            let found: Vec<u64> =
                last(&file, wanted as usize).unwrap().iter().map(|record| record.line.at).collect();
            assert_eq!(found, expected, "{wanted} of {written}");
        }
    }

    #[test]
    fn a_torn_record_is_passed_over_and_measured() {
        let torn = br#"{"at":99,"replica":"a-1","str"#;
        let file = file_of(10, torn);
        assert_eq!(last(&file, 2).unwrap().iter().map(|r| r.line.at).collect::<Vec<_>>(), [8, 9]);
        assert_eq!(last(&file, 3).unwrap().last().unwrap().spool, [9, 0]);
        assert_eq!(whole_length(&file).unwrap(), file.metadata().unwrap().len() - torn.len() as u64);
        assert_eq!(whole_length(&file_of(0, b"{\"at")).unwrap(), 0);
    }
}

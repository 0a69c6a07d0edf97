//! Captured lines in the words of the admin API.

use console::api::{LogEntry, LogStream};
use supervisor::{LogLine, Stream};

/// One line.
pub fn entry(line: &LogLine) -> LogEntry {
    LogEntry {
        at: line.at,
        service: line.replica.service.to_string(),
        replica: Some(line.replica.to_string()),
        stream: match line.stream {
            Stream::Out => LogStream::Out,
            Stream::Err => LogStream::Err,
            Stream::Isles => LogStream::Isles,
            Stream::Otlp => LogStream::Otlp,
        },
        text: line.text.clone(),
    }
}

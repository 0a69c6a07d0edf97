//! Where text goes. Every write reports its failure, so that a closed pipe ends a command instead of breaking it.

use std::io::{self, Write};

use serde::Serialize;

use super::failure::Failure;

/// Writes lines to standard output.
pub fn lines(lines: &[String]) -> Result<(), Failure> {
    write_all(&mut anstream::stdout().lock(), lines)
}

/// Writes lines to standard error: progress and whatever else is no result.
pub fn notes(lines: &[String]) -> Result<(), Failure> {
    write_all(&mut anstream::stderr().lock(), lines)
}

/// Writes one line to standard error.
pub fn note(line: impl Into<String>) -> Result<(), Failure> {
    notes(&[line.into()])
}

/// Writes a value as indented JSON to standard output.
pub fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Failure::failed(e.to_string()))?;
    lines(&[text])
}

fn write_all(to: &mut impl Write, lines: &[String]) -> Result<(), Failure> {
    let mut text = lines.join("\n");
    if !lines.is_empty() {
        text.push('\n');
    }
    let written = to.write_all(text.as_bytes()).and_then(|()| to.flush());
    written.map_err(|error: io::Error| error.into())
}

/// Sends what the program itself has to say to standard error, from `level` on or as `ISLES_LOG` says.
pub fn trace(level: &str) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("ISLES_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(level));
    let subscriber =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(false);
    // Fails only when there is one already, and then that one is used.
    let _ = subscriber.try_init();
}

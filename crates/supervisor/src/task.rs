//! Programs that run to their end: builds, and the steps before a release.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::process::Child;

use crate::launch::Program;
use crate::log::lines::split;
use crate::mask::Mask;
use crate::process::{End, KillOnDrop, identify_even_dead};

/// How many lines an error keeps.
const LAST_LINES: usize = 20;
/// How long output is awaited after the end. A daemon that a build leaves behind may hold its output open for ever.
const QUIET: Duration = Duration::from_millis(200);
const CHUNK: usize = 16 * 1024;

/// One program to run to its end.
#[derive(Debug, Clone)]
pub struct Task {
    /// The program and its arguments. A program with a `/` in it is looked up from `dir`, any other in `PATH`.
    pub argv: Vec<String>,
    /// The working folder.
    pub dir: PathBuf,
    /// Variables added to the environment of this process.
    pub env: BTreeMap<String, String>,
    /// What is taken out of every line of its output.
    pub mask: Mask,
}

/// Why a task did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TaskError {
    /// It could not be run; the message says why and what to do.
    #[error("{message}")]
    Spawn {
        /// What happened.
        message: String,
    },
    /// It exited with another code than 0.
    #[error("`{command}` exited with code {code}{}", after_newline(.last_lines))]
    Code {
        /// The program.
        command: String,
        /// The exit code.
        code: i32,
        /// The last lines it wrote, at most 20.
        last_lines: Vec<String>,
    },
    /// A signal ended it.
    #[error("`{command}` was ended by signal {signal}{}", after_newline(.last_lines))]
    Signal {
        /// The program.
        command: String,
        /// The signal's number.
        signal: i32,
        /// The last lines it wrote, at most 20.
        last_lines: Vec<String>,
    },
}

impl TaskError {
    /// A stable code for this kind of error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Spawn { .. } => "spawn-failed",
            Self::Code { .. } => "task-failed",
            Self::Signal { .. } => "task-killed",
        }
    }
}

fn after_newline(lines: &[String]) -> String {
    lines.iter().map(|line| format!("\n  {line}")).collect()
}

/// Runs a task to its end and hands over its output, both streams in the order in which they were written, line by line.
///
/// Cancel-safe: dropping the future kills the task with its whole process group. What the task leaves running in its group
/// is killed when it ends.
///
/// # Errors
/// When it cannot be run, exits with another code than 0, or is ended by a signal.
pub async fn run_once(task: Task, mut on_line: impl FnMut(&str)) -> Result<(), TaskError> {
    let program = Program { argv: &task.argv, dir: &task.dir, env: &task.env };
    // One pipe for both: of two, nobody could tell which line came first.
    let pipe = || -> io::Result<(Receiver, Stdio, Stdio)> {
        let (reader, writer) = io::pipe()?;
        Ok((Receiver::from_owned_fd(reader.into())?, writer.try_clone()?.into(), writer.into()))
    };
    let (output, out, err) =
        pipe().map_err(|e| TaskError::Spawn { message: format!("no pipe for its output: {e}") })?;
    let mut child = program.spawn(out, err).await.map_err(|message| TaskError::Spawn { message })?;
    let process = child.id().and_then(identify_even_dead);
    let group = process.map(KillOnDrop);
    let mut last_lines = VecDeque::new();
    let end = follow(&mut child, output, group, |line| {
        if last_lines.len() == LAST_LINES {
            last_lines.pop_front();
        }
        let line = task.mask.clean(line.to_owned());
        on_line(&line);
        last_lines.push_back(line);
    })
    .await;
    // Not its arguments: a secret may have been filled into them.
    let (command, last_lines) = (task.argv.into_iter().next().unwrap_or_default(), Vec::from(last_lines));
    match end {
        Ok(End::Code(0)) => Ok(()),
        Ok(End::Code(code)) => Err(TaskError::Code { command, code, last_lines }),
        Ok(End::Signal(signal)) => Err(TaskError::Signal { command, signal, last_lines }),
        Ok(End::Unseen) => {
            Err(TaskError::Spawn { message: format!("`{command}` ended, and nobody was told how") })
        }
        Err(error) => Err(TaskError::Spawn { message: format!("`{command}` cannot be waited for: {error}") }),
    }
}

/// Reads the output until the program has ended and it is closed, or quiet.
async fn follow(
    child: &mut Child,
    output: Receiver,
    mut group: Option<KillOnDrop>,
    mut on_line: impl FnMut(&str),
) -> io::Result<End> {
    let mut output = Output::new(output);
    let mut end = None;
    while end.is_none() || output.open() {
        tokio::select! {
            () = output.read() => output.lines(&mut on_line),
            status = child.wait(), if end.is_none() => {
                end = Some(status?.into());
                drop(group.take());
            }
            () = tokio::time::sleep(QUIET), if end.is_some() => break,
        }
    }
    output.finish(&mut on_line);
    Ok(end.unwrap_or(End::Unseen))
}

/// The output of a task, cut into lines.
struct Output {
    reader: Option<Receiver>,
    rest: Vec<u8>,
}

impl Output {
    fn new(reader: Receiver) -> Self {
        Self { reader: Some(reader), rest: Vec::new() }
    }

    fn open(&self) -> bool {
        self.reader.is_some()
    }

    /// Waits for more bytes; for ever when the output is closed. Cancel-safe.
    async fn read(&mut self) {
        let Some(reader) = &mut self.reader else { return std::future::pending().await };
        self.rest.reserve(CHUNK);
        // An output that cannot be read any more has ended.
        if !reader.read_buf(&mut self.rest).await.is_ok_and(|count| count > 0) {
            self.reader = None;
        }
    }

    fn lines(&mut self, on_line: &mut impl FnMut(&str)) {
        let mut used = 0;
        for piece in split(&self.rest, !self.open()) {
            on_line(&piece.text);
            used = piece.end;
        }
        self.rest.drain(..used);
    }

    fn finish(&mut self, on_line: &mut impl FnMut(&str)) {
        self.reader = None;
        self.lines(on_line);
    }
}

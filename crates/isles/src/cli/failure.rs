//! How a command ends when it did not do what it was asked for.

use std::io;
use std::process::ExitCode;

use console::client::ClientError;

use super::show::style;

/// The exit codes of this tool, but for 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It was tried and failed.
    Failed = 1,
    /// The command line or the manifest is wrong.
    Usage = 2,
    /// A contract would be broken, or the gate does not let a release pass.
    Refused = 3,
    /// A release was rolled back.
    RolledBack = 4,
    /// There is no app to speak to.
    NothingRunning = 5,
}

/// Why a command ends early.
#[derive(Debug)]
pub enum Failure {
    /// For a person: what went wrong, and what to do.
    Told {
        /// The exit code.
        exit: Exit,
        /// What went wrong, without a full stop.
        what: String,
        /// What to do, when that is known.
        help: Option<String>,
    },
    /// Everything has been said already.
    Silent(Exit),
    /// Whoever reads the output has gone, as in `isles logs | head`.
    NobodyReads,
}

impl Failure {
    /// It was tried and failed.
    pub fn failed(what: impl Into<String>) -> Self {
        Self::Told { exit: Exit::Failed, what: what.into(), help: None }
    }

    /// The command line or the manifest is wrong.
    pub fn usage(what: impl Into<String>) -> Self {
        Self::Told { exit: Exit::Usage, what: what.into(), help: None }
    }

    /// There is no app to speak to.
    pub fn nothing_running() -> Self {
        let what = "nothing is running here".to_owned();
        Self::Told {
            exit: Exit::NothingRunning,
            what,
            help: Some("start the app with `isles up`".to_owned()),
        }
    }

    /// The control plane is gone, and what it started is not.
    pub fn left_running(what: &str) -> Self {
        Self::Told {
            exit: Exit::NothingRunning,
            what: format!("the control plane is gone; {what} without it"),
            help: Some("`isles up` takes it over, `isles down` ends it".to_owned()),
        }
    }

    /// Adds what to do.
    pub fn help(self, text: impl Into<String>) -> Self {
        match self {
            Self::Told { exit, what, .. } => Self::Told { exit, what, help: Some(text.into()) },
            other => other,
        }
    }

    /// Tells it on standard error and gives the exit code.
    pub fn report(&self) -> ExitCode {
        match self {
            Self::Told { exit, what, help } => {
                let mut text = format!("{}: {what}\n", style::bad("error"));
                if let Some(help) = help {
                    text.push_str(&format!("{}: {help}\n", style::note("help")));
                }
                // Nothing is left to tell it to when standard error is gone as well.
                let _ = io::Write::write_all(&mut anstream::stderr().lock(), text.as_bytes());
                ExitCode::from(*exit as u8)
            }
            Self::Silent(exit) => ExitCode::from(*exit as u8),
            Self::NobodyReads => ExitCode::SUCCESS,
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::NothingRunning => Self::nothing_running(),
            ClientError::Refused(problem) if problem.code == "unknown_service" => Self::usage(problem.detail),
            ClientError::Silent => {
                Self::failed(error.to_string()).help("look at `.isles/control.log`; `isles down` ends it")
            }
            ClientError::Gone => {
                Self::failed(error.to_string()).help("`isles ps` shows whether it still runs")
            }
            other => Self::failed(other.to_string()),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::NobodyReads,
            _ => Self::failed(error.to_string()),
        }
    }
}

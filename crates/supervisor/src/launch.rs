//! Starts a program as the leader of a process group of its own, and says clearly why when it cannot.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::io::Errno;
use tokio::process::{Child, Command};

/// A program that was just written may still be open for writing in a process that is being forked elsewhere.
const BUSY_TRIES: u32 = 20;
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// Keeps `ISLES_SECRET_…` of this process from a child: a secret is for the service whose manifest entry names it.
pub fn without_secrets(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"ISLES_SECRET_") {
            command.env_remove(name);
        }
    }
}

/// What to run.
pub(crate) struct Program<'a> {
    pub argv: &'a [String],
    pub dir: &'a Path,
    pub env: &'a BTreeMap<String, String>,
}

impl Program<'_> {
    /// Spawns it with these outputs and no input. The error is a sentence for a person.
    pub async fn spawn(&self, out: Stdio, err: Stdio) -> Result<Child, String> {
        let (program, arguments) = self.argv.split_first().ok_or("the command is empty: name a program")?;
        let mut command = Command::new(self.resolve(program));
        without_secrets(&mut command);
        command.args(arguments).current_dir(self.dir).envs(self.env);
        command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0);
        let mut tries = 0;
        loop {
            match command.spawn() {
                Ok(child) => return Ok(child),
                Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && tries < BUSY_TRIES => {
                    tries += 1;
                    tokio::time::sleep(BUSY_PAUSE).await;
                }
                Err(error) => return Err(self.explain(program, &error)),
            }
        }
    }

    /// A relative path is meant from the working folder; the system would be free to take ours.
    fn resolve(&self, program: &str) -> PathBuf {
        if program.contains('/') { self.dir.join(program) } else { PathBuf::from(program) }
    }

    fn explain(&self, program: &str, error: &io::Error) -> String {
        let dir = self.dir.display();
        if !self.dir.is_dir() {
            return format!("the working folder `{dir}` does not exist");
        }
        let path = self.resolve(program);
        match error.kind() {
            io::ErrorKind::NotFound if !program.contains('/') => {
                format!("`{program}` is not in PATH: install it, or give its path")
            }
            io::ErrorKind::NotFound if path.exists() => {
                format!("`{}` names an interpreter that does not exist: see its first line", path.display())
            }
            io::ErrorKind::NotFound => format!("`{}` does not exist: was it built?", path.display()),
            io::ErrorKind::PermissionDenied => {
                format!("`{program}` may not be run ({error}): is it a program, and marked executable?")
            }
            _ if error.raw_os_error() == Some(Errno::NOEXEC.raw_os_error()) => {
                format!(
                    "`{program}` is no program for this machine, and has no `#!` line that names an interpreter"
                )
            }
            _ => format!("`{program}` cannot be run in `{dir}`: {error}"),
        }
    }
}

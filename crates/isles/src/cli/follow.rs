//! Shows the way to a state: of the whole app, or of some services.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use console::api::{AppStatus, ServiceState, ServiceStatus};
use console::client::{Client, ClientError};
use control::Paths;
use model::ServiceName;
use tokio::time::Instant;

use super::failure::Failure;
use super::output;
use super::place;
use super::show::style::Symbols;
use super::show::terminal::{self, Live};
use super::show::{progress, text};

/// Time between two pictures.
const FRAME: Duration = Duration::from_millis(100);

/// Enough of a file's end to have its last line.
const LAST_BYTES: u64 = 2048;

/// The picture of the progress on standard error: redrawn on a terminal, a line for each change elsewhere.
#[derive(Debug)]
pub struct Progress {
    begun: u64,
    tick: usize,
    live: Option<Live>,
    shown: Option<AppStatus>,
    builds: Option<Paths>,
    symbols: Symbols,
}

impl Progress {
    /// A picture of what begins now.
    pub fn new() -> Self {
        Self {
            begun: place::now(),
            tick: 0,
            live: terminal::can_redraw(&std::io::stderr()).then(Live::default),
            shown: None,
            builds: None,
            symbols: Symbols::of_locale(),
        }
    }

    /// Shows beside each step that runs what it wrote last.
    pub fn with_builds_of(self, paths: Paths) -> Self {
        Self { builds: Some(paths), ..self }
    }

    /// The same, for changes since `status` only.
    pub fn since(status: AppStatus) -> Self {
        Self { shown: Some(status), ..Self::new() }
    }

    /// How long it has gone on, in milliseconds.
    pub fn elapsed(&self) -> u64 {
        place::now().saturating_sub(self.begun)
    }

    /// Completes when the next picture is due.
    pub async fn frame() {
        tokio::time::sleep(FRAME).await;
    }

    /// Shows `status`.
    pub fn show(&mut self, status: &AppStatus) -> Result<(), Failure> {
        let Some(live) = &mut self.live else {
            let lines = progress::changes(self.shown.as_ref(), status, self.begun);
            self.shown = Some(status.clone());
            return if lines.is_empty() { Ok(()) } else { output::notes(&lines) };
        };
        self.tick += 1;
        let hints = self.builds.as_ref().map(|paths| hints(status, paths)).unwrap_or_default();
        let view = view(self.begun, self.tick, self.symbols, &hints);
        Ok(live.draw(&progress::render(status, &view))?)
    }

    /// Leaves the last picture on the terminal.
    pub fn settle(&mut self, status: &AppStatus) -> Result<(), Failure> {
        let Some(live) = &mut self.live else { return Ok(()) };
        live.clear()?;
        let hints = HashMap::new();
        let view = view(self.begun, self.tick, self.symbols, &hints);
        output::notes(&progress::settled(status, &view))
    }

    /// Goes to the beginning of the line, over the `^C` that a terminal shows.
    pub fn begin_line(&self) -> Result<(), Failure> {
        if self.live.is_some() { Ok(terminal::begin_line()?) } else { Ok(()) }
    }

    /// Takes the picture off the terminal, for what is written next.
    pub fn clear(&mut self) -> Result<(), Failure> {
        match &mut self.live {
            Some(live) => Ok(live.clear()?),
            None => Ok(()),
        }
    }
}

/// What the builds that run now wrote last.
fn hints(status: &AppStatus, paths: &Paths) -> HashMap<String, String> {
    let running = |s: &&ServiceStatus| matches!(s.state, ServiceState::Building | ServiceState::Preparing);
    let names = status.services.iter().filter(running).filter_map(|s| ServiceName::new(s.name.as_str()).ok());
    names.filter_map(|name| Some((name.to_string(), last_line(&paths.build_log(&name))?))).collect()
}

/// The last line of a file that has something in it.
fn last_line(path: &Path) -> Option<String> {
    let file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    let mut end = vec![0; usize::try_from(length.min(LAST_BYTES)).ok()?];
    file.read_exact_at(&mut end, length.saturating_sub(LAST_BYTES)).ok()?;
    let end = String::from_utf8_lossy(&end);
    end.lines().map(text::plain).rfind(|line| !line.trim().is_empty())
}

fn view<'a>(
    begun: u64,
    tick: usize,
    symbols: Symbols,
    hints: &'a HashMap<String, String>,
) -> progress::View<'a> {
    let (width, height) = terminal::size(&std::io::stderr());
    progress::View { now: place::now(), begun, tick, width, height, symbols, hints }
}

/// How watching an app ended.
#[derive(Debug)]
pub enum Seen {
    /// The wanted state came, and this is it.
    Reached(AppStatus),
    /// The time is over; the state is what it is.
    TimedOut(AppStatus),
    /// The app has gone.
    Gone,
}

/// Shows the app until `done` says so, it goes away, or `patience` is over.
pub async fn until(
    client: &Client,
    progress: &mut Progress,
    patience: Option<Duration>,
    mut done: impl FnMut(&AppStatus) -> bool,
) -> Result<Seen, Failure> {
    let mut watch = match client.watch().await {
        Ok(watch) => watch,
        Err(ClientError::NothingRunning | ClientError::Gone) => return Ok(Seen::Gone),
        Err(error) => return Err(error.into()),
    };
    let deadline = patience.map(|patience| Instant::now() + patience);
    let mut status: Option<AppStatus> = None;
    loop {
        tokio::select! {
            next = watch.next() => match next {
                Ok(Some(next)) => {
                    progress.show(&next)?;
                    if done(&next) {
                        progress.clear()?;
                        return Ok(Seen::Reached(next));
                    }
                    status = Some(next);
                }
                Ok(None) | Err(ClientError::Gone) => {
                    progress.clear()?;
                    return Ok(Seen::Gone);
                }
                Err(error) => return Err(error.into()),
            },
            () = Progress::frame() => if let Some(status) = &status { progress.show(status)? },
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline)
            && let Some(status) = status.take()
        {
            progress.clear()?;
            return Ok(Seen::TimedOut(status));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_a_build_is_found_at_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("build.log");
        assert_eq!(last_line(&path), None);
        for (text, expected) in [
            (String::new(), None),
            ("a\nb\n\n".to_owned(), Some("b")),
            ("\u{1b}[32m   Compiling\u{1b}[0m x".to_owned(), Some("   Compiling x")),
            ("é".repeat(5_000) + "\nlast\n", Some("last")),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(last_line(&path).as_deref(), expected);
        }
    }
}

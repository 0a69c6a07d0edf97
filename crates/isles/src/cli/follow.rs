//! Shows the way to a state: of the whole app, or of some services.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::time::Duration;

use console::api::{AppStatus, LogEntry};
use console::client::{Client, ClientError};
use tokio::time::Instant;

use super::failure::Failure;
use super::output;
use super::place;
use super::show::style::Symbols;
use super::show::terminal::{self, Live};
use super::show::{progress, text};

/// Time between two pictures.
const FRAME: Duration = Duration::from_millis(100);

/// The picture of the progress on standard error: redrawn on a terminal, a line for each change elsewhere.
#[derive(Debug)]
pub struct Progress {
    begun: u64,
    tick: usize,
    live: Option<Live>,
    shown: Option<AppStatus>,
    hints: HashMap<String, String>,
    symbols: Symbols,
}

impl Progress {
    /// A picture of what begins now.
    pub fn new() -> Self {
        Self {
            begun: place::now(),
            tick: 0,
            live: std::io::stderr().is_terminal().then(Live::default),
            shown: None,
            hints: HashMap::new(),
            symbols: Symbols::of_locale(),
        }
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

    /// Remembers the last line that a service wrote, to be shown beside it.
    pub fn hint(&mut self, entry: &LogEntry) {
        let line = text::plain(&entry.text);
        if !line.trim().is_empty() {
            self.hints.insert(entry.service.clone(), line.trim().to_owned());
        }
    }

    /// Shows `status`.
    pub fn show(&mut self, status: &AppStatus) -> Result<(), Failure> {
        let Some(live) = &mut self.live else {
            let lines = progress::changes(self.shown.as_ref(), status, self.begun);
            self.shown = Some(status.clone());
            return if lines.is_empty() { Ok(()) } else { output::notes(&lines) };
        };
        self.tick += 1;
        let view = view(self.begun, self.tick, self.symbols, &self.hints);
        Ok(live.draw(&progress::render(status, &view))?)
    }

    /// Leaves the last picture on the terminal.
    pub fn settle(&mut self, status: &AppStatus) -> Result<(), Failure> {
        let Some(live) = &mut self.live else { return Ok(()) };
        live.clear()?;
        let view = view(self.begun, self.tick, self.symbols, &self.hints);
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
        match (deadline, &mut status) {
            (Some(deadline), Some(_)) if Instant::now() >= deadline => {
                progress.clear()?;
                return Ok(status.map_or(Seen::Gone, Seen::TimedOut));
            }
            _ => {}
        }
    }
}

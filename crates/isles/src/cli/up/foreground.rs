//! `isles up` on a terminal: progress, then logs, until somebody asks for the end.

use std::collections::VecDeque;
use std::sync::Arc;

use console::Platform;
use console::api::{AppState, AppStatus, LogEntry, LogItem, LogStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch::Receiver;

use super::watch;
use crate::cli::failure::{Exit, Failure};
use crate::cli::follow::Progress;
use crate::cli::place::Place;
use crate::cli::show::lines::LogPrinter;
use crate::cli::show::style::{self, Symbols};
use crate::cli::show::{self, text};
use crate::cli::{output, place};
use crate::watch::Watcher;
use crate::wire::Running;

/// Lines written while services start that are shown once they are ready.
const KEPT: usize = 200;

/// Runs the app until it is asked to end; with `watch`, what changes meanwhile is rolled out.
pub async fn run(place: &Place, parsed: manifest::Parsed, build: bool, watch: bool) -> Result<(), Failure> {
    let watcher = watch.then(|| Watcher::new(&place.manifest, &parsed.desired));
    let mut signals = Signals::install()?;
    let mut progress = Progress::new().with_builds_of(place.paths.clone());
    let running = super::start(place, parsed, build).await?;
    let mut session = Session::new(running.platform.as_ref());
    let told = match session.bring_up(&mut signals, &mut progress).await {
        Ok(Next::Logs) => tokio::select! {
            ended = session.follow(&mut signals) => ended,
            failed = watch::run(place, watcher) => failed.map(|never| match never {}),
        },
        other => other.map(drop),
    };
    // Whatever happened to our output, the services are not left behind.
    running.platform.down();
    let ended = end(running, session.status, &mut signals).await;
    match told {
        Err(Failure::NobodyReads) => ended,
        told => told.and(ended),
    }
}

/// Ctrl-C, and what a service manager sends.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn install() -> Result<Self, Failure> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// What follows once nothing more is to be waited for.
enum Next {
    Logs,
    Stop,
}

struct Session {
    status: Receiver<Arc<AppStatus>>,
    logs: broadcast::Receiver<Arc<LogEntry>>,
    early: VecDeque<LogItem>,
    symbols: Symbols,
}

impl Session {
    fn new(platform: &dyn Platform) -> Self {
        Self {
            status: platform.status(),
            logs: platform.live_logs(),
            early: VecDeque::new(),
            symbols: Symbols::of_locale(),
        }
    }

    /// Shows the progress until every service is ready or has failed.
    async fn bring_up(&mut self, signals: &mut Signals, progress: &mut Progress) -> Result<Next, Failure> {
        loop {
            let now = self.status.borrow_and_update().clone();
            if now.state == AppState::Stopping {
                progress.clear()?;
                return Ok(Next::Stop);
            }
            progress.show(&now)?;
            if now.services.iter().all(|s| s.state.is_settled() || s.state.is_failure()) {
                return self.conclude(&now, progress);
            }
            tokio::select! {
                changed = self.status.changed() => if changed.is_err() { return Ok(Next::Stop) },
                entry = self.logs.recv() => self.keep(entry),
                () = Progress::frame() => {}
                () = signals.next() => {
                    progress.clear()?;
                    return Ok(Next::Stop);
                }
            }
        }
    }

    fn keep(&mut self, entry: Result<Arc<LogEntry>, RecvError>) {
        match entry {
            Ok(entry) => self.early.push_back(LogItem::Entry(entry.as_ref().clone())),
            Err(RecvError::Lagged(dropped)) => self.early.push_back(LogItem::Dropped { dropped }),
            Err(RecvError::Closed) => {}
        }
        while self.early.len() > KEPT {
            self.early.pop_front();
        }
    }

    /// The last picture stays, and below it what failed, and where to go.
    fn conclude(&mut self, now: &AppStatus, progress: &mut Progress) -> Result<Next, Failure> {
        progress.settle(now)?;
        output::notes(&show::failure::report(now, place::now(), self.symbols))?;
        let all_failed = !now.services.is_empty() && now.services.iter().all(|s| s.state.is_failure());
        if all_failed {
            return Err(Failure::failed(format!("no service of {} could be started", now.app)));
        }
        let mut lines = show::summary::render(now, progress.elapsed(), false, self.symbols);
        lines.push(String::new());
        output::notes(&lines)?;
        Ok(Next::Logs)
    }

    /// Shows what services write, and what goes wrong with them, until the end is asked for.
    async fn follow(&mut self, signals: &mut Signals) -> Result<(), Failure> {
        let mut before = self.status.borrow_and_update().clone();
        let mut printer =
            LogPrinter::new(before.services.iter().map(|s| (s.name.as_str(), s.desired)), self.symbols);
        let early: Vec<String> = self.early.drain(..).map(|item| printer.line(&item)).collect();
        output::lines(&early)?;
        loop {
            let items = tokio::select! {
                entry = self.logs.recv() => match entry {
                    Ok(entry) => self.batch(LogItem::Entry(entry.as_ref().clone())),
                    Err(RecvError::Lagged(dropped)) => self.batch(LogItem::Dropped { dropped }),
                    Err(RecvError::Closed) => return Ok(()),
                },
                changed = self.status.changed() => {
                    let now = self.status.borrow_and_update().clone();
                    if changed.is_err() || now.state == AppState::Stopping {
                        return Ok(());
                    }
                    let news = news(&before, &now);
                    before = now;
                    news
                }
                () = signals.next() => return Ok(()),
            };
            let lines: Vec<String> = items.iter().map(|item| printer.line(item)).collect();
            if !lines.is_empty() {
                output::lines(&lines)?;
            }
        }
    }

    /// `first` and whatever else has been written already, to be shown with one write.
    fn batch(&mut self, first: LogItem) -> Vec<LogItem> {
        let mut items = vec![first];
        while let (Ok(entry), true) = (self.logs.try_recv(), items.len() < KEPT) {
            items.push(LogItem::Entry(entry.as_ref().clone()));
        }
        items
    }
}

/// A line for each service that failed or recovered.
fn news(before: &AppStatus, after: &AppStatus) -> Vec<LogItem> {
    let mut items = Vec::new();
    for service in &after.services {
        let Some(old) = before.service(&service.name) else { continue };
        let text = if service.state.is_failure() && !old.state.is_failure() {
            show::failure::reason(after, service, place::now())
        } else if service.state.is_settled() && old.state.is_failure() {
            "is ready again".to_owned()
        } else {
            continue;
        };
        items.push(LogItem::Entry(LogEntry {
            at: place::now(),
            service: service.name.clone(),
            replica: None,
            stream: LogStream::Isles,
            text,
        }));
    }
    items
}

/// Waits until everything is gone; a second signal makes it quick. Nothing is done about output that fails here: whether
/// somebody still looks changes nothing about the end.
async fn end(
    mut running: Running,
    mut status: Receiver<Arc<AppStatus>>,
    signals: &mut Signals,
) -> Result<(), Failure> {
    let last = status.borrow().as_ref().clone();
    let app = last.app.clone();
    let mut progress = Progress::since(last);
    let _ = progress.begin_line();
    let _ = output::note(style::dim(&format!("stopping {app} (Ctrl-C again kills it at once)")));
    loop {
        tokio::select! {
            () = &mut running.finished => break,
            () = Progress::frame() => {
                let now = status.borrow_and_update().clone();
                let _ = progress.show(&now);
            }
            () = signals.next() => {
                running.kill().await;
                let _ = progress.clear();
                let _ = output::note(format!("killed {app}"));
                return Err(Failure::Silent(Exit::Failed));
            }
        }
    }
    let _ = progress.clear();
    let took = text::took(progress.elapsed());
    let _ = output::note(format!("{} {app} has stopped in {took}", style::good(Symbols::of_locale().done)));
    Ok(())
}

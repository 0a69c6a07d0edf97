//! `isles logs`: from the running app, or else from what it left.

use std::path::PathBuf;

use console::api::{LogEntry, LogItem, LogQuery};
use console::client::{Client, ClientError};
use model::ServiceName;

use super::failure::Failure;
use super::output;
use super::place::{FileArg, Place};
use super::show::lines::LogPrinter;
use super::show::style::Symbols;

/// Lines that are printed with one write at most.
const BATCH: usize = 512;

#[derive(Debug, clap::Args)]
pub struct Args {
    // `-f` follows here, as in every other tool that shows logs.
    /// The manifest, in place of the nearest isles.toml (`-f FILE` before `logs`)
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Goes on with new lines as they are written
    #[arg(short = 'f', long)]
    follow: bool,
    /// Only lines with this in them, whatever the case, as far back as they are kept
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    search: String,
    /// How many of the latest lines
    #[arg(short = 'n', long = "lines", value_name = "N", default_value_t = 100)]
    lines: usize,
    /// Prints one JSON value a line
    #[arg(long)]
    json: bool,
    /// Only these services
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

pub async fn run(args: Args, before: FileArg) -> Result<(), Failure> {
    let place = Place::find(FileArg { file: args.file.clone() }.or(before))?;
    let client = place.client();
    match client.status().await {
        Ok(status) => {
            let services = status.services.iter().map(|s| (s.name.as_str(), s.desired));
            let printer = LogPrinter::new(services, Symbols::of_locale());
            stream(&client, &args, Sheet { printer, json: args.json }).await
        }
        Err(ClientError::NothingRunning) if args.follow => {
            Err(Failure::nothing_running().help("without `-f`, `isles logs` shows what was written before"))
        }
        Err(ClientError::NothingRunning) => from_files(&place, &args),
        Err(error) => Err(error.into()),
    }
}

async fn stream(client: &Client, args: &Args, mut sheet: Sheet) -> Result<(), Failure> {
    let query = LogQuery { services: args.services.clone(), text: args.search.clone(), n: args.lines };
    let mut lines = client.logs(&query, args.follow).await?;
    let mut batch = Vec::new();
    loop {
        let next = match lines.next().await {
            // The app has ended, and that is the end of its logs.
            Err(ClientError::Gone) => None,
            other => other?,
        };
        let ended = next.is_none();
        batch.extend(next);
        if ended || batch.len() >= BATCH || !lines.has_buffered() {
            sheet.print(&batch)?;
            batch.clear();
        }
        if ended {
            return Ok(());
        }
    }
}

/// What services wrote before the app ended.
fn from_files(place: &Place, args: &Args) -> Result<(), Failure> {
    let mut services = Vec::new();
    for name in &args.services {
        services.push(ServiceName::new(name).map_err(|e| Failure::usage(format!("`{name}`: {e}")))?);
    }
    let folder = place.paths.logs();
    let found = supervisor::log::search(&folder, &services, &args.search, args.lines);
    let found = found
        .map_err(|e| Failure::failed(format!("the logs in {} cannot be read: {e}", folder.display())))?;
    if found.is_empty() {
        return Err(Failure::nothing_running().help("and no service has written anything yet"));
    }
    let entries: Vec<LogEntry> = found.iter().map(crate::wire::log_entry).collect();
    let names: std::collections::BTreeSet<&str> = entries.iter().map(|e| e.service.as_str()).collect();
    let printer = LogPrinter::new(names.into_iter().map(|name| (name, 1)), Symbols::of_locale());
    let items: Vec<LogItem> = entries.iter().cloned().map(LogItem::Entry).collect();
    Sheet { printer, json: args.json }.print(&items)
}

/// Where lines go: aligned text, or JSON.
struct Sheet {
    printer: LogPrinter,
    json: bool,
}

impl Sheet {
    fn print(&mut self, items: &[LogItem]) -> Result<(), Failure> {
        let mut lines = Vec::with_capacity(items.len());
        for item in items {
            lines.push(if self.json {
                serde_json::to_string(item).map_err(|e| Failure::failed(e.to_string()))?
            } else {
                self.printer.line(item)
            });
        }
        if lines.is_empty() { Ok(()) } else { output::lines(&lines) }
    }
}

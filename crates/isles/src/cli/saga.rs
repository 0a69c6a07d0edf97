//! `isles saga show|retry|undo`

use clap::Subcommand;
use saga::api::{Detail, Told};

use super::failure::Failure;
use super::output;
use super::place::{self, FileArg, Place};
use super::sagas::{cut, explain};
use super::show::{style, text};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: FileArg,
    #[command(subcommand)]
    order: Order,
}

#[derive(Debug, Subcommand)]
enum Order {
    /// Shows what happened to a saga
    Show {
        /// Its id
        id: String,
        /// Prints it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Tries at once whatever waits for another attempt, or was refused after the pivot
    Retry {
        /// Its id
        id: String,
    },
    /// Undoes a saga that is under way or done, unless it is past its pivot
    Undo {
        /// Its id
        id: String,
    },
}

pub async fn run(args: Args, before: FileArg) -> Result<(), Failure> {
    let place = Place::find(args.file.or(before))?;
    place.status().await?;
    let client = place.client();
    match args.order {
        Order::Show { id, json } => {
            let detail: Detail = client.saga(&id).await.map_err(explain)?;
            if json { output::json(&detail) } else { output::lines(&render(&detail, place::now())) }
        }
        Order::Retry { id } => {
            client.saga_order(&id, "retry").await.map_err(explain)?;
            output::lines(&[format!("{id} is tried again")])
        }
        Order::Undo { id } => {
            client.saga_order(&id, "cancel").await.map_err(explain)?;
            output::lines(&[format!("{id} is being undone")])
        }
    }
}

fn render(detail: &Detail, now: u64) -> Vec<String> {
    let summary = &detail.summary;
    let status =
        if summary.alert { format!("{} (alert)", summary.status) } else { summary.status.to_string() };
    let age = text::age(now.saturating_sub(summary.started_at));
    let mut lines = vec![
        format!(
            "{} version {}, {}, begun {age} ago",
            style::strong(&summary.saga),
            detail.version,
            style::strong(&status)
        ),
        format!("key {}", cut(&summary.key, 100)),
        String::new(),
    ];
    lines.extend(detail.history.iter().map(|line| {
        let after = line.record.at.saturating_sub(summary.started_at);
        format!("{:>10}  {}", format!("+{after} ms"), told(line))
    }));
    lines
}

/// A record in words, made harmless for a terminal.
fn told(told: &Told) -> String {
    let line = match told.record.event.step() {
        Some(step) => format!("{step}: {}", told.text),
        None => told.text.clone(),
    };
    text::tame(&line)
}

//! `isles saga show|retry|undo`

use clap::Subcommand;
use saga::api::Detail;
use saga::record::{Event, Outcome, Reason, Record};

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
    lines.extend(detail.history.iter().map(|record| {
        let after = record.at.saturating_sub(summary.started_at);
        format!("{:>10}  {}", format!("+{after} ms"), told(record))
    }));
    lines
}

/// A record in words.
fn told(record: &Record) -> String {
    match &record.event {
        Event::Started { step } => format!("{step}: started"),
        Event::Failed { step, undo, attempt, error, .. } => {
            let what = if *undo { "undo" } else { "attempt" };
            format!("{step}: {what} {attempt} failed: {}", cut(error, 200))
        }
        Event::Done { step, .. } => format!("{step}: done"),
        Event::Skipped { step } => format!("{step}: left out"),
        Event::Refused { step, status, body } => format!("{step}: refused{}", refusal(*status, body)),
        Event::Unknown { step, error } => format!("{step}: unknown: {}", cut(error, 200)),
        Event::Undoing { reason } => format!("going back: {}", because(reason)),
        Event::UndoStarted { step } => format!("{step}: undo started"),
        Event::Undone { step } => format!("{step}: undone"),
        Event::Alert { step, error } => format!("{step}: alert: {}", cut(error, 200)),
        Event::Event { name, .. } => format!("event {name}"),
        Event::Child { step, outcome } => format!("{step}: its saga is {}", ended(outcome)),
        Event::Retried => "tried again by hand".to_owned(),
        Event::Ended { outcome } => ended(outcome),
    }
}

fn refusal(status: Option<u16>, body: &serde_json::Value) -> String {
    let status = status.map(|s| format!(" with {s}")).unwrap_or_default();
    if body.is_null() { status } else { format!("{status}: {}", cut(&body.to_string(), 200)) }
}

fn because(reason: &Reason) -> String {
    match reason {
        Reason::Refused { step, status, body } => format!("{step} was refused{}", refusal(*status, body)),
        Reason::Unknown { step, error } => format!("nobody knows what became of {step}: {}", cut(error, 200)),
        Reason::Deadline => "the deadline has passed".to_owned(),
        Reason::Cancelled => "somebody asked for it".to_owned(),
    }
}

fn ended(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done { .. } => "done".to_owned(),
        Outcome::Undone { reason } => format!("undone: {}", because(reason)),
    }
}

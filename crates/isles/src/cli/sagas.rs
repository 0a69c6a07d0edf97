//! `isles sagas`

use saga::store::{Status, Summary};
use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::output;
use super::place::{self, FileArg, Place};
use super::show::table::{self, Cell, Column, Row};
use super::show::{style, terminal, text};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: FileArg,
    /// Only of this definition
    #[arg(long, value_name = "NAME")]
    saga: Option<String>,
    /// Only with one of these: running, undoing, stuck, done, undone
    #[arg(long, value_name = "STATUS,…")]
    status: Option<String>,
    /// How many
    #[arg(short = 'n', value_name = "N", default_value_t = 20)]
    n: u16,
    /// Prints them as JSON
    #[arg(long)]
    json: bool,
}

/// What the API answers.
#[derive(Debug, Serialize, Deserialize)]
struct List {
    sagas: Vec<Summary>,
}

pub async fn run(args: Args, before: FileArg) -> Result<(), Failure> {
    let place = Place::find(args.file.or(before))?;
    place.status().await?;
    let mut path = format!("?limit={}", args.n);
    for (name, value) in [("saga", args.saga), ("status", args.status)] {
        if let Some(value) = value {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == ',';
            if !value.chars().all(plain) {
                return Err(Failure::usage(format!("`{value}` is no {name}")));
            }
            path.push_str(&format!("&{name}={value}"));
        }
    }
    let list: List = place.client().sagas(&path).await.map_err(explain)?;
    if args.json {
        return output::json(&list);
    }
    let (width, _) = terminal::size(&std::io::stdout());
    output::lines(&render(&list.sagas, place::now(), width))
}

/// An app without `[sagas]` has no such API.
pub fn explain(error: console::client::ClientError) -> Failure {
    match &error {
        console::client::ClientError::Refused(problem)
            if problem.code == "not_found" && problem.detail.contains("/v1/sagas") =>
        {
            Failure::failed("this app has no sagas")
                .help("declare them: `[sagas] files = [\"sagas/*.yaml\"]`")
        }
        _ => error.into(),
    }
}

fn render(sagas: &[Summary], now: u64, width: usize) -> Vec<String> {
    if sagas.is_empty() {
        return vec!["no sagas".to_owned()];
    }
    let column = |title, expendable| Column { title, right: false, expendable };
    let columns = [
        column("SAGA", 0),
        column("ID", 0),
        column("STATUS", 0),
        column("AGE", 1),
        column("TOOK", 2),
        column("KEY", 3),
    ];
    let row = |s: &Summary| {
        let took = s.ended_at.map(|end| text::age(end.saturating_sub(s.started_at))).unwrap_or_default();
        let cells = vec![
            Cell::plain(s.saga.as_str()),
            Cell::plain(s.id.as_str()),
            status(s),
            Cell::plain(text::age(now.saturating_sub(s.started_at))),
            Cell::plain(took),
            Cell::plain(cut(&s.key, 40)),
        ];
        Row { cells, below: Vec::new() }
    };
    table::render(&columns, &sagas.iter().map(row).collect::<Vec<_>>(), width)
}

/// A text from elsewhere, made harmless for a terminal and short.
pub fn cut(from: &str, columns: usize) -> String {
    text::truncate(&text::tame(from), columns, "…")
}

/// A status as it is shown everywhere.
fn status(saga: &Summary) -> Cell {
    let text = if saga.alert { format!("{} (alert)", saga.status) } else { saga.status.to_string() };
    match saga.status {
        Status::Stuck => Cell::painted(text, style::bad),
        _ if saga.alert => Cell::painted(text, style::bad),
        Status::Done => Cell::painted(text, style::good),
        Status::Running | Status::Undoing | Status::Undone => Cell::plain(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sagas_are_a_table() {
        let saga = |status, alert, ended_at| Summary {
            id: "01a2".to_owned(),
            saga: "checkout".to_owned(),
            key: "order-1".to_owned(),
            status,
            alert,
            started_at: 1_000,
            ended_at,
        };
        let sagas = [saga(Status::Undoing, true, None), saga(Status::Done, false, Some(3_000))];
        insta::assert_snapshot!(super::super::testing::plain(&render(&sagas, 61_000, 100)));
        assert_eq!(render(&[], 0, 80), ["no sagas"]);
    }
}

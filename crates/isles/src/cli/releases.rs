//! `isles releases`

use console::api::ReleaseInfo;

use super::failure::Failure;
use super::output;
use super::place::{self, FileArg, Place};
use super::show::table::{Cell, Column, Row};
use super::show::{style, table, terminal, text};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: FileArg,
    /// Of which service
    #[arg(value_name = "SERVICE")]
    service: String,
    /// Prints them as JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args, before: FileArg) -> Result<(), Failure> {
    let place = Place::find(args.file.or(before))?;
    place.status().await?;
    let releases = place.client().releases(&args.service).await?;
    if args.json {
        return output::json(&releases);
    }
    let (width, _) = terminal::size(&std::io::stdout());
    output::lines(&render(&releases, place::now(), width))
}

fn render(releases: &[ReleaseInfo], now: u64, width: usize) -> Vec<String> {
    let column = |title, right, expendable| Column { title, right, expendable };
    let columns = [
        column("RELEASE", false, 0),
        column("STATE", false, 0),
        column("REPLICAS", true, 1),
        column("MADE", true, 2),
        column("FILES", true, 4),
        column("SIZE", true, 3),
    ];
    let row = |release: &ReleaseInfo| {
        let state = match (&release.rollout, release.current) {
            (_, true) => Cell::painted("in charge", style::good),
            (Some(rollout), false) if rollout == "rolled_back" => Cell::painted("rolled back", style::bad),
            (Some(rollout), false) if rollout == "done" => Cell::plain("was in charge"),
            (Some(rollout), false) => Cell::plain(rollout.replace('_', " ")),
            (None, false) => Cell::plain("kept"),
        };
        let cells = vec![
            Cell::plain(&release.id),
            state,
            Cell::plain(release.replicas.to_string()),
            Cell::plain(text::age(now.saturating_sub(release.made_at))),
            Cell::plain(release.files.to_string()),
            Cell::plain(text::bytes(release.bytes)),
        ];
        let reason = release.reason.as_ref().filter(|_| !release.current);
        Row { cells, below: reason.map(|r| style::dim(&format!("  {r}"))).into_iter().collect() }
    };
    let rows: Vec<Row> = releases.iter().map(row).collect();
    table::render(&columns, &rows, width)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::plain;

    #[test]
    fn releases_say_what_became_of_them() {
        let release = |id: &str, current, rollout: Option<&str>, reason: Option<&str>| ReleaseInfo {
            id: id.to_owned(),
            made_at: 1_000,
            current,
            replicas: u32::from(current),
            rollout: rollout.map(str::to_owned),
            reason: reason.map(str::to_owned),
            files: 3,
            bytes: 4_200_000,
        };
        let releases = [
            release("cccccccccccc", false, Some("rolled_back"), Some("web-2 crashed: exit code 3")),
            release("bbbbbbbbbbbb", true, Some("done"), None),
            release("aaaaaaaaaaaa", false, Some("done"), None),
        ];
        insta::assert_snapshot!(plain(&render(&releases, 61_000, 100)), @r"
        RELEASE       STATE          REPLICAS  MADE  FILES    SIZE
        cccccccccccc  rolled back           0    1m      3  4.0 MB
          web-2 crashed: exit code 3
        bbbbbbbbbbbb  in charge             1    1m      3  4.0 MB
        aaaaaaaaaaaa  was in charge         0    1m      3  4.0 MB
        ");
    }
}

//! `isles ps`

use super::failure::Failure;
use super::place::{self, FileArg, Place};
use super::show::style::Symbols;
use super::show::terminal;
use super::{output, show};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: FileArg,
    /// Prints the app's whole state as JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(args: Args, before: FileArg) -> Result<(), Failure> {
    let status = Place::find(args.file.or(before))?.status().await?;
    if args.json {
        return output::json(&status);
    }
    let (width, _) = terminal::size(&std::io::stdout());
    output::lines(&show::ps::render(&status, place::now(), width, Symbols::of_locale()))
}

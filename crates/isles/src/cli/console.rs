//! `isles console`

use super::failure::Failure;
use super::output;
use super::place::{FileArg, Place};
use super::show::text;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: FileArg,
}

pub async fn run(args: Args, before: FileArg) -> Result<(), Failure> {
    let place = Place::find(args.file.or(before))?;
    let status = place.status().await?;
    let Some(url) = &status.console else {
        let why = status.console_problem.unwrap_or_else(|| "this app has no dashboard".to_owned());
        return Err(Failure::failed(text::plain(&why)));
    };
    let file = place.paths.console_token();
    let token = std::fs::read_to_string(&file)
        .map_err(|e| Failure::failed(format!("the token in {} cannot be read: {e}", file.display())))?;
    output::lines(&[format!("{url}/?token={}", token.trim())])
}

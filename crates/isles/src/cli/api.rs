//! `isles api`

use std::path::PathBuf;

use clap::ValueEnum;
use contract::{Day, Options, Report};

use super::failure::{Exit, Failure};
use super::output;
use super::place::{FileArg, Place};
use super::show::api as show;
use super::show::style::Symbols;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Compares two contracts and says what breaks consumers
    Diff(Diff),
    /// Shows which operations of a service are called, by whom and how often
    Usage(Usage),
    /// Shows where real requests and answers of a service are not as its contract says
    Drift(Drift),
}

#[derive(Debug, clap::Args)]
struct Drift {
    #[command(flatten)]
    file: FileArg,
    /// Of which service
    #[arg(value_name = "SERVICE")]
    service: String,
    /// Prints it as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Usage {
    #[command(flatten)]
    file: FileArg,
    /// Of which service
    #[arg(value_name = "SERVICE")]
    service: String,
    /// For how many days back; 30 at most
    #[arg(long, value_name = "DAYS", default_value_t = 7)]
    days: u64,
    /// Prints it as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A contract is an OpenAPI 3.0 or 3.1 document (JSON or YAML), a .proto file, or a folder of .proto files.\n\
    Exit codes: 0 nothing breaks; 2 a contract cannot be read; 3 something breaks, or cannot be decided.\n\
    Every rule: docs/rules/README.md"
)]
struct Diff {
    /// The contract that consumers know
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// The contract that is to take its place
    #[arg(value_name = "NEW")]
    new: PathBuf,
    /// How to show what was found
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs
    Json,
    /// For a comment in a review
    Markdown,
    /// Annotations of GitHub Actions
    Github,
}

pub fn run(args: Args, before: FileArg) -> Result<(), Failure> {
    match args.command {
        Command::Diff(args) => diff(&args),
        Command::Usage(args) => super::block_on(usage(args, before)),
        Command::Drift(args) => super::block_on(drift(args, before)),
    }
}

async fn drift(args: Drift, before: FileArg) -> Result<(), Failure> {
    let place = Place::find(args.file.or(before))?;
    place.status().await?;
    let report = place.client().drift(&args.service).await?;
    if args.json {
        return output::json(&report);
    }
    output::lines(&super::show::drift::render(&report, &args.service, super::place::now()))
}

async fn usage(args: Usage, before: FileArg) -> Result<(), Failure> {
    let place = Place::find(args.file.or(before))?;
    place.status().await?;
    let report = place.client().usage(&args.service, args.days).await?;
    if args.json {
        return output::json(&report);
    }
    let (width, _) = super::show::terminal::size(&std::io::stdout());
    output::lines(&super::show::usage::render(&report, super::place::now(), width))
}

fn diff(args: &Diff) -> Result<(), Failure> {
    let (old, new) = contract::load_both(&args.old, &args.new);
    let (old, new) = (old.map_err(|fault| refused(&fault))?, new.map_err(|fault| refused(&fault))?);
    let options = Options { today: Day::parse(&jiff::Timestamp::now().to_string()) };
    let report = contract::diff(&old, &new, &options).map_err(|fault| refused(&fault))?;
    show(args.format, &report)?;
    if report.verdict.is_acceptable() { Ok(()) } else { Err(Failure::Silent(Exit::Refused)) }
}

fn show(format: Format, report: &Report) -> Result<(), Failure> {
    match format {
        Format::Text => output::lines(&show::text(report, Symbols::of_locale())),
        Format::Json => output::json(report),
        Format::Markdown => output::lines(&show::markdown(report)),
        Format::Github => output::lines(&show::github(report)),
    }
}

fn refused(fault: &contract::Fault) -> Failure {
    let what = super::show::text::tame(&fault.to_string());
    Failure::usage(format!("{what} [{}]", fault.code)).help(fault.hint.clone())
}

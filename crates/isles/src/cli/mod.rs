//! The command line: what the user says, turned into calls, and what comes back, turned into text.
//!
//! One file a command. A command returns a [`Failure`] instead of printing it; what is shown is made by the pure
//! functions in [`show`].

mod api;
mod check;
mod completions;
mod console;
mod deploy;
mod doctor;
mod down;
mod failure;
mod follow;
mod init;
mod logs;
mod output;
mod place;
mod plan;
mod promote;
mod proxy;
mod ps;
#[cfg(test)]
mod reference;
mod releases;
mod restart;
mod rollback;
mod rollout;
mod saga;
mod sagas;
mod scale;
mod show;
#[cfg(test)]
mod testing;
mod top;
mod traces;
mod up;
mod wait;

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use failure::Failure;
use place::FileArg;

/// Runs a system of many small services: builds, starts, connects and watches them.
#[derive(Debug, Parser)]
#[command(
    name = "isles",
    version,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = "Exit codes: 0 done; 1 failed; 2 wrong use or manifest; 3 refused by a contract or the gate;\n\
        4 rolled back; 5 nothing is running.\n\
        Every command looks for isles.toml in this folder and in those above."
)]
struct Cli {
    #[command(flatten)]
    file: FileArg,

    /// When to use colours; NO_COLOR is respected
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: Color,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Writes a manifest for what is in this folder
    Init(init::Args),
    /// Checks the manifest and shows every fault in it
    Check(check::Args),
    /// Shows what `isles up` would change of what runs
    Plan(plan::Args),
    /// Builds and starts everything; where it runs already, puts the manifest in force
    Up(up::Args),
    /// Stops everything
    Down(down::Args),
    /// Shows every service and its replicas
    Ps(ps::Args),
    /// Shows who calls whom at the moment, until Ctrl-C
    Top(top::Args),
    /// Shows what services write
    Logs(logs::Args),
    /// Builds services anew and brings what comes of it into charge
    Deploy(deploy::Args),
    /// Shows the releases of a service
    Releases(releases::Args),
    /// Goes back to an older release, or ends a deploy that is under way
    Rollback(rollback::Args),
    /// Takes a canary into charge
    Promote(promote::Args),
    /// Replaces the replicas of services one after the other
    Restart(restart::Args),
    /// Sets how many replicas a service has
    Scale(scale::Args),
    /// Lists sagas, newest first
    Sagas(sagas::Args),
    /// Shows a saga, tries it again, or undoes it
    Saga(saga::Args),
    /// Shows the latest requests that were kept, with all the calls that were made because of them
    Traces(traces::ListArgs),
    /// Shows one of them as a waterfall
    Trace(traces::ShowArgs),
    /// Prints the address of the dashboard, with its token
    Console(console::Args),
    /// Waits until every service is ready
    Wait(wait::Args),
    /// The contracts of services: what breaks them, who uses them
    Api(api::Args),
    /// Looks for what would keep the app from running on this machine
    Doctor(doctor::Args),
    /// Writes a completion script for a shell
    Completions(completions::Args),
    /// The data plane; started by `isles up`
    #[command(hide = true)]
    Proxy(proxy::Args),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

/// Runs the command that this process was started with.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody is left to tell when the stream is closed. Help and version are no errors: their code is 0.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match cli.color {
        // What the environment and the stream say.
        Color::Auto => {}
        Color::Always => anstream::ColorChoice::Always.write_global(),
        Color::Never => anstream::ColorChoice::Never.write_global(),
    }
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    let file = cli.file;
    match cli.command {
        Command::Init(args) => init::run(args),
        Command::Check(args) => check::run(args, file),
        Command::Plan(args) => block_on(plan::run(args, file)),
        Command::Up(args) => up::run(args, file),
        Command::Down(args) => block_on(down::run(args, file)),
        Command::Ps(args) => block_on(ps::run(args, file)),
        Command::Top(args) => block_on(top::run(args, file)),
        Command::Logs(args) => block_on(logs::run(args, file)),
        Command::Deploy(args) => block_on(deploy::run(args, file)),
        Command::Releases(args) => block_on(releases::run(args, file)),
        Command::Rollback(args) => block_on(rollback::run(args, file)),
        Command::Promote(args) => block_on(promote::run(args, file)),
        Command::Restart(args) => block_on(restart::run(args, file)),
        Command::Scale(args) => block_on(scale::run(args, file)),
        Command::Sagas(args) => block_on(sagas::run(args, file)),
        Command::Saga(args) => block_on(saga::run(args, file)),
        Command::Console(args) => block_on(console::run(args, file)),
        Command::Traces(args) => block_on(traces::list(args, file)),
        Command::Trace(args) => block_on(traces::show(args, file)),
        Command::Wait(args) => block_on(wait::run(args, file)),
        Command::Api(args) => api::run(args, file),
        Command::Doctor(args) => block_on(doctor::run(args, file)),
        Command::Completions(args) => completions::run(args),
        Command::Proxy(args) => proxy::run(args),
    }
}

/// For commands that only talk to a running app.
fn block_on(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(command)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn command_lines_are_taken_or_refused() {
        for good in [
            "up",
            "up -d --no-build",
            "-f a/isles.toml up --detach",
            "up -f a/isles.toml",
            "down --color never",
            "ps --json",
            "logs",
            "logs -f -n 5 orders payments",
            "-f a/isles.toml logs -f",
            "logs --file a/isles.toml",
            "restart orders payments",
            "scale orders 0",
            "sagas --json --saga checkout --status running,stuck -n 5",
            "saga show x --json",
            "saga retry x",
            "saga undo x",
            "wait --timeout 500ms --json",
            "check --json",
            "doctor --json",
            "api diff a.yaml b.json",
            "api diff a.proto b.proto --format github",
            "completions zsh",
            "proxy --socket /tmp/s --workers 2",
        ] {
            let words = std::iter::once("isles").chain(good.split(' '));
            assert!(Cli::try_parse_from(words).is_ok(), "{good}");
        }
        for bad in [
            "",
            "dance",
            "up --json",
            "restart",
            "deploy",
            "deploy --all orders",
            "releases",
            "rollback",
            "promote",
            "scale orders",
            "scale orders -1",
            "scale orders many",
            "wait --timeout 10",
            "saga x",
            "saga show",
            "logs -n x",
            "api",
            "api diff a.yaml",
            "api diff a b --format xml",
            "completions tcsh",
            "--color blue ps",
        ] {
            let words = std::iter::once("isles").chain(bad.split(' ').filter(|w| !w.is_empty()));
            let error = Cli::try_parse_from(words).expect_err(bad);
            assert_eq!(error.exit_code(), 2, "{bad}");
        }
    }

    #[test]
    fn the_file_named_last_counts() {
        let cli = Cli::try_parse_from(["isles", "-f", "a", "ps", "-f", "b"]).unwrap();
        assert_eq!(cli.file.file.as_deref(), Some(std::path::Path::new("a")));
        let after = FileArg { file: Some("b".into()) };
        assert_eq!(after.or(cli.file).file, Some("b".into()));
    }
}

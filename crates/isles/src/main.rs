//! The `isles` command.
//!
//! `cli` is what the user sees; `wire` joins the mechanisms into a running app. Nothing else is here.

mod cli;
mod wire;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}

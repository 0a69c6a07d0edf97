//! The `isles` command.
//!
//! `cli` is what the user sees; `wire` joins the mechanisms into a running app; `sagas` reads the definitions for both.

mod cli;
mod sagas;
mod wire;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}

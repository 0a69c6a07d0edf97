//! The `isles` command.
//!
//! `cli` is what the user sees; `wire` joins the mechanisms into a running app; `sagas` reads the definitions for both;
//! `watch` tells what somebody changes; `gate` compares contracts.

mod cli;
mod gate;
mod sagas;
mod watch;
mod wire;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}

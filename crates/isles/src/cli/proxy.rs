//! `isles proxy`: the data plane, a process of its own that the control plane starts.

use std::path::PathBuf;

use super::failure::Failure;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The socket on which it takes its routing tables
    #[arg(long, value_name = "PATH")]
    socket: PathBuf,
    /// How many threads serve requests; one for each core when absent
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// Takes the place of the data plane that runs, once the control plane says so
    #[arg(long)]
    successor: bool,
}

pub fn run(args: Args) -> Result<(), Failure> {
    super::output::trace("info");
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let workers = args.workers.unwrap_or_else(cores);
    let options = ::proxy::Options {
        socket: args.socket,
        workers,
        patience: ::proxy::Patience::default(),
        successor: args.successor,
    };
    ::proxy::run(options).map_err(|e| Failure::failed(e.to_string()))
}

//! The orders service as a program.

use std::process::ExitCode;

fn main() -> ExitCode {
    service_kit::start::run("orders", shop_orders::build)
}

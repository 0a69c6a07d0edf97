//! Starts the payments service.

use std::process::ExitCode;

fn main() -> ExitCode {
    service_kit::start::run("payments", shop_payments::app::build)
}

//! The shop's accounts service.

use std::process::ExitCode;

fn main() -> ExitCode {
    service_kit::start::run("accounts", shop_accounts::app::build)
}

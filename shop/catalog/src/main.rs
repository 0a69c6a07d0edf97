//! The shop's catalog service.

use std::process::ExitCode;

fn main() -> ExitCode {
    service_kit::start::run("catalog", shop_catalog::app::build)
}

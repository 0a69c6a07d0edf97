//! Starts the inventory service.

use std::process::ExitCode;

fn main() -> ExitCode {
    service_kit::start::run("inventory", shop_inventory::app::build)
}

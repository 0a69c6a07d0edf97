//! `shop-load run` lets customers buy in a running shop; `shop-load audit` checks its books.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use shop_load::audit::{Verdict, audit_within};
use shop_load::client::{ClientError, Shop};
use shop_load::run::{Options, Report, run};

/// Customers and an auditor for a running shop.
#[derive(Debug, Parser)]
#[command(name = "shop-load", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Let customers buy, and report what they met. Exit code 1 if something unexpected happened.
    Run(RunArgs),
    /// Check the shop's books. Exit code 1 if something does not add up.
    Audit(AuditArgs),
}

#[derive(Debug, Args)]
struct RunArgs {
    /// Where the shop's gateway listens.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    url: String,
    /// How many customers shop at the same time.
    #[arg(long, default_value_t = 8)]
    customers: usize,
    /// Stop after so many seconds (`30`, `30s`, `2m`).
    #[arg(long, value_parser = parse_duration)]
    duration: Option<Duration>,
    /// Stop after so many purchases, refused ones included.
    #[arg(long)]
    orders: Option<u64>,
    /// The same seed makes the same wishes.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct AuditArgs {
    /// Where the shop's gateway listens.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    url: String,
    /// The admin's e-mail address.
    #[arg(long, env = "SHOP_ADMIN_EMAIL")]
    admin_email: String,
    /// The admin's password; better given in the environment, where other users cannot see it.
    #[arg(long, env = "SHOP_ADMIN_PASSWORD", hide_env_values = true)]
    admin_password: String,
    /// How long to wait for unfinished work to end (`30`, `30s`, `2m`).
    #[arg(long, value_parser = parse_duration, default_value = "0")]
    wait: Duration,
    /// Print the verdict as JSON.
    #[arg(long)]
    json: bool,
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let (number, seconds_each) = match text.strip_suffix('m') {
        Some(minutes) => (minutes, 60.0),
        None => (text.strip_suffix('s').unwrap_or(text), 1.0),
    };
    number
        .parse::<f64>()
        .ok()
        .and_then(|number| Duration::try_from_secs_f64(number * seconds_each).ok())
        .ok_or_else(|| format!("`{text}` is no duration: write 30, 30s or 2m"))
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(args) => run_command(args).await,
        Command::Audit(args) => audit_command(args).await,
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(fault) => {
            eprintln!("shop-load: {fault}");
            ExitCode::FAILURE
        }
    }
}

async fn run_command(args: RunArgs) -> Result<bool, ClientError> {
    let options = Options {
        customers: args.customers,
        duration: args.duration,
        purchases: args.orders,
        seed: args.seed,
    };
    let report = run(&Shop::at(&args.url)?, &options).await?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report).unwrap_or_default());
    } else {
        print_report(&report);
    }
    Ok(report.unexpected.is_empty() && report.count("unknown") == 0)
}

async fn audit_command(args: AuditArgs) -> Result<bool, ClientError> {
    let shop = Shop::at(&args.url)?;
    let verdict = audit_within(&shop, &args.admin_email, &args.admin_password, args.wait).await?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&verdict).unwrap_or_default());
    } else {
        print_verdict(&verdict);
    }
    Ok(verdict.is_clean())
}

fn print_report(report: &Report) {
    let purchases: u64 = report.endings.values().sum();
    println!("{purchases} purchases in {:.1} s", report.seconds);
    for (ending, count) in &report.endings {
        println!("{count:>8}  {ending}");
    }
    println!("{:<22}{:>8}{:>12}{:>12}{:>12}", "step", "count", "p50 ms", "p99 ms", "max ms");
    for (step, times) in &report.latency {
        println!(
            "{step:<22}{:>8}{:>12.1}{:>12.1}{:>12.1}",
            times.count, times.p50_ms, times.p99_ms, times.max_ms
        );
    }
    for (fault, count) in &report.unexpected {
        println!("unexpected, {count} times: {fault}");
    }
}

fn print_verdict(verdict: &Verdict) {
    println!(
        "{} orders ({} sold), {} payments, {} SKUs, {} stock movements",
        verdict.orders, verdict.sold, verdict.payments, verdict.skus, verdict.movements
    );
    for violation in &verdict.violations {
        println!("VIOLATION {violation}");
    }
    if verdict.is_clean() {
        println!("everything adds up");
    } else {
        println!("{} violations", verdict.violations.len());
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(parse_duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert!(parse_duration("-1").is_err());
        assert!(parse_duration("soon").is_err());
    }
}

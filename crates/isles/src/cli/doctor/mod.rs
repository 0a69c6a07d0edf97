//! `isles doctor`: what would keep the app from running here, each with what to do about it.

mod machine;
mod project;

use console::client::ClientError;
use model::Limits;
use serde::Serialize;

use self::machine::Wanted;
use super::failure::{Exit, Failure};
use super::output;
use super::place::{FileArg, Place};
use super::show::style::{self, Symbols};
use super::show::text::{count, pad};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: FileArg,
    /// Prints the findings as JSON
    #[arg(long)]
    json: bool,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// It works, but not always or not in full.
    Warn,
    /// The app cannot run so.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub topic: String,
    /// How it is.
    pub level: Level,
    /// What was found.
    pub found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Finding {
    fn ok(topic: impl Into<String>, found: impl Into<String>) -> Self {
        Self { topic: topic.into(), level: Level::Ok, found: found.into(), fix: None }
    }

    fn warn(topic: impl Into<String>, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { level: Level::Warn, fix: Some(fix.into()), ..Self::ok(topic, found) }
    }

    fn fail(topic: impl Into<String>, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { level: Level::Fail, fix: Some(fix.into()), ..Self::ok(topic, found) }
    }
}

#[derive(Serialize)]
struct Report<'a> {
    ok: bool,
    findings: &'a [Finding],
}

pub async fn run(args: Args, before: FileArg) -> Result<(), Failure> {
    let place = Place::find(args.file.or(before))?;
    let running = match place.client().status().await {
        Ok(_) => project::Running::Yes,
        Err(ClientError::NothingRunning) => project::Running::No,
        Err(error) => project::Running::Unwell(error.to_string()),
    };
    let parsed = manifest::load(&place.manifest);
    let mut findings = project::look(&place, &parsed, &running);
    let wanted = parsed.map_or_else(
        |_| Wanted::default(),
        |p| {
            let some = |has: fn(&Limits) -> bool| p.desired.services.values().any(|s| has(&s.limits));
            Wanted { memory: some(|l| l.memory.is_some()), cpu: some(|l| l.cpu.is_some()) }
        },
    );
    findings.extend(machine::look(place.root(), wanted));
    let ok = findings.iter().all(|f| f.level != Level::Fail);
    if args.json {
        output::json(&Report { ok, findings: &findings })?;
    } else {
        output::lines(&render(&findings, Symbols::of_locale()))?;
    }
    if ok { Ok(()) } else { Err(Failure::Silent(Exit::Failed)) }
}

/// The findings as text, and how many are bad.
fn render(findings: &[Finding], symbols: Symbols) -> Vec<String> {
    let width = findings.iter().map(|f| f.topic.len()).max().unwrap_or(0);
    let mut lines = Vec::new();
    for finding in findings {
        let symbol = match finding.level {
            Level::Ok => style::good(symbols.done),
            Level::Warn => style::busy(symbols.warning),
            Level::Fail => style::bad(symbols.failed),
        };
        lines.push(format!("{symbol} {} {}", pad(&finding.topic, width), finding.found));
        if let Some(fix) = &finding.fix {
            lines.push(format!("  {} {} {fix}", pad("", width), style::note("fix:")));
        }
    }
    let number = |level| findings.iter().filter(|f| f.level == level).count();
    let verdict = match (number(Level::Fail), number(Level::Warn)) {
        (0, 0) => style::good("everything is as it should be"),
        (0, warnings) => style::busy(&format!("it will run; {}", count(warnings, "warning"))),
        (failures, 0) => style::bad(&format!("it will not run: {}", count(failures, "problem"))),
        (failures, warnings) => style::bad(&format!(
            "it will not run: {}, {}",
            count(failures, "problem"),
            count(warnings, "warning")
        )),
    };
    lines.extend([String::new(), verdict]);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::show::style::UNICODE;

    #[test]
    fn findings_are_aligned_and_counted() {
        let findings = [
            Finding::ok("git", "/usr/bin/git"),
            Finding::warn("open files", "at most 256", "raise it"),
            Finding::fail("port 8080", "taken", "free it"),
        ];
        insta::assert_snapshot!(crate::cli::testing::plain(&render(&findings, UNICODE)), @r"
        ✓ git        /usr/bin/git
        ! open files at most 256
                     fix: raise it
        ✗ port 8080  taken
                     fix: free it

        it will not run: 1 problem, 1 warning
        ");
    }
}

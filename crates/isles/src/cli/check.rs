//! `isles check`

use std::path::Path;

use manifest::{Fault, LoadError, Parsed};
use serde::Serialize;

use super::failure::{Exit, Failure};
use super::output;
use super::place::{FileArg, Place};
use super::show::style::{self, Symbols};
use super::show::terminal;
use super::show::text::count;
use crate::sagas;

/// Faults are drawn no wider than this where there is no terminal.
const WIDEST: usize = 120;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: FileArg,
    /// Prints the faults as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args, before: FileArg) -> Result<(), Failure> {
    let place = Place::find(args.file.or(before))?;
    if args.json {
        return as_json(&place.manifest);
    }
    let parsed = load(&place.manifest)?;
    let line = format!("{} {}", style::good(Symbols::of_locale().done), summary(&parsed));
    output::lines(&[line])
}

/// Reads the manifest and shows what is wrong with it, and with the definitions of sagas.
pub fn load(path: &Path) -> Result<Parsed, Failure> {
    let parsed = load_manifest(path)?;
    check_sagas(&parsed)?;
    Ok(parsed)
}

/// The same without the sagas: those that run are what a deploy has to fit, which the gate sees to.
pub fn load_manifest(path: &Path) -> Result<Parsed, Failure> {
    let name = short(path);
    let parsed = match manifest::load(path) {
        Ok(parsed) => parsed,
        Err(error) => {
            output::note(error.render(&name, true, width()).trim_end())?;
            return Err(match &error {
                LoadError::Faults { faults, .. } => {
                    let what = format!("{} in {name}", count(faults.errors(), "error"));
                    output::note(format!("\n{}: {what}", style::bad("error")))?;
                    Failure::Silent(Exit::Usage)
                }
                LoadError::Read { .. } => Failure::Silent(Exit::Usage),
            });
        }
    };
    if !parsed.warnings.is_empty() {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        output::note(manifest::render(&parsed.warnings, &name, &text, true, width()).trim_end())?;
        output::note("")?;
    }
    Ok(parsed)
}

/// Shows what is wrong with the definitions of sagas.
fn check_sagas(parsed: &Parsed) -> Result<(), Failure> {
    let Err(broken) = sagas::load(&parsed.desired) else { return Ok(()) };
    let mut errors = 0;
    for file in &broken {
        let name = file.faults.first().map(|f| short(&f.file)).unwrap_or_default();
        output::note(file.render(&name, true, width()).trim_end())?;
        output::note("")?;
        errors += file.faults.len();
    }
    let what = format!("{} in {}", count(errors, "error"), count(broken.len(), "saga definition"));
    output::note(format!("{}: {what}", style::bad("error")))?;
    Err(Failure::Silent(Exit::Usage))
}

/// What a manifest declares, in one line.
fn summary(parsed: &Parsed) -> String {
    let desired = &parsed.desired;
    let mut parts = vec![count(desired.services.len(), "service")];
    let calls = desired.edges().count();
    if calls > 0 {
        parts.push(count(calls, "call") + " between them");
    }
    if !desired.saga_files.is_empty() {
        parts.push("sagas".to_owned());
    }
    if !desired.externals.is_empty() {
        parts.push(count(desired.externals.len(), "external system"));
    }
    if let Some(gateway) = &desired.gateway {
        parts.push(format!("{} at {}", count(gateway.routes.len(), "gateway route"), gateway.listen));
    }
    format!("{} is well declared: {}", style::strong(desired.name.as_str()), parts.join(", "))
}

#[derive(Serialize)]
struct Verdict<'a> {
    ok: bool,
    app: Option<&'a str>,
    services: Vec<&'a str>,
    faults: &'a [Fault],
    problem: Option<String>,
}

fn as_json(path: &Path) -> Result<(), Failure> {
    let nothing = Verdict { ok: false, app: None, services: Vec::new(), faults: &[], problem: None };
    match manifest::load(path) {
        Ok(Parsed { desired, mut warnings }) => {
            let broken = sagas::load(&desired).err().unwrap_or_default();
            let ok = broken.is_empty();
            warnings.extend(broken.into_iter().flat_map(|file| file.faults));
            output::json(&Verdict {
                ok,
                app: Some(desired.name.as_str()),
                services: desired.services.keys().map(|name| name.as_str()).collect(),
                faults: &warnings,
                problem: None,
            })?;
            if ok { Ok(()) } else { Err(Failure::Silent(Exit::Usage)) }
        }
        Err(error) => {
            match &error {
                LoadError::Faults { faults, .. } => output::json(&Verdict { faults: &faults.0, ..nothing })?,
                LoadError::Read { .. } => {
                    output::json(&Verdict { problem: Some(error.to_string()), ..nothing })?;
                }
            }
            Err(Failure::Silent(Exit::Usage))
        }
    }
}

/// The path from the current folder, where it is below that.
fn short(path: &Path) -> String {
    let here = std::env::current_dir().and_then(|here| here.canonicalize());
    let below = here.ok().and_then(|here| path.strip_prefix(here).ok().map(Path::to_owned));
    below.unwrap_or_else(|| path.to_owned()).display().to_string()
}

fn width() -> usize {
    terminal::size(&std::io::stderr()).0.min(WIDEST)
}

//! The saga definitions of an app: found, read, and checked against the contracts of its services.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use manifest::{Fault, Severity};
use model::DesiredState;
use saga::contracts::{Contract, Contracts};
use saga::definition::{self, fault};
use saga::plan::Plan;

/// What is wrong with one file.
#[derive(Debug)]
pub struct Broken {
    /// Its text, which the faults are about.
    text: String,
    /// Every fault; their `file` is where they are.
    pub faults: Vec<Fault>,
}

impl Broken {
    /// Draws every fault. `name` says what to call the file.
    pub fn render(&self, name: &str, color: bool, width: usize) -> String {
        manifest::render(&self.faults, name, &self.text, color, width)
    }

    fn unreadable(path: &Path, message: String) -> Self {
        let fault = Fault {
            code: fault::code::UNREADABLE,
            severity: Severity::Error,
            message,
            file: path.to_owned(),
            span: 0..0,
            line: 1,
            column: 1,
            label: String::new(),
            hint: None,
            related: Vec::new(),
        };
        Self { text: String::new(), faults: vec![fault] }
    }

    fn of(path: &Path, text: &str, faults: Vec<fault::Fault>) -> Self {
        let faults = faults.into_iter().map(|f| Fault {
            code: f.code,
            severity: if f.severity == fault::Severity::Error { Severity::Error } else { Severity::Warning },
            message: f.message,
            file: path.to_owned(),
            span: f.span,
            line: f.line,
            column: f.column,
            label: String::new(),
            hint: f.hint,
            related: f.related,
        });
        Self { text: text.to_owned(), faults: faults.collect() }
    }
}

/// Reads every definition.
///
/// # Errors
/// Every fault of every file.
pub fn load(desired: &DesiredState) -> Result<Vec<Plan>, Vec<Broken>> {
    let (mut broken, mut files) = (Vec::new(), BTreeSet::new());
    for pattern in &desired.saga_files {
        match find(pattern) {
            Ok(found) => files.extend(found),
            Err(message) => broken.push(Broken::unreadable(pattern, message)),
        }
    }
    let mut texts = Vec::new();
    for file in files {
        match std::fs::read_to_string(&file) {
            Ok(text) => texts.push((file, text)),
            Err(error) => {
                broken.push(Broken::unreadable(&file, format!("{} cannot be read: {error}", file.display())))
            }
        }
    }
    let contracts = if texts.is_empty() { Contracts::new() } else { contracts(desired, &mut broken) };
    let plain: Vec<&str> = texts.iter().map(|(_, text)| text.as_str()).collect();
    let mut plans = Vec::new();
    for (read, (file, text)) in definition::read_all(&plain, &contracts).into_iter().zip(&texts) {
        match read {
            Ok(plan) => plans.push(plan),
            Err(faults) => broken.push(Broken::of(file, text, faults)),
        }
    }
    if broken.is_empty() { Ok(plans) } else { Err(broken) }
}

/// The files that a pattern names, or one that is named plainly.
fn find(pattern: &Path) -> Result<Vec<PathBuf>, String> {
    let shown = pattern.display();
    let text = pattern.to_str().ok_or_else(|| format!("{shown} is not UTF-8"))?;
    let paths = glob::glob(text).map_err(|e| format!("{shown} is not a pattern: {e}"))?;
    let found: Vec<PathBuf> = paths.flatten().filter(|path| path.is_file()).collect();
    if found.is_empty() { Err(format!("there is no file {shown}")) } else { Ok(found) }
}

/// The contracts of the services, as far as they are OpenAPI documents.
fn contracts(desired: &DesiredState, broken: &mut Vec<Broken>) -> Contracts {
    let mut contracts = Contracts::new();
    for service in desired.services.values() {
        let openapi = service.contract.as_ref().filter(|path| path.extension().is_none_or(|e| e != "proto"));
        let contract = openapi.and_then(|path| {
            let text = std::fs::read_to_string(path).map_err(|e| e.to_string());
            match text.and_then(|text| Contract::read(&text)) {
                Ok(contract) => Some(contract),
                Err(error) => {
                    let message = format!("the contract {} cannot be read: {error}", path.display());
                    broken.push(Broken::unreadable(path, message));
                    None
                }
            }
        });
        contracts.insert(service.name.to_string(), contract);
    }
    contracts
}

//! Contracts from texts in memory.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use contract::{Contract, Day, Options, Report};

/// Reads the first of some files.
pub fn load(files: &[(&str, &str)]) -> Contract {
    let all: HashMap<PathBuf, String> = files.iter().map(|(n, t)| ((*n).into(), (*t).to_owned())).collect();
    contract::load_from(&all, Path::new(files[0].0)).unwrap_or_else(|fault| panic!("{fault}\n{}", files[0].1))
}

/// Compares two texts, on the first of June 2026.
pub fn diff(old: &str, new: &str) -> Report {
    let options = Options { today: Day::parse("2026-06-01") };
    contract::diff(&load(&[("old.yaml", old)]), &load(&[("new.yaml", new)]), &options).unwrap()
}

/// The rules of what is not safe, each once, sorted.
pub fn found(report: &Report) -> Vec<&str> {
    let mut rules: Vec<&str> = report
        .changes
        .iter()
        .filter(|c| c.severity > contract::Severity::Safe)
        .map(|c| c.rule.as_str())
        .collect();
    rules.sort_unstable();
    rules.dedup();
    rules
}

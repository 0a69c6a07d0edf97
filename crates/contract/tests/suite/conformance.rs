//! Verdicts beside those of other checkers, on their own test data (`../shared/conformance` beside the repository).
//!
//! The data is not part of the project. Where it is missing the test says so and holds nothing.

use std::path::{Path, PathBuf};

use contract::{Options, Verdict};

fn data(name: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance").join(name);
    if folder.join("expected.tsv").is_file() {
        return Some(folder);
    }
    println!("skipped: {} is not there", folder.display());
    None
}

/// How many of a class are found, and which are not.
#[derive(Debug, Default)]
struct Recall {
    found: usize,
    missed: Vec<String>,
}

impl Recall {
    fn count(&mut self, found: bool, id: &str) {
        if found {
            self.found += 1;
        } else {
            self.missed.push(id.to_owned());
        }
    }

    fn of(&self) -> usize {
        self.found + self.missed.len()
    }
}

#[test]
fn openapi_pairs() {
    let Some(folder) = data("openapi-pairs") else { return };
    let expected = std::fs::read_to_string(folder.join("expected.tsv")).unwrap();
    let (mut breaking, mut fine) = (Recall::default(), Recall::default());
    for line in expected.lines().skip(1) {
        let columns: Vec<&str> = line.split('\t').collect();
        let [id, base, revision, verdict, ..] = columns[..] else { panic!("{line}") };
        let read = |file: &str| contract::load(&folder.join(id).join(file)).unwrap();
        let report = contract::diff(&read(base), &read(revision), &Options::default()).unwrap();
        let found = report.verdict == Verdict::Breaking;
        if found != (verdict == "breaking") {
            println!(
                "{id}: {} instead of {verdict} {}",
                report.verdict.name(),
                columns.get(4).unwrap_or(&"")
            );
            for change in
                report.changes.iter().filter(|c| c.severity >= contract::Severity::Warning || !found)
            {
                println!("    {} {} {}", change.severity.name(), change.rule, change.sentence);
            }
        }
        match verdict {
            "breaking" => breaking.count(found, id),
            _ => fine.count(!found, id),
        }
    }
    println!("breaking {}/{}, non-breaking {}/{}", breaking.found, breaking.of(), fine.found, fine.of());
    documented(breaking.missed.iter().chain(&fine.missed));
    // The level reached; see conformance.md.
    assert!(breaking.found >= 110 && fine.found >= 80, "{breaking:?} {fine:?}");
}

/// Every pair on which we differ has its reason written down.
fn documented<'a>(ids: impl Iterator<Item = &'a String>) {
    let page = include_str!("../../conformance.md");
    for id in ids {
        assert!(page.contains(&format!("`{id}`")), "{id} has no reason in crates/contract/conformance.md");
    }
}

/// Beyond WIRE_JSON a gate has to refuse removed methods and services.
const REMOVALS: [&str; 4] = [
    "breaking_package_no_delete",
    "breaking_package_service_no_delete",
    "breaking_rpc_no_delete",
    "breaking_service_no_delete",
];

#[test]
fn proto_pairs() {
    let Some(folder) = data("proto-pairs") else { return };
    let expected = std::fs::read_to_string(folder.join("expected.tsv")).unwrap();
    let (mut breaking, mut fine) = (Recall::default(), Recall::default());
    let mut unreadable = 0;
    for line in expected.lines().skip(1) {
        let columns: Vec<&str> = line.split('\t').collect();
        let [id, _, _, wire_json, ..] = columns[..] else { panic!("{line}") };
        let wanted = wire_json == "breaking" || REMOVALS.contains(&id);
        let read = |side: &str| contract::load(&folder.join(id).join(side));
        match (read("base"), read("revision")) {
            (Ok(base), Ok(revision)) => {
                let report = contract::diff(&base, &revision, &Options::default()).unwrap();
                let found = report.verdict == Verdict::Breaking;
                if wanted { breaking.count(found, id) } else { fine.count(!found, id) }
            }
            (base, revision) => {
                // The compiler does not know editions: such files are refused, and never called fine.
                let fault = base.err().or(revision.err()).unwrap();
                assert!(fault.message.contains("edition"), "{id}: {fault}");
                unreadable += 1;
            }
        }
    }
    println!(
        "breaking {}/{}, non-breaking {}/{}, unreadable {unreadable}",
        breaking.found,
        breaking.of(),
        fine.found,
        fine.of()
    );
    assert!(breaking.missed.is_empty() && fine.missed.is_empty(), "{breaking:?} {fine:?}");
    assert!(breaking.of() >= 29 && fine.of() >= 7, "{unreadable} cannot be read");
}

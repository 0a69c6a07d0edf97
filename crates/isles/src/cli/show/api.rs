//! What a comparison of contracts found, for people, for reviews and for GitHub.

use contract::{Change, Report, Severity, Verdict};

use super::style::{self, Symbols};
use super::text::{count, tame};

/// For people: by operation, the worst first, with place and hint where something is to be done.
pub fn text(report: &Report, symbols: Symbols) -> Vec<String> {
    let mut lines = Vec::new();
    for (operation, changes) in groups(report) {
        lines.push(style::strong(&tame(operation)));
        for change in changes {
            let (sign, paint): (&str, fn(&str) -> String) = match change.severity {
                Severity::Breaking => (symbols.failed, style::bad),
                Severity::Unknown => ("?", style::bad),
                Severity::Warning => (symbols.warning, style::busy),
                Severity::Safe => (symbols.done, style::dim),
            };
            let name = format!("{sign} {:<8}", change.severity.name());
            let sentence = tame(&change.sentence);
            if change.severity == Severity::Safe {
                lines.push(format!("  {} {}", paint(&name), style::dim(&sentence)));
                continue;
            }
            lines.push(format!("  {} {sentence}", paint(&name)));
            let at = style::dim(&format!("{}  {}", tame(&places(change)), change.rule));
            lines.push(format!("             {at}"));
            lines.push(format!("             {} {}", style::note("help:"), change.hint));
        }
        lines.push(String::new());
    }
    lines.push(summary(report, symbols));
    lines
}

fn summary(report: &Report, symbols: Symbols) -> String {
    let (sign, what) = match report.verdict {
        Verdict::Same => (style::good(symbols.done), "nothing that a consumer could notice has changed"),
        Verdict::Safe => (style::good(symbols.done), "no consumer breaks"),
        Verdict::Warning => (style::busy(symbols.warning), "no consumer that keeps to the contract breaks"),
        Verdict::Unknown => (style::bad("?"), "it cannot be decided whether consumers break"),
        Verdict::Breaking => (style::bad(symbols.failed), "consumers break"),
    };
    match counts(report) {
        counts if counts.is_empty() => format!("{sign} {what}"),
        counts => format!("{sign} {what}: {counts}"),
    }
}

/// `2 breaking, 1 unknown, 3 warnings, 5 safe`
fn counts(report: &Report) -> String {
    let of = |severity| report.count(severity);
    let mut parts = Vec::new();
    for (number, name) in [(of(Severity::Breaking), "breaking"), (of(Severity::Unknown), "unknown")] {
        if number > 0 {
            parts.push(format!("{number} {name}"));
        }
    }
    match of(Severity::Warning) {
        0 => {}
        number => parts.push(count(number, "warning")),
    }
    match of(Severity::Safe) {
        0 => {}
        number => parts.push(format!("{number} safe")),
    }
    parts.join(", ")
}

/// The changes by operation; those of no operation come first.
fn groups(report: &Report) -> Vec<(&str, Vec<&Change>)> {
    let mut groups: Vec<(&str, Vec<&Change>)> = Vec::new();
    for change in &report.changes {
        let name = change.operation.as_ref().map_or("the whole contract", |o| &o.key);
        match groups.last_mut() {
            Some((last, changes)) if *last == name => changes.push(change),
            _ => groups.push((name, vec![change])),
        }
    }
    groups
}

fn places(change: &Change) -> String {
    match (&change.place_old, &change.place_new) {
        (Some(old), Some(new)) => format!("{new} (was {old})"),
        (Some(old), None) => format!("was {old}"),
        (None, Some(new)) => new.to_string(),
        (None, None) => String::new(),
    }
}

/// For a comment in a review.
pub fn markdown(report: &Report) -> Vec<String> {
    let what = match report.verdict {
        Verdict::Same => "Nothing that a consumer could notice has changed.",
        Verdict::Safe => "No consumer breaks.",
        Verdict::Warning => "No consumer that keeps to the contract breaks.",
        Verdict::Unknown => "It cannot be decided whether consumers break.",
        Verdict::Breaking => "**Consumers break.**",
    };
    let mut lines =
        vec![format!("## API changes: {}", report.verdict.name()), String::new(), what.to_owned()];
    for (operation, changes) in groups(report) {
        lines.extend([String::new(), format!("### {}", escaped(operation)), String::new()]);
        for change in changes {
            lines.push(format!(
                "- **{}**: {} (`{}`)",
                change.severity.name(),
                escaped(&change.sentence),
                change.rule
            ));
            if change.severity > Severity::Safe {
                lines.push(format!("  - {}", escaped(&places(change))));
                lines.push(format!("  - To do: {}", escaped(&change.hint)));
            }
        }
    }
    let counts = counts(report);
    if !counts.is_empty() {
        lines.extend([String::new(), format!("{counts}.")]);
    }
    lines
}

/// What comes from contracts is text there, and no markup; code spans are ours.
fn escaped(text: &str) -> String {
    let text = tame(text).replace('&', "&amp;").replace('<', "&lt;").replace('|', "\\|");
    text.replace('[', "&#91;").replace(']', "&#93;")
}

/// Workflow commands of GitHub Actions: an annotation at each place where something is to be done.
pub fn github(report: &Report) -> Vec<String> {
    let told = report.changes.iter().filter(|change| change.severity > Severity::Safe);
    told.map(|change| {
        let level = if change.severity == Severity::Warning { "warning" } else { "error" };
        let place = change
            .place()
            .map(|place| format!("file={},line={},col={},", property(&place.file), place.line, place.column));
        let operation = change.operation.as_ref().map(|o| format!("{}: ", o.key)).unwrap_or_default();
        let message = format!("{operation}{}. To do: {}.", change.sentence, change.hint);
        format!("::{level} {}title={}::{}", place.unwrap_or_default(), property(&change.rule), data(&message))
    })
    .collect()
}

/// What GitHub's runner reads as an end of a message.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::cli::show::style::ASCII;
    use crate::cli::testing::plain;

    fn report() -> Report {
        let old = "paths:\n  /a/{id}:\n    get:\n      operationId: a\n      responses: {200: {description: x}}\n  /b: {get: {}}\n";
        let new = "paths:\n  /a/{id}:\n    get:\n      operationId: '<b>|[x](y)'\n      parameters:\n      - {name: \"q,1\\n\", in: query, required: true}\n      responses: {200: {description: x}}\n  /c: {get: {}}\n";
        let files: HashMap<PathBuf, String> =
            [("old.yaml", old), ("new.yaml", new)].map(|(n, t)| (n.into(), t.to_owned())).into();
        let load = |name: &str| contract::load_from(&files, Path::new(name)).unwrap();
        contract::diff(&load("old.yaml"), &load("new.yaml"), &contract::Options::default()).unwrap()
    }

    #[test]
    fn people_see_what_to_do() {
        let text = plain(&text(&report(), ASCII));
        assert_eq!(
            text,
            "GET /a/{id}\n  \
             x breaking the query parameter `q,1` is new and required\n             \
             new.yaml:6:9  new-required-request-parameter\n             \
             help: make it optional, with a default\n  \
             ! warning  the `operationId` is `<b>|[x](y)` instead of `a`\n             \
             new.yaml:4:7 (was old.yaml:4:7)  operation-id-changed\n             \
             help: keep the `operationId`\n\n\
             GET /b\n  \
             x breaking the operation is gone, and was not deprecated\n             \
             was old.yaml:6:8  operation-removed\n             \
             help: keep it, mark it as `deprecated`, give it an `x-sunset`, and remove it after that day\n\n\
             GET /c\n  \
             + safe     the operation is new\n\n\
             x consumers break: 2 breaking, 1 warning, 1 safe\n"
        );
    }

    #[test]
    fn annotations_are_one_line_each() {
        let lines = github(&report());
        assert_eq!(lines.len(), 3);
        assert_eq!(
            lines[0],
            "::error file=new.yaml,line=6,col=9,title=new-required-request-parameter::GET /a/{id}: the query parameter \
             `q,1%0A` is new and required. To do: make it optional, with a default."
        );
        assert!(lines[1].starts_with("::warning file=new.yaml,line=4,"), "{}", lines[1]);
    }

    #[test]
    fn contracts_cannot_write_markup() {
        let text = markdown(&report()).join("\n");
        assert!(text.contains("`&lt;b>\\|&#91;x&#93;(y)`"), "{text}");
        assert!(text.starts_with("## API changes: breaking\n"), "{text}");
    }
}

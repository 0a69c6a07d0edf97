//! Commands: words, templates in them, and the program's path.

use std::ops::Range;
use std::path::Path;

use model::{Build, Command, Segment, Template};

use crate::fault::{Fault, Sink};
use crate::keys::Kind;
use crate::template::Scope;
use crate::value::Value;
use crate::{code, paths};

const OPERATORS: [&str; 10] = ["&&", "||", "|", ";", "&", ">", ">>", "<", "2>", "2>&1"];

/// A command whose words are templates.
pub(crate) fn command(value: Value<'_>, dir: &Path, scope: &Scope<'_>) -> Command {
    let mut templates: Vec<Template> =
        words(value).iter().map(|(word, span)| scope.template(word, span)).collect();
    if let Some(program) = templates.first_mut() {
        locate(program, dir);
    }
    Command(templates)
}

/// A build: words as they stand.
pub(crate) fn build(value: Value<'_>, dir: &Path) -> Build {
    let mut plain = Vec::new();
    for (word, span) in words(value) {
        if let Some(at) = word.find("${") {
            value.sink.push(
                Fault::warning(
                    code::NOT_FILLED_IN,
                    value.sink.narrow(&span, &word[at..]),
                    "nothing is filled in here: `${…}` stays as it is",
                )
                .hint("a build gets the environment that Isles was started in"),
            );
        }
        plain.push(word);
    }
    if let Some(program) = plain.first_mut()
        && program.contains('/')
        && let Some(path) = paths::join(dir, &*program).to_str()
    {
        *program = path.to_owned();
    }
    Build(plain)
}

/// Makes a program's path absolute where it has a slash; a bare name is looked for in `PATH`.
fn locate(program: &mut Template, dir: &Path) {
    let slash = program.0.iter().any(|s| matches!(s, Segment::Literal(text) if text.contains('/')));
    let whole = program.0.len() == 1;
    let Some(Segment::Literal(first)) = program.0.first_mut() else { return };
    if !slash || first.starts_with('/') {
        return;
    }
    // With a variable in the path its end is not known, so `..` cannot be taken back yet.
    let path = if whole { paths::join(dir, &*first) } else { dir.join(&*first) };
    if let Some(path) = path.to_str() {
        *first = path.to_owned();
    }
}

/// The words of a command, each with its place; none, with a fault, where there is no program.
fn words(value: Value<'_>) -> Vec<(String, Range<usize>)> {
    let words = if value.is_array() { array(value) } else { split(&value) };
    let Some(words) = words else { return Vec::new() };
    match words.first() {
        Some((program, _)) if !program.is_empty() => words,
        _ => {
            let message = format!("`{}` has no program", value.name);
            value
                .sink
                .push(value.fault(code::BAD_COMMAND, message).hint("write the program and its arguments"));
            Vec::new()
        }
    }
}

fn array(value: Value<'_>) -> Option<Vec<(String, Range<usize>)>> {
    let array = value.node.get_ref().as_array()?;
    let word = |node| {
        let item = Value { node, kind: &Kind::Text, entry: true, ..value };
        // A word that is none is reported; something stands in for it, so that the others are looked at too.
        (item.text().unwrap_or("?").to_owned(), item.span())
    };
    Some(array.iter().map(word).collect())
}

fn split(value: &Value<'_>) -> Option<Vec<(String, Range<usize>)>> {
    let text = value.text()?;
    let Some(words) = shlex::split(text) else {
        value.sink.push(
            value
                .fault(code::BAD_COMMAND, format!("`{}` has a quote without its other half, or ends in `\\`", value.name))
                .hint("or write the words as an array, where nothing needs to be quoted: `[\"program\", \"argument\"]`"),
        );
        return None;
    };
    let words: Vec<_> = words
        .into_iter()
        .map(|word| {
            let span = value.sink.narrow(&value.span(), &word);
            (word, span)
        })
        .collect();
    warn_of_shell(value.sink, &words, value.name);
    Some(words)
}

/// People write what they would type; no shell reads it here.
fn warn_of_shell(sink: &Sink<'_>, words: &[(String, Range<usize>)], name: &str) {
    let variable = |word: &str| {
        word.strip_prefix('$').is_some_and(|r| r.starts_with(|c: char| c.is_ascii_alphabetic() || c == '('))
    };
    for (index, (word, span)) in words.iter().enumerate() {
        let assignment =
            index == 0 && word.split_once('=').is_some_and(|(n, _)| !n.is_empty() && !n.contains('/'));
        let hint = if assignment && name == "build" {
            format!("run it through `env`: `env {word} …`")
        } else if assignment {
            "set it in the service's `env` table".to_owned()
        } else if OPERATORS.contains(&word.as_str()) || variable(word) || word.starts_with('`') {
            format!("if a shell is meant, start one: `{name} = [\"sh\", \"-c\", \"…\"]`")
        } else {
            continue;
        };
        let message = format!("no shell runs: `{word}` is passed on as it stands");
        sink.push(Fault::warning(code::SHELL_SYNTAX, span.clone(), message).hint(hint));
    }
}

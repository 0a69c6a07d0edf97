//! `docs/cli.md` is made from the command line's own definition.

use std::fmt::Write;

use clap::{Command, CommandFactory};

use super::Cli;

/// The page.
fn page() -> String {
    let mut root = Cli::command().term_width(100);
    root.build();
    let mut out = String::from(
        "# The command line\n\n<!-- Made from the program itself: UPDATE_SNAPSHOTS=1 cargo test -p isles reference -->\n",
    );
    section(&mut out, &mut root, "isles");
    below(&mut out, &mut root, "isles");
    out
}

/// A section for every command below, and for those below them.
fn below(out: &mut String, command: &mut Command, name: &str) {
    for inner in command.get_subcommands_mut().filter(|c| !c.is_hide_set()) {
        let name = format!("{name} {}", inner.get_name());
        section(out, inner, &name);
        below(out, inner, &name);
    }
}

fn section(out: &mut String, command: &mut Command, name: &str) {
    let help = command.render_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    let _ = write!(out, "\n## `{name}`\n\n```text\n{}\n```\n", lines.join("\n").trim());
}

#[test]
fn the_reference_is_what_the_program_says() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cli.md");
    let page = page();
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &page).unwrap();
    }
    let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        page == checked_in,
        "docs/cli.md is not what the program says; if the change is meant, run\n    \
         UPDATE_SNAPSHOTS=1 cargo test -p isles reference"
    );
}

//! Draws faults as compilers do.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::fault::{Fault, Severity};

/// Draws `faults` with their lines of `text`, one after the other with an empty line between, and no line end at the end.
/// `source_name` is what to call the file, `width` the terminal's in columns.
pub fn render(faults: &[Fault], source_name: &str, text: &str, color: bool, width: usize) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() }.term_width(width.max(20));
    let pictures: Vec<String> =
        faults.iter().map(|fault| renderer.render(&[picture(fault, source_name, text)])).collect();
    pictures.join("\n\n")
}

fn picture<'a>(fault: &'a Fault, source_name: &'a str, text: &'a str) -> Group<'a> {
    let level = match fault.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(fault.message.as_str()).id(fault.code);
    let fits = |span: &std::ops::Range<usize>| text.get(span.clone()).is_some();
    let mut group = Group::with_title(title);
    if fits(&fault.span) {
        let mut primary = AnnotationKind::Primary.span(fault.span.clone());
        if !fault.label.is_empty() {
            primary = primary.label(fault.label.as_str());
        }
        let related = fault
            .related
            .iter()
            .filter(|(span, _)| fits(span))
            .map(|(span, label)| AnnotationKind::Context.span(span.clone()).label(label.as_str()));
        let snippet = Snippet::source(text).path(source_name).annotation(primary).annotations(related);
        group = group.element(snippet);
    }
    match &fault.hint {
        Some(hint) => group.element(Level::HELP.message(hint.as_str())),
        None => group,
    }
}

//! One fault, all faults, and where the reader collects them.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::{Context, code, render};

/// How bad a [`Fault`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The manifest cannot be used.
    Error,
    /// The manifest can be used, and probably does not mean what it says.
    Warning,
}

/// One thing wrong with a manifest, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Stable; `docs/errors/<code>.md` explains it.
    pub code: &'static str,
    /// Error or warning.
    pub severity: Severity,
    /// What is wrong, on one line.
    pub message: String,
    /// The manifest file, as its [`Context`] names it.
    pub file: PathBuf,
    /// The bytes of the text it is about; always inside the text, on character boundaries.
    pub span: Range<usize>,
    /// The line where `span` starts, from 1.
    pub line: usize,
    /// The character in that line where `span` starts, from 1.
    pub column: usize,
    /// What to write beside the mark under the text; may be empty.
    pub label: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Other places that play a part, each with what to write there.
    pub related: Vec<(Range<usize>, String)>,
}

impl Fault {
    pub(crate) fn error(code: &'static str, span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            message: message.into(),
            file: PathBuf::new(),
            span,
            line: 1,
            column: 1,
            label: String::new(),
            hint: None,
            related: Vec::new(),
        }
    }

    pub(crate) fn warning(code: &'static str, span: Range<usize>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, span, message) }
    }

    pub(crate) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn maybe_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint.or(self.hint);
        self
    }

    pub(crate) fn related(mut self, span: Range<usize>, label: impl Into<String>) -> Self {
        self.related.push((span, label.into()));
        self
    }
}

/// Every fault of one manifest, in the order of the text; at least one is an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    /// Draws every fault with its lines of `text`, as compilers do. `width` is the terminal's, in columns.
    pub fn render(&self, source_name: &str, text: &str, color: bool, width: usize) -> String {
        render(&self.0, source_name, text, color, width)
    }

    /// How many are errors; the rest are warnings.
    pub fn errors(&self) -> usize {
        self.0.iter().filter(|f| f.severity == Severity::Error).count()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            let line_end = if index == 0 { "" } else { "\n" };
            let Fault { file, line, column, code, message, .. } = fault;
            write!(f, "{line_end}{}:{line}:{column}: {message} [{code}]", file.display())?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// Where the reader puts what it finds, together with what it reads from.
pub(crate) struct Sink<'a> {
    pub(crate) text: &'a str,
    pub(crate) context: &'a Context,
    /// The folder of the manifest.
    pub(crate) root: PathBuf,
    faults: RefCell<Vec<Fault>>,
}

impl<'a> Sink<'a> {
    pub(crate) fn new(text: &'a str, context: &'a Context) -> Self {
        let root = context.path.parent().unwrap_or(Path::new("/")).to_owned();
        Self { text, context, root, faults: RefCell::new(Vec::new()) }
    }

    /// Takes a fault in, its position made safe and its line and column filled in.
    pub(crate) fn push(&self, mut fault: Fault) {
        fault.span = self.inside(fault.span);
        for (span, _) in &mut fault.related {
            *span = self.inside(span.clone());
        }
        (fault.line, fault.column) = line_and_column(self.text, fault.span.start);
        fault.file.clone_from(&self.context.path);
        self.faults.borrow_mut().push(fault);
    }

    /// The faults in the order of the text, and whether one of them is an error.
    pub(crate) fn finish(self) -> (Vec<Fault>, bool) {
        let mut faults = self.faults.into_inner();
        faults.sort_by_key(|f| (f.span.start, f.span.end, f.severity, f.code));
        faults.dedup();
        let failed = faults.iter().any(|f| f.severity == Severity::Error);
        (faults, failed)
    }

    /// The part of `span` where `needle` stands literally; all of `span` when escapes hide it.
    pub(crate) fn narrow(&self, span: &Range<usize>, needle: &str) -> Range<usize> {
        match self.text.get(span.clone()).and_then(|raw| raw.find(needle)) {
            Some(at) => span.start + at..span.start + at + needle.len(),
            None => span.clone(),
        }
    }

    /// Takes in what the TOML parser says.
    pub(crate) fn syntax(&self, error: &toml::de::Error) {
        let span = error.span().unwrap_or(0..0);
        let message = error.message().lines().collect::<Vec<_>>().join(", ");
        self.push(Fault::error(code::SYNTAX, span, format!("not TOML: {message}")));
    }

    fn inside(&self, span: Range<usize>) -> Range<usize> {
        let start = self.text.floor_char_boundary(span.start);
        let end = self.text.ceil_char_boundary(span.end.min(self.text.len()));
        start..end.max(start)
    }
}

/// Line and column, both from 1, of the byte at `offset`; columns count characters.
fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    (line, column)
}

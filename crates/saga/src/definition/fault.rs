//! What is wrong with a definition, and where.

use std::fmt;
use std::ops::Range;

use serde::Serialize;

/// Declares the codes and the list of all of them together, so that neither can miss one.
macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal;)*) => {
        $($(#[$doc])* pub const $name: &str = $code;)*
        /// Every code, in the order of this file.
        pub const ALL: &[&str] = &[$($code),*];
    };
}

/// The stable codes; each has a page in `docs/errors/`.
pub mod code {
    codes! {
        /// The file cannot be read.
        UNREADABLE = "saga-unreadable";
        /// The text is not YAML, or uses what definitions do not.
        SYNTAX = "saga-syntax";
        /// A key that Isles does not know.
        UNKNOWN_KEY = "saga-unknown-key";
        /// A key that must be there is not.
        MISSING_KEY = "saga-missing-key";
        /// A value that does not have the form the key needs.
        BAD_VALUE = "saga-bad-value";
        /// Keys that do not go together.
        CONFLICT = "saga-conflict";
        /// Two steps or two sagas with one name.
        DUPLICATE = "saga-duplicate";
        /// A step, saga or name that is not there.
        UNKNOWN_REFERENCE = "saga-unknown-reference";
        /// A value that is not known yet where it is used.
        NOT_KNOWN_YET = "saga-not-known-yet";
        /// Steps that wait for each other, or sagas that start each other.
        CYCLE = "saga-cycle";
        /// A step whose effect nothing undoes.
        NO_UNDO = "saga-no-undo";
        /// An undo where there is never one.
        UNDO_UNUSED = "saga-undo-unused";
        /// Steps that the pivot does not order.
        PIVOT = "saga-pivot";
        /// A service that is not in the manifest.
        UNKNOWN_SERVICE = "saga-unknown-service";
        /// An operation that the service's contract does not have.
        UNKNOWN_OPERATION = "saga-unknown-operation";
        /// A service without a contract to look operations up in.
        NO_CONTRACT = "saga-no-contract";
        /// Parameters or body that do not fit the operation.
        MISFIT = "saga-misfit";
    }
}

/// How bad a fault is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The definition cannot be used.
    Error,
    /// The definition can be used, and probably does not mean what it says.
    Warning,
}

/// One thing wrong with a definition, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Stable; `docs/errors/<code>.md` explains it.
    pub code: &'static str,
    /// Error or warning.
    pub severity: Severity,
    /// What is wrong, on one line.
    pub message: String,
    /// The bytes of the text it is about; always inside the text, on character boundaries.
    pub span: Range<usize>,
    /// The line where `span` starts, from 1.
    pub line: usize,
    /// The character in that line where `span` starts, from 1.
    pub column: usize,
    /// What to do about it.
    pub hint: Option<String>,
    /// Other places that play a part, each with what to write there.
    pub related: Vec<(Range<usize>, String)>,
}

impl Fault {
    pub(crate) fn error(code: &'static str, span: Range<usize>, message: impl Into<String>) -> Self {
        let (severity, message) = (Severity::Error, message.into());
        Self { code, severity, message, span, line: 1, column: 1, hint: None, related: Vec::new() }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn related(mut self, span: Range<usize>, label: impl Into<String>) -> Self {
        self.related.push((span, label.into()));
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {} [{}]", self.line, self.column, self.message, self.code)
    }
}

/// Puts spans inside the text, fills lines in, and sorts.
pub(crate) fn finish(mut faults: Vec<Fault>, text: &str) -> Vec<Fault> {
    let inside = |span: &Range<usize>| {
        let start = text.floor_char_boundary(span.start);
        let end = text.ceil_char_boundary(span.end.min(text.len()));
        start..end.max(start)
    };
    for fault in &mut faults {
        fault.span = inside(&fault.span);
        for (span, _) in &mut fault.related {
            *span = inside(span);
        }
        let before = text.get(..fault.span.start).unwrap_or_default();
        fault.line = before.matches('\n').count() + 1;
        fault.column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    }
    faults.sort_by_key(|f| (f.span.start, f.span.end, f.severity, f.code));
    faults.dedup();
    faults
}

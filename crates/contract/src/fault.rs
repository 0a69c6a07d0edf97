//! What keeps a contract from being read.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use crate::tree::{MAX_DEPTH, Mark};

/// Where something stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// The file, as it was named.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// Why a contract cannot be read. Every code has a page in `docs/errors/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Stable: `contract-unreadable`, `contract-syntax`, `contract-too-large`, `contract-unknown-format`.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// Where, when that is known.
    pub place: Option<Place>,
    /// What to do.
    pub hint: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Fault {}

impl Fault {
    pub(crate) fn unreadable(path: &Path, why: &dyn fmt::Display) -> Self {
        Self {
            code: "contract-unreadable",
            message: format!("{} cannot be read: {why}", path.display()),
            place: None,
            hint: "name an OpenAPI document (JSON or YAML) or a .proto file that exists and is UTF-8"
                .to_owned(),
        }
    }

    pub(crate) fn syntax(name: &str, mark: Mark, message: &str) -> Self {
        Self {
            code: "contract-syntax",
            message: message.to_owned(),
            place: Some(Place { file: name.into(), line: mark.line, column: mark.column }),
            hint: "correct the document at this place".to_owned(),
        }
    }

    pub(crate) fn proto(message: String, place: Option<Place>) -> Self {
        let hint =
            "correct the .proto file; imports are looked for beside it and in the folders above".to_owned();
        Self { code: "contract-syntax", message, place, hint }
    }

    pub(crate) fn too_deep(name: &str, mark: Mark) -> Self {
        Self {
            place: Some(Place { file: name.into(), line: mark.line, column: mark.column }),
            ..Self::too_large(name, &format!("the document is nested more than {MAX_DEPTH} deep"))
        }
    }

    pub(crate) fn too_large(name: &str, message: &str) -> Self {
        Self {
            code: "contract-too-large",
            message: format!("{name}: {message}"),
            place: None,
            hint: "split the contract; these bounds keep a hostile document from using up the machine"
                .to_owned(),
        }
    }

    pub(crate) fn unknown_format(name: &str, message: &str) -> Self {
        Self {
            code: "contract-unknown-format",
            message: format!("{name}: {message}"),
            place: None,
            hint: "OpenAPI 3.0 and 3.1 documents and .proto files are understood".to_owned(),
        }
    }
}

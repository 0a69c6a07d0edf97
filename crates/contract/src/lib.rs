//! OpenAPI and protobuf contracts in one comparable form: what changes between two of them, and what each change means
//! for consumers.
//!
//! ```no_run
//! let old = contract::load("old/openapi.yaml".as_ref())?;
//! let new = contract::load("openapi.yaml".as_ref())?;
//! let report = contract::diff(&old, &new, &contract::Options::default())?;
//! for change in &report.changes {
//!     println!("{}: {} ({})", change.severity.name(), change.sentence, change.rule);
//! }
//! # Ok::<(), contract::Fault>(())
//! ```
//!
//! How documents are read: [`files`] and [`tree`] keep where everything stands, [`schema`] takes what is said of a value
//! together, [`openapi`] finds operations; [`proto`] does the same for `.proto` files. [`compare`] finds what differs,
//! and [`rules`] say what that means; [`shapes`] says it as JSON Schema. Nothing is written, no clock is read, and every input is bounded in size.

mod compare;
mod fault;
mod files;
mod lifecycle;
mod openapi;
mod proto;
pub mod report;
pub mod rules;
mod schema;
mod shapes;
mod tree;

use std::path::Path;

pub use fault::{Fault, Place};
pub use files::{Disk, Files};
pub use lifecycle::Day;
pub use report::{Change, OperationRef, Report, Verdict};
pub use rules::{Kind, Severity};

/// How to compare.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// The day, for operations that were announced to go (`x-sunset`). Without one, no such day has come.
    pub today: Option<Day>,
}

/// A contract that was read.
#[derive(Debug)]
pub struct Contract {
    form: Form,
}

#[derive(Debug)]
enum Form {
    OpenApi(Box<openapi::Api>),
    Proto(Box<proto::Protos>),
}

/// An operation of a contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// How consumers and people name it.
    pub name: OperationRef,
    /// Where it stands, when that is known.
    pub place: Option<Place>,
    /// Whether it is announced to go.
    pub deprecated: bool,
    /// How consumers ask for it over HTTP: method and path from the root of the service; more than one where the document
    /// names servers with different paths, none where it is the service that calls.
    pub requests: Vec<(String, String)>,
}

impl Contract {
    /// Everything that consumers can call, and that calls them.
    pub fn operations(&self) -> Vec<Operation> {
        match &self.form {
            Form::OpenApi(api) => api
                .operations
                .iter()
                .map(|o| Operation {
                    name: OperationRef { key: o.key(), operation_id: o.operation_id.clone() },
                    place: Some(o.place.clone()),
                    deprecated: o.lifecycle.deprecated,
                    requests: api.requests(o),
                })
                .collect(),
            Form::Proto(protos) => protos
                .methods()
                .map(|method| Operation {
                    name: proto::operation(&method),
                    place: protos.place(&method.parent_file(), method.path()),
                    deprecated: proto::is_deprecated(&method),
                    requests: vec![("POST".to_owned(), format!("/{}", proto::operation(&method).key))],
                })
                .collect(),
        }
    }
}

impl Contract {
    /// What requests and answers look like, for checking real ones; none of protobuf, whose encoding says it.
    pub fn shapes(&self) -> Option<model::shapes::Shapes> {
        match &self.form {
            Form::OpenApi(api) => Some(shapes::of(api)),
            Form::Proto(_) => None,
        }
    }
}

/// Reads a contract from disk.
///
/// # Errors
/// It is not there, is no contract, or is too large.
pub fn load(path: &Path) -> Result<Contract, Fault> {
    load_from(&Disk, path)
}

/// Reads two contracts from disk, side by side: it takes longer than to compare them.
pub fn load_both(old: &Path, new: &Path) -> (Result<Contract, Fault>, Result<Contract, Fault>) {
    std::thread::scope(|scope| {
        let old = scope.spawn(|| load(old));
        let new = load(new);
        (old.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), new)
    })
}

/// Reads a contract. A path that ends in `.proto`, and a folder, are protobuf; everything else is OpenAPI.
///
/// # Errors
/// It is not there, is no contract, or is too large.
pub fn load_from(files: &dyn Files, path: &Path) -> Result<Contract, Fault> {
    if proto::is_proto(path) {
        return Ok(Contract { form: Form::Proto(Box::new(proto::read(files, path)?)) });
    }
    let name = path.display().to_string();
    let set = files::Set::open(files, path)?;
    Ok(Contract { form: Form::OpenApi(Box::new(openapi::read(set, &name)?)) })
}

/// What differs between two contracts.
///
/// # Errors
/// One is OpenAPI and the other is protobuf.
pub fn diff(old: &Contract, new: &Contract, options: &Options) -> Result<Report, Fault> {
    match (&old.form, &new.form) {
        (Form::OpenApi(old), Form::OpenApi(new)) => Ok(Report::of(compare::compare(old, new, options))),
        (Form::Proto(old), Form::Proto(new)) => Ok(Report::of(proto::compare(old, new))),
        _ => Err(Fault::unknown_format("the two contracts", "one is OpenAPI and the other protobuf")),
    }
}

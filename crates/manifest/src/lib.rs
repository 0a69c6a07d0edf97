//! `isles.toml` to [`model::DesiredState`], all faults at once.
//!
//! **Role.** The one place that knows the manifest's syntax, its defaults and what makes no sense. What it gives
//! is complete: every default is filled in, every path is absolute, every name is checked, every reference leads
//! somewhere. Nobody after it looks at TOML.
//!
//! **Flow.** [`load`] reads the file; [`parse`] turns it into a tree with spans (crate `toml`), collects the names,
//! then walks the tree once, table by table, against the list of keys in `keys`. Whatever is wrong goes into one
//! sink and the walk goes on with a stand-in value; when an error was found the stand-ins are thrown away with
//! everything else. The same list of keys makes the JSON Schema and the tables of the reference ([`mod@reference`]).
//!
//! **Invariants.** No input makes it panic. It writes nothing, starts nothing, and reads nothing of the disk but
//! the manifest, secrets that the manifest names, the gateway's certificate and key, and whether named files and
//! folders exist. The value of a secret or a key is never kept: `${…}` stays a template.

pub mod code;
mod command;
mod context;
mod fault;
mod gateway;
mod keys;
mod listeners;
mod names;
mod outside;
mod paths;
mod policy;
mod quantity;
pub mod reference;
mod render;
mod section;
mod service;
mod suggest;
mod template;
mod tls;
mod value;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use model::{DesiredState, External, ServiceName, ServiceSpec};
use toml::de::DeTable;

pub use context::{Context, Lookup};
pub use fault::{Fault, Faults, Severity};
pub use render::render;

use fault::Sink;
use listeners::Listeners;
use names::Names;
use section::Section;
use service::Surroundings;

/// What the file is called.
pub const FILE_NAME: &str = "isles.toml";

/// A manifest without errors.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// What the user declared.
    pub desired: DesiredState,
    /// What is allowed and probably not meant; every one is [`Severity::Warning`].
    pub warnings: Vec<Fault>,
}

/// Why [`load`] gives no manifest.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("cannot read {}: {source} [{}]", path.display(), code::UNREADABLE)]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file says something that cannot be.
    #[error("{faults}")]
    Faults {
        /// Which file.
        path: PathBuf,
        /// Its text, which the faults point into.
        text: String,
        /// What is wrong.
        faults: Faults,
    },
}

impl LoadError {
    /// Draws it for a terminal of `width` columns; `source_name` is what to call the file.
    pub fn render(&self, source_name: &str, color: bool, width: usize) -> String {
        let fault = match self {
            Self::Faults { text, faults, .. } => return faults.render(source_name, text, color, width),
            Self::Read { source, .. } => {
                Fault::error(code::UNREADABLE, 0..1, format!("cannot read {source_name}: {source}"))
                    .hint("name another file with `-f FILE`, or make a manifest with `isles init`")
            }
        };
        // Without text there is no place to point at.
        render(&[fault], source_name, "", color, width)
    }
}

/// The nearest manifest in `start` or a folder above it.
pub fn find(start: &Path) -> Option<PathBuf> {
    let start = std::path::absolute(start).ok()?;
    start.ancestors().map(|folder| folder.join(FILE_NAME)).find(|file| file.is_file())
}

/// Reads and parses the manifest at `path` in the context of this process.
///
/// # Errors
/// The file cannot be read, or something in it is wrong.
pub fn load(path: &Path) -> Result<Parsed, LoadError> {
    let context = Context::from_process(path);
    let text = std::fs::read_to_string(&context.path)
        .map_err(|source| LoadError::Read { path: context.path.clone(), source })?;
    parse(&text, &context).map_err(|faults| LoadError::Faults { path: context.path, text, faults })
}

/// Reads a manifest's text. Of the disk it asks only what exists below the folder of `context.path`, and whether the
/// gateway's certificate and key can be used.
///
/// # Errors
/// Every fault that there is, errors and warnings, in the order of the text.
pub fn parse(text: &str, context: &Context) -> Result<Parsed, Faults> {
    let sink = Sink::new(text, context);
    let desired = match DeTable::parse(text) {
        Ok(tree) => read(tree.get_ref(), &sink),
        Err(error) => {
            sink.syntax(&error);
            None
        }
    };
    match (desired, sink.finish()) {
        (Some(desired), (warnings, false)) => Ok(Parsed { desired, warnings }),
        (_, (faults, _)) => Err(Faults(faults)),
    }
}

fn read<'a>(tree: &'a DeTable<'a>, sink: &'a Sink<'a>) -> Option<DesiredState> {
    let names = Names::collect(tree);
    let listeners = Listeners::new(sink);
    let root = Section::open(sink, &keys::ROOT, tree, 0..0);
    let name = root.get("name").and_then(|value| names::app_name(&value));
    let gateway = root.section("gateway").map(|table| gateway::gateway(table, &names, &listeners));
    let services = services(&root, &names, &listeners);
    let externals = externals(&root);
    let verify_callers = root.boolean("verify_callers");
    let console = outside::console(&root, &listeners);
    let (saga_files, saga_store) = outside::sagas(&root);
    let (alerts, telemetry) = (outside::alerts(&root), outside::telemetry(&root));
    let subscriptions = outside::subscriptions(&root, &names);
    root.done();
    listeners.check();
    Some(DesiredState {
        name: name?,
        root: sink.root.clone(),
        gateway: match gateway {
            Some(gateway) => Some(gateway?),
            None => None,
        },
        services,
        externals,
        verify_callers,
        console: console?,
        saga_files,
        saga_store,
        subscriptions,
        alerts,
        telemetry,
    })
}

fn services<'a>(
    root: &Section<'a>,
    names: &Names<'a>,
    listeners: &Listeners<'a>,
) -> BTreeMap<ServiceName, ServiceSpec> {
    let surroundings = Surroundings { sink: root.sink, names, listeners };
    let tables = root.sections("services");
    if tables.is_empty() {
        let at = root.key_span("services").unwrap_or(0..0);
        root.sink.push(
            Fault::warning(code::NO_SERVICES, at, "there is no service to run")
                .hint("add `[services.NAME]` with a `command`"),
        );
    }
    let mut services = BTreeMap::new();
    for (text, at, table) in tables {
        if let Some(other) = names.external(text) {
            let message = format!("`{text}` is both a service and an external system");
            let fault = Fault::error(code::DUPLICATE_NAME, at.clone(), message).label("a service here");
            root.sink.push(fault.related(other, "an external system here").hint("rename one of them"));
        }
        let name = names::new_name(root.sink, text, at);
        // A service with a bad name is read all the same, for what else is wrong with it.
        let Some(spoken) = name.clone().or_else(|| ServiceName::new("unnamed").ok()) else { continue };
        let spec = surroundings.service(spoken, table);
        services.extend(name.map(|name| (name, spec)));
    }
    services
}

fn externals(root: &Section<'_>) -> BTreeMap<ServiceName, External> {
    let mut externals = BTreeMap::new();
    for (text, at, table) in root.sections("external") {
        let name = names::new_name(root.sink, text, at);
        let Some(spoken) = name.clone().or_else(|| ServiceName::new("unnamed").ok()) else { continue };
        let external = outside::external(spoken, table);
        externals.extend(name.zip(external));
    }
    externals
}

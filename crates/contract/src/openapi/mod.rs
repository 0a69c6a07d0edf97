//! OpenAPI 3.0 and 3.1 documents as operations.

mod lower;
mod media;
mod paths;

use std::collections::{BTreeMap, BTreeSet};

pub use lower::{header_key, read};
pub use media::MediaKey;
pub use paths::{normal_path, placeholders};

use crate::fault::Place;
use crate::files::{At, Docs};
use crate::lifecycle::Lifecycle;
use crate::schema::{Graph, SchemaId};

/// Who calls an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// A consumer calls the service.
    Call,
    /// The service calls a consumer that asked for it: what is a request here is what the consumer receives.
    Webhook,
    /// The service calls an address that a request named.
    Callback,
}

/// An OpenAPI document, and what it refers to.
#[derive(Debug)]
pub struct Api {
    pub docs: Docs,
    pub graph: Graph,
    pub operations: Vec<Operation>,
    pub schemes: BTreeMap<String, Scheme>,
    /// The addresses in `servers`.
    pub servers: BTreeSet<String>,
    pub root: At,
    /// References that could not be followed.
    pub lost: Vec<(Place, String)>,
}

/// A method of a path.
#[derive(Debug)]
pub struct Operation {
    pub role: Role,
    /// In upper case.
    pub method: String,
    /// As written; for a webhook its name, for a callback the operation's key, its name and its expression.
    pub path: String,
    pub operation_id: Option<String>,
    pub parameters: Vec<Parameter>,
    pub body: Option<Body>,
    /// By status (`200`, `2XX`, `default`).
    pub responses: BTreeMap<String, Response>,
    /// The alternatives; none of them means that nothing is asked for.
    pub security: Vec<Requirement>,
    pub lifecycle: Lifecycle,
    pub at: At,
    /// Where the key of the method stands.
    pub place: Place,
}

/// Schemes and the scopes of each: all of them are asked for.
pub type Requirement = BTreeMap<String, BTreeSet<String>>;

impl Operation {
    /// How people call it: `GET /v1/stock/{sku}`.
    pub fn key(&self) -> String {
        match self.role {
            Role::Call => format!("{} {}", self.method, self.path),
            Role::Webhook => format!("webhook {} {}", self.method, self.path),
            Role::Callback => format!("callback {} {}", self.method, self.path),
        }
    }
}

impl Api {
    /// The method and the paths of an operation, with those of the servers in front.
    pub fn requests(&self, operation: &Operation) -> Vec<(String, String)> {
        if !matches!(operation.role, Role::Call) {
            return Vec::new();
        }
        let bases: BTreeSet<&str> = self.servers.iter().map(|url| base_path(url)).collect();
        let bases = if bases.is_empty() { BTreeSet::from([""]) } else { bases };
        bases.iter().map(|base| (operation.method.clone(), format!("{base}{}", operation.path))).collect()
    }
}

/// The path of a server's address, without a slash at its end.
fn base_path(url: &str) -> &str {
    let path = match url.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("", |slash| &rest[slash..]),
        None => url,
    };
    path.trim_end_matches('/')
}

/// A parameter.
#[derive(Debug)]
pub struct Parameter {
    pub name: String,
    /// `path`, `query`, `header`, `cookie`.
    pub location: String,
    pub required: bool,
    pub style: String,
    pub explode: bool,
    /// That of `schema`, or of the media type.
    pub schema: Option<SchemaId>,
    /// The media type, when `content` says how it is written.
    pub content: Option<MediaKey>,
    pub lifecycle: Lifecycle,
    pub at: At,
}

/// A request body.
#[derive(Debug)]
pub struct Body {
    pub required: bool,
    pub content: BTreeMap<MediaKey, Media>,
    pub at: At,
}

/// A media type's schema.
#[derive(Debug)]
pub struct Media {
    pub schema: Option<SchemaId>,
    /// `itemSchema` of OpenAPI 3.2.
    pub item_schema: Option<SchemaId>,
    pub at: At,
}

/// What comes back.
#[derive(Debug)]
pub struct Response {
    /// By name in lower case.
    pub headers: BTreeMap<String, Header>,
    pub content: BTreeMap<MediaKey, Media>,
    pub at: At,
}

/// A header of a response.
#[derive(Debug)]
pub struct Header {
    /// As it is written.
    pub name: String,
    pub required: bool,
    pub schema: Option<SchemaId>,
    pub at: At,
}

/// A security scheme.
#[derive(Debug)]
pub struct Scheme {
    /// What a client has to know of it: kind, place, name, HTTP scheme.
    pub wire: BTreeMap<&'static str, String>,
    /// Where tokens come from.
    pub addresses: BTreeMap<String, String>,
    pub at: At,
}

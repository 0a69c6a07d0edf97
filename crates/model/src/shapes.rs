//! What requests and answers of a service look like by its contract, so that the data plane can hold real ones to it.
//!
//! It is a file rather than a part of the routing table: it is large, and changes with a release.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ReleaseId;

/// Where the shapes of a release's contract are: a file of JSON, [`Shapes`], which never changes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ShapesFile {
    /// Whose contract it is.
    pub release: ReleaseId,
    /// The file.
    pub path: PathBuf,
}

/// Everything that a contract says of requests and answers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Shapes {
    /// Schemas by key: JSON Schema, draft 2020-12, that refer to each other as `#/$defs/<key>`.
    pub schemas: BTreeMap<String, Value>,
    /// By the name of the operation, as in [`crate::Operation`].
    pub operations: BTreeMap<String, Shape>,
}

/// One operation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Shape {
    /// What a request says beside its body.
    pub parameters: Vec<ParameterShape>,
    /// Its body; none where the contract has none.
    pub body: Option<BodyShape>,
    /// What comes back, by status: `200`, `2XX`, `default`.
    pub responses: BTreeMap<String, Content>,
}

/// Schemas by media type or range (lower case, without parameters); none where the contract says nothing of the content.
pub type Content = BTreeMap<String, Option<String>>;

/// A body.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct BodyShape {
    /// Whether there has to be one.
    pub required: bool,
    /// What it may be.
    pub content: Content,
}

/// A parameter that is written in one of the simple ways: a value, or several with commas or by repetition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParameterShape {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub place: ParameterPlace,
    /// Whether it has to be there.
    pub required: bool,
    /// Several values are several parameters of the same name.
    pub explode: bool,
    /// The key of its schema; none where its form cannot be told.
    pub schema: Option<String>,
}

/// Where a parameter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ParameterPlace {
    /// A segment of the path.
    Path,
    /// After the question mark.
    Query,
    /// A header field.
    Header,
    /// A cookie.
    Cookie,
}

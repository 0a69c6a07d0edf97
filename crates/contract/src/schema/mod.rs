//! JSON Schema, of OpenAPI 3.0 and of 3.1, in one form.
//!
//! A schema of this form is the conjunction of all that a document says about a value: `$ref` followed, `allOf` taken
//! together, unions of one branch and branches of `null` taken in, bounds in their tightest form. So two documents that
//! say the same in different words have the same schemas. Schemas are numbers in a [`Graph`]: recursion is a cycle of
//! numbers.

mod bounds;
mod class;
mod flatten;
mod keywords;
mod types;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

pub use bounds::{BOUNDS, Bound, COUNT as BOUND_COUNT};
pub use class::{children, classes};
pub use types::Types;

use crate::fault::Fault;
use crate::files::{At, Docs, Set};
use crate::tree::Number;

/// A contract has no more schemas than this, those made by `allOf` counted.
const MAX_SCHEMAS: usize = 200_000;
/// And no more parts of schemas.
const MAX_PARTS: usize = 2_000_000;

/// A schema of a [`Graph`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SchemaId(pub u32);

/// The values that are allowed, as canonical JSON, without `null`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Values {
    pub list: BTreeSet<Box<str>>,
    /// Whether they come from `const`.
    pub constant: bool,
}

/// What else an object or a list may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rest {
    /// Anything.
    #[default]
    Open,
    /// Nothing.
    Closed,
    /// What a schema says.
    Schema(SchemaId),
}

/// How many of the branches of a union have to match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnionKind {
    /// Exactly one.
    OneOf,
    /// At least one.
    AnyOf,
}

impl UnionKind {
    pub fn keyword(self) -> &'static str {
        match self {
            Self::OneOf => "oneOf",
            Self::AnyOf => "anyOf",
        }
    }
}

/// A branch of a union.
#[derive(Debug, Clone)]
pub struct Branch {
    pub schema: SchemaId,
    /// The component that it refers to, or its title.
    pub name: Option<Arc<str>>,
    /// Whether the name is that of a component.
    pub component: bool,
}

/// `oneOf` or `anyOf` of two or more branches, none of them `null`.
#[derive(Debug, Clone)]
pub struct Union {
    pub kind: UnionKind,
    pub branches: Vec<Branch>,
}

/// `if`, `then`, `else`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Condition {
    pub when: Option<SchemaId>,
    pub then: Option<SchemaId>,
    pub otherwise: Option<SchemaId>,
}

/// `discriminator`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Discriminator {
    pub property: String,
    pub mapping: BTreeMap<String, String>,
}

/// Everything said about a value.
#[derive(Debug, Clone, Default)]
pub struct Schema {
    /// The nodes that it is made of; the first one is where it begins.
    pub parts: Vec<At>,
    pub types: Types,
    /// Names of types that JSON Schema does not have.
    pub odd_types: BTreeSet<String>,
    pub format: Option<String>,
    pub values: Option<Values>,
    /// By [`Bound`].
    pub bounds: [Option<Number>; BOUND_COUNT],
    pub multiple_of: Vec<Number>,
    pub patterns: BTreeSet<String>,
    pub unique_items: bool,
    pub properties: BTreeMap<String, SchemaId>,
    pub required: BTreeSet<String>,
    pub additional: Rest,
    pub pattern_properties: BTreeMap<String, SchemaId>,
    pub property_names: Option<SchemaId>,
    pub dependent_required: BTreeMap<String, BTreeSet<String>>,
    pub dependent_schemas: BTreeMap<String, SchemaId>,
    pub items: Rest,
    pub prefix_items: Vec<SchemaId>,
    pub contains: Option<SchemaId>,
    pub unevaluated_items: Rest,
    pub unevaluated_properties: Rest,
    pub unions: Vec<Union>,
    pub nots: Vec<SchemaId>,
    pub conditions: Vec<Condition>,
    pub content_schema: Option<SchemaId>,
    pub content_media_type: Option<String>,
    pub content_encoding: Option<String>,
    pub discriminator: Option<Discriminator>,
    pub read_only: bool,
    pub write_only: bool,
    pub deprecated: bool,
    pub sunset: Option<String>,
    pub stability: Option<String>,
    pub default: Option<String>,
    /// `x-extensible-enum`.
    pub extensible: Option<BTreeSet<String>>,
    /// `xml`, as canonical JSON.
    pub xml: Option<String>,
    /// Nothing is valid.
    pub never: bool,
    /// References that lead nowhere: what they say is not known.
    pub lost: BTreeSet<String>,
}

impl Schema {
    /// Whether it says nothing about the value but its type and its unions.
    pub fn is_bare(&self) -> bool {
        let quiet = Self {
            parts: self.parts.clone(),
            types: self.types,
            unions: self.unions.clone(),
            discriminator: self.discriminator.clone(),
            default: self.default.clone(),
            deprecated: self.deprecated,
            sunset: self.sunset.clone(),
            stability: self.stability.clone(),
            read_only: self.read_only,
            write_only: self.write_only,
            xml: self.xml.clone(),
            ..Self::default()
        };
        class::says_the_same(self, &quiet)
    }

    /// Whether anything at all is valid.
    pub fn is_anything(&self) -> bool {
        self.types == Types::ALL && self.unions.is_empty() && self.is_bare()
    }
}

/// All the schemas of a contract.
#[derive(Debug)]
pub struct Graph {
    pub schemas: Vec<Schema>,
    /// A schema that allows anything.
    pub anything: SchemaId,
    /// The names of `components.schemas`.
    pub components: BTreeSet<String>,
}

impl Graph {
    pub fn get(&self, id: SchemaId) -> &Schema {
        &self.schemas[id.0 as usize]
    }
}

/// Makes schemas of documents. New ones are queued, so no depth of references is a depth of calls.
pub struct Lowering<'f> {
    pub set: Set<'f>,
    /// OpenAPI 3.0: what stands beside `$ref` does not count.
    old_dialect: bool,
    schemas: Vec<Schema>,
    memo: HashMap<Vec<At>, SchemaId>,
    queue: VecDeque<(SchemaId, Vec<At>)>,
    raw_types: HashMap<At, Types>,
    parts: usize,
    name: String,
}

impl<'f> Lowering<'f> {
    pub fn new(set: Set<'f>, old_dialect: bool, name: &str) -> Self {
        Self {
            set,
            old_dialect,
            // The first one allows anything.
            schemas: vec![Schema::default()],
            memo: HashMap::new(),
            queue: VecDeque::new(),
            raw_types: HashMap::new(),
            parts: 0,
            name: name.to_owned(),
        }
    }

    /// The schema at a node.
    pub fn schema(&mut self, at: At) -> SchemaId {
        self.all_of(vec![at])
    }

    /// What all the nodes say together.
    pub fn all_of(&mut self, mut parts: Vec<At>) -> SchemaId {
        for part in &mut parts {
            *part = self.past_references(*part);
        }
        let mut key = parts.clone();
        key.sort_unstable();
        key.dedup();
        if let Some(known) = self.memo.get(&key) {
            return *known;
        }
        let id = SchemaId(u32::try_from(self.schemas.len()).unwrap_or(u32::MAX));
        self.schemas.push(Schema::default());
        self.memo.insert(key, id);
        self.queue.push_back((id, parts));
        id
    }

    /// Where a node that is nothing but a reference leads, as far as it can be followed.
    fn past_references(&mut self, at: At) -> At {
        let alone = self.old_dialect || self.set.entries(at).len() == 1;
        if !alone || !self.set.has(at, "$ref") {
            return at;
        }
        match self.set.follow(at) {
            // Beside a reference on the way something may stand that counts.
            Some(target) if self.old_dialect || !self.set.has(target, "$ref") => target,
            _ => at,
        }
    }

    /// Makes everything that is queued, and what that asks for.
    ///
    /// # Errors
    /// There are more schemas than a contract may have.
    pub fn run(&mut self) -> Result<(), Fault> {
        while let Some((id, parts)) = self.queue.pop_front() {
            let flat = self.flatten(&parts);
            self.parts += flat.parts.len() + 1;
            if self.schemas.len() > MAX_SCHEMAS || self.parts > MAX_PARTS {
                let message =
                    "its schemas combine to more than can be compared (look at `allOf` that repeats itself)";
                return Err(Fault::too_large(&self.name, message));
            }
            self.schemas[id.0 as usize] = self.lower(flat);
        }
        Ok(())
    }

    /// What was made, with the documents and the references that led nowhere.
    pub fn finish(self, components: BTreeSet<String>) -> (Graph, Docs, Vec<(crate::Place, String)>) {
        let mut set = self.set;
        let lost = std::mem::take(&mut set.lost);
        (Graph { schemas: self.schemas, anything: SchemaId(0), components }, set.into_docs(), lost)
    }
}

//! A contract that was read: the shape of each operation, and validators of its schemas, each compiled once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex};

use jsonschema::{Draft, PatternOptions, Validator};
use model::Operation;
use model::shapes::{Shape, Shapes};
use serde_json::{Map, Value, json};

use super::lock;

/// No file is longer, in bytes.
const LONGEST: u64 = 64 << 20;
/// How far an expression that cannot be matched in linear time is followed.
const BACKTRACKS: usize = 10_000;
/// Schemas that cannot be checked and are told of.
const TOLD: usize = 10;

/// What a schema's key stands for.
pub(super) struct Schema {
    /// None where it cannot be checked, such as one with an expression that nobody can read.
    pub validator: Option<Validator>,
    /// The types that it names; empty where it names none.
    pub types: Vec<String>,
    /// The same of the items of a list.
    pub item_types: Vec<String>,
}

#[derive(Debug)]
pub(super) struct Book {
    schemas: BTreeMap<String, Value>,
    /// By the number of the operation.
    shapes: Vec<Option<Shape>>,
    compiled: Mutex<HashMap<String, Arc<Schema>>>,
    /// Sentences on what cannot be checked.
    unchecked: Mutex<Vec<String>>,
}

impl std::fmt::Debug for Schema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Schema").field("types", &self.types).finish_non_exhaustive()
    }
}

impl Book {
    /// # Errors
    /// The file is not there, or is none of [`Shapes`].
    pub fn read(path: &Path, operations: &[Operation]) -> Result<Self, String> {
        let cannot =
            |why: &str| format!("the shapes of a contract, {}, cannot be read: {why}", path.display());
        let length = std::fs::metadata(path).map_err(|e| cannot(&e.to_string()))?.len();
        if length > LONGEST {
            return Err(cannot("the file is too long"));
        }
        let text = std::fs::read(path).map_err(|e| cannot(&e.to_string()))?;
        let shapes: Shapes = serde_json::from_slice(&text).map_err(|e| cannot(&e.to_string()))?;
        Ok(Self::new(shapes, operations))
    }

    pub fn new(mut shapes: Shapes, operations: &[Operation]) -> Self {
        // An operation has several numbers where the contract has several servers.
        let of = |operation: &Operation| shapes.operations.get(&operation.name).cloned();
        let by_number = operations.iter().map(of).collect();
        Self {
            schemas: std::mem::take(&mut shapes.schemas),
            shapes: by_number,
            compiled: Mutex::default(),
            unchecked: Mutex::default(),
        }
    }

    pub fn shape(&self, operation: usize) -> Option<&Shape> {
        self.shapes.get(operation)?.as_ref()
    }

    /// Compiles all that requests are held to.
    pub fn prepare(&self) {
        for shape in self.shapes.iter().flatten() {
            let body = shape.body.iter().flat_map(|body| body.content.values());
            let all = shape.parameters.iter().map(|p| &p.schema).chain(body);
            all.flatten().for_each(|key| drop(self.schema(key)));
        }
    }

    pub fn schema(&self, key: &str) -> Arc<Schema> {
        if let Some(known) = lock(&self.compiled).get(key) {
            return Arc::clone(known);
        }
        // Not while others wait for what is compiled already.
        let schema = Arc::new(self.compile(key));
        Arc::clone(lock(&self.compiled).entry(key.to_owned()).or_insert(schema))
    }

    /// What cannot be checked, in sentences.
    pub fn unchecked(&self) -> Vec<String> {
        lock(&self.unchecked).clone()
    }

    fn compile(&self, key: &str) -> Schema {
        let document = json!({ "$ref": format!("#/$defs/{key}"), "$defs": self.reached(key) });
        let options = || jsonschema::options().with_draft(Draft::Draft202012).should_validate_formats(true);
        // Linear where that can be: what is matched comes from anybody.
        let linear = options().with_pattern_options(PatternOptions::regex());
        let other =
            || options().with_pattern_options(PatternOptions::fancy_regex().backtrack_limit(BACKTRACKS));
        let validator = linear.build(&document).or_else(|_| other().build(&document));
        let validator = validator.inspect_err(|error| {
            let mut unchecked = lock(&self.unchecked);
            if unchecked.len() < TOLD {
                unchecked.push(format!("at `{}`: {error}", error.instance_path()));
            }
        });
        let types = |schema: Option<&Value>| schema.map(named_types).unwrap_or_default();
        let schema = self.schemas.get(key);
        let items = schema.and_then(|schema| referred(schema.get("items")?));
        Schema {
            validator: validator.ok(),
            types: types(schema),
            item_types: types(items.and_then(|key| self.schemas.get(key))),
        }
    }

    /// A schema and all that it refers to.
    fn reached(&self, key: &str) -> Map<String, Value> {
        let mut reached = Map::new();
        let mut todo = BTreeSet::from([key]);
        while let Some(key) = todo.pop_first() {
            let Some(schema) = self.schemas.get(key) else { continue };
            reached.insert(key.to_owned(), schema.clone());
            let mut values = vec![schema];
            while let Some(value) = values.pop() {
                todo.extend(referred(value).filter(|key| !reached.contains_key(*key)));
                match value {
                    Value::Object(fields) => values.extend(fields.values()),
                    Value::Array(items) => values.extend(items),
                    _ => {}
                }
            }
        }
        reached
    }
}

/// The key of the schema that a reference leads to.
fn referred(value: &Value) -> Option<&str> {
    value.get("$ref")?.as_str()?.strip_prefix("#/$defs/")
}

fn named_types(schema: &Value) -> Vec<String> {
    match schema.get("type") {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(some)) => some.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

//! What services offer: the operations of their OpenAPI documents, read leniently.
//!
//! Only what checking a definition needs: method, path, parameters, the fields of bodies. What is not understood is taken as
//! unknown, and unknown fits everything.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// References are followed this often, so that a circle ends.
const MOST_HOPS: usize = 16;
const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// Every service, with its contract if it has one.
pub type Contracts = BTreeMap<String, Option<Contract>>;

/// An OpenAPI document and its operations.
#[derive(Debug, Clone)]
pub struct Contract {
    document: Value,
    operations: BTreeMap<String, Operation>,
}

/// An operation.
#[derive(Debug, Clone)]
pub struct Operation {
    /// Upper case.
    pub method: String,
    /// With `{name}` in it.
    pub path: String,
    /// All of them, those of the path item included.
    pub parameters: Vec<Parameter>,
    /// The JSON request body, if it takes one.
    pub body: Option<Body>,
    /// The schema of the JSON answers from 200 to 299; the first that has one.
    pub answer: Option<Value>,
}

/// A request body.
#[derive(Debug, Clone)]
pub struct Body {
    /// Whether it has to be there.
    pub required: bool,
    /// Its schema.
    pub schema: Value,
}

/// A parameter.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// `path`, `query`, `header` or `cookie`.
    pub place: String,
    /// Whether it has to be there.
    pub required: bool,
}

/// Whether a schema has a field.
#[derive(Debug)]
pub enum Field<'a> {
    /// It has, of this schema.
    Known(&'a Value),
    /// It lists its fields, and this is none of them.
    Absent,
    /// Nobody can say.
    Open,
}

impl Contract {
    /// Reads an OpenAPI document, YAML or JSON.
    ///
    /// # Errors
    /// The text is neither.
    pub fn read(text: &str) -> Result<Self, String> {
        let document: Value = serde_yaml_ng::from_str(text).map_err(|e| e.to_string())?;
        let mut contract = Self { document, operations: BTreeMap::new() };
        contract.operations = contract.find_operations();
        Ok(contract)
    }

    /// The operation with this `operationId`.
    pub fn operation(&self, id: &str) -> Option<&Operation> {
        self.operations.get(id)
    }

    /// Every `operationId`.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.operations.keys().map(String::as_str)
    }

    /// What a JSON pointer leads to.
    pub fn at(&self, pointer: &str) -> Option<&Value> {
        self.document.pointer(pointer)
    }

    /// Follows `$ref`s inside the document.
    pub fn resolve<'a>(&'a self, mut value: &'a Value) -> &'a Value {
        for _ in 0..MOST_HOPS {
            let Some(target) = value.get("$ref").and_then(Value::as_str) else { return value };
            let Some(found) = target.strip_prefix('#').and_then(|p| self.document.pointer(p)) else {
                return &Value::Null;
            };
            value = found;
        }
        &Value::Null
    }

    /// Looks for a field of an object of this schema, or for any element of an array.
    pub fn field<'a>(&'a self, schema: &'a Value, name: &str) -> Field<'a> {
        self.field_within(schema, name, MOST_HOPS)
    }

    fn field_within<'a>(&'a self, schema: &'a Value, name: &str, hops: usize) -> Field<'a> {
        let schema = self.resolve(schema);
        let Some(hops) = hops.checked_sub(1) else { return Field::Open };
        if let Some(items) = schema.get("items").filter(|_| name.parse::<usize>().is_ok()) {
            return Field::Known(items);
        }
        if let Some(found) = schema.get("properties").and_then(|p| p.get(name)) {
            return Field::Known(found);
        }
        let mut listed = schema.get("properties").is_some();
        for combination in ["allOf", "oneOf", "anyOf"] {
            for part in schema.get(combination).and_then(Value::as_array).into_iter().flatten() {
                match self.field_within(part, name, hops) {
                    Field::Absent => listed = true,
                    known_or_open => return known_or_open,
                }
            }
        }
        let more = schema.get("additionalProperties");
        match more {
            Some(Value::Bool(false)) => Field::Absent,
            None if listed => Field::Absent,
            Some(schema @ Value::Object(_)) => Field::Known(schema),
            _ => Field::Open,
        }
    }

    /// The fields that an object of this schema must have.
    pub fn required<'a>(&'a self, schema: &'a Value) -> BTreeSet<&'a str> {
        let mut names = BTreeSet::new();
        let mut todo = vec![(schema, MOST_HOPS)];
        while let Some((schema, hops)) = todo.pop() {
            let schema = self.resolve(schema);
            names.extend(
                schema
                    .get("required")
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str),
            );
            if let Some(hops) = hops.checked_sub(1) {
                todo.extend(
                    schema.get("allOf").and_then(Value::as_array).into_iter().flatten().map(|s| (s, hops)),
                );
            }
        }
        names
    }

    /// The JSON types that a schema allows; `None` if it does not say.
    pub fn types<'a>(&'a self, schema: &'a Value) -> Option<BTreeSet<&'a str>> {
        let schema = self.resolve(schema);
        match schema.get("type")? {
            Value::String(one) => {
                let nullable = schema.get("nullable") == Some(&Value::Bool(true));
                Some(std::iter::once(one.as_str()).chain(nullable.then_some("null")).collect())
            }
            Value::Array(many) => Some(many.iter().filter_map(Value::as_str).collect()),
            _ => None,
        }
    }

    fn find_operations(&self) -> BTreeMap<String, Operation> {
        let mut operations = BTreeMap::new();
        let paths = self.document.get("paths").and_then(Value::as_object);
        for (path, item) in paths.into_iter().flatten() {
            let item = self.resolve(item);
            for method in METHODS {
                let Some(operation) = item.get(method) else { continue };
                let Some(id) = operation.get("operationId").and_then(Value::as_str) else { continue };
                operations.insert(id.to_owned(), self.read_operation(path, method, item, operation));
            }
        }
        operations
    }

    fn read_operation(&self, path: &str, method: &str, item: &Value, operation: &Value) -> Operation {
        let mut parameters: Vec<Parameter> = Vec::new();
        // Those of the operation come first: they override those of the path item.
        for list in [operation, item] {
            for parameter in list.get("parameters").and_then(Value::as_array).into_iter().flatten() {
                let parameter = self.resolve(parameter);
                let text = |key| parameter.get(key).and_then(Value::as_str).map(str::to_owned);
                let (Some(name), Some(place)) = (text("name"), text("in")) else { continue };
                if parameters.iter().all(|p| (&p.name, &p.place) != (&name, &place)) {
                    let required = place == "path" || parameter.get("required") == Some(&Value::Bool(true));
                    parameters.push(Parameter { name, place, required });
                }
            }
        }
        let body = operation.get("requestBody").map(|body| self.resolve(body)).and_then(|body| {
            let required = body.get("required") == Some(&Value::Bool(true));
            Some(Body { required, schema: json_schema(body)?.clone() })
        });
        let answers = operation.get("responses").and_then(Value::as_object);
        let answer = answers
            .into_iter()
            .flatten()
            .filter(|(status, _)| status.starts_with('2'))
            .find_map(|(_, answer)| json_schema(self.resolve(answer)))
            .cloned();
        Operation { method: method.to_ascii_uppercase(), path: path.to_owned(), parameters, body, answer }
    }
}

fn json_schema(content: &Value) -> Option<&Value> {
    let content = content.get("content")?.as_object()?;
    let json =
        content.iter().find(|(kind, _)| kind.starts_with("application/json") || kind.ends_with("+json"));
    json.and_then(|(_, media)| media.get("schema"))
}

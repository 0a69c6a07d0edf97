//! Schemas of the comparable form as JSON Schema, draft 2020-12.
//!
//! What could not be read asserts nothing: a value is never called wrong because of what is not known.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::schema::{BOUNDS, Condition, Graph, Rest, Schema, SchemaId, Types, Union, UnionKind, children};
use crate::tree::Number;

/// Who says the value: what is `readOnly` or `writeOnly` counts on one side only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// A consumer.
    Request,
    /// The service.
    Response,
}

impl Side {
    /// The key of a schema as it is on this side.
    pub fn key(self, schema: SchemaId) -> String {
        let side = match self {
            Self::Request => 'q',
            Self::Response => 'r',
        };
        format!("{side}{}", schema.0)
    }
}

/// These schemas and all that they refer to.
pub fn written(graph: &Graph, mut wanted: BTreeSet<(Side, SchemaId)>) -> BTreeMap<String, Value> {
    let wider = wider(graph);
    let mut out = BTreeMap::new();
    while let Some((side, id)) = wanted.pop_first() {
        let mut writer = Writer { graph, wider: &wider, side, refers_to: BTreeSet::new() };
        let schema = writer.schema(graph.get(id));
        out.insert(side.key(id), schema);
        let new = writer.refers_to.into_iter().filter(|id| !out.contains_key(&side.key(*id)));
        wanted.extend(new.map(|id| (side, id)));
    }
    out
}

/// The schemas of which what is written allows more than they do. Where a value that fits is a fault, as with `not`, they
/// may not be asked.
fn wider(graph: &Graph) -> BTreeSet<SchemaId> {
    let ids = || (0_u32..).map(SchemaId).zip(&graph.schemas);
    let mut referrers = BTreeMap::<SchemaId, Vec<SchemaId>>::new();
    for (id, schema) in ids() {
        children(schema)
            .into_iter()
            .for_each(|(_, child)| referrers.entry(SchemaId(child)).or_default().push(id));
    }
    let mut todo: Vec<SchemaId> =
        ids().filter(|(_, schema)| is_wider(graph, schema)).map(|(id, _)| id).collect();
    let mut wider = BTreeSet::new();
    while let Some(id) = todo.pop() {
        if wider.insert(id) {
            todo.extend(referrers.get(&id).into_iter().flatten());
        }
    }
    wider
}

fn is_wider(graph: &Graph, schema: &Schema) -> bool {
    // What one part says of the rest would count for what the other parts name as well.
    let rests = [schema.additional, schema.unevaluated_properties, schema.items, schema.unevaluated_items];
    let of_parts = rests.iter().any(|rest| *rest != Rest::Open) || !schema.prefix_items.is_empty();
    let unread = !schema.lost.is_empty() || !schema.odd_types.is_empty();
    // `null` is let past these, whatever they say of it.
    let nullable = |id: SchemaId| graph.get(id).types.has(Types::NULL);
    let unions =
        schema.unions.iter().any(|union| union.branches.iter().any(|branch| nullable(branch.schema)));
    let past = unions || !schema.nots.is_empty() || !schema.conditions.is_empty();
    let null = schema.types.has(Types::NULL) && past;
    unread || null || schema.read_only || schema.write_only || (schema.parts.len() > 1 && of_parts)
}

struct Writer<'g> {
    graph: &'g Graph,
    wider: &'g BTreeSet<SchemaId>,
    side: Side,
    refers_to: BTreeSet<SchemaId>,
}

impl Writer<'_> {
    fn schema(&mut self, schema: &Schema) -> Value {
        if is_never(schema) {
            return Value::Bool(false);
        }
        let mut out = Map::new();
        self.scalars(schema, &mut out);
        self.objects(schema, &mut out);
        self.lists(schema, &mut out);
        let mut all = self.further(schema);
        match all.len() {
            0 => {}
            // A keyword of its own is found more easily in what is said of a fault.
            1 if all[0].as_object().is_some_and(|one| one.keys().all(|key| !out.contains_key(key))) => {
                out.extend(all.remove(0).as_object().cloned().unwrap_or_default());
            }
            _ => {
                out.insert("allOf".to_owned(), Value::Array(all));
            }
        }
        Value::Object(out)
    }

    fn scalars(&self, schema: &Schema, out: &mut Map<String, Value>) {
        let mut set = |key: &str, value: Value| out.insert(key.to_owned(), value);
        if let Some(types) = types(schema) {
            set("type", types);
        }
        // Where two are asked for together, their names are joined; nobody knows such a format.
        if let Some(format) = &schema.format {
            set("format", json!(format));
        }
        if let Some(values) = &schema.values {
            let values = values.list.iter().filter_map(|text| serde_json::from_str(text).ok());
            let null = schema.types.has(Types::NULL).then_some(Value::Null);
            set("enum", values.chain(null).collect());
        }
        for bound in BOUNDS {
            if let Some(number) = schema.bounds[bound as usize].and_then(number) {
                set(bound.keyword(), number);
            }
        }
        if let Some(one) = schema.multiple_of.first().copied().and_then(number) {
            set("multipleOf", one);
        }
        if let Some(one) = schema.patterns.first() {
            set("pattern", json!(one));
        }
        if schema.unique_items {
            set("uniqueItems", json!(true));
        }
    }

    fn objects(&mut self, schema: &Schema, out: &mut Map<String, Value>) {
        let required: Vec<&String> =
            schema.required.iter().filter(|name| self.counts(schema, name)).collect();
        if !required.is_empty() {
            out.insert("required".to_owned(), json!(required));
        }
        if !schema.dependent_required.is_empty() {
            out.insert("dependentRequired".to_owned(), json!(schema.dependent_required));
        }
        for (key, named) in [
            ("properties", &schema.properties),
            ("patternProperties", &schema.pattern_properties),
            ("dependentSchemas", &schema.dependent_schemas),
        ] {
            if !named.is_empty() {
                let named: Map<String, Value> =
                    named.iter().map(|(name, id)| (name.clone(), self.refer(*id))).collect();
                out.insert(key.to_owned(), Value::Object(named));
            }
        }
        self.rest("additionalProperties", schema.additional, out);
        self.rest("unevaluatedProperties", schema.unevaluated_properties, out);
        self.one("propertyNames", schema.property_names, out);
    }

    /// Whether a property that is required is so on this side.
    fn counts(&self, schema: &Schema, name: &str) -> bool {
        let property = schema.properties.get(name).map(|id| self.graph.get(*id));
        property.is_none_or(|property| match self.side {
            Side::Request => !property.read_only,
            Side::Response => !property.write_only,
        })
    }

    fn lists(&mut self, schema: &Schema, out: &mut Map<String, Value>) {
        if !schema.prefix_items.is_empty() {
            let items = schema.prefix_items.iter().map(|id| self.refer(*id)).collect();
            out.insert("prefixItems".to_owned(), items);
        }
        self.rest("items", schema.items, out);
        self.rest("unevaluatedItems", schema.unevaluated_items, out);
        self.one("contains", schema.contains, out);
    }

    /// What may be there more than once, each as a schema of its own.
    fn further(&mut self, schema: &Schema) -> Vec<Value> {
        let mut all: Vec<Value> = Vec::new();
        all.extend(
            schema.multiple_of.iter().skip(1).filter_map(|n| Some(json!({ "multipleOf": number(*n)? }))),
        );
        all.extend(schema.patterns.iter().skip(1).map(|pattern| json!({ "pattern": pattern })));
        for union in &schema.unions {
            all.push(self.union(schema, union));
        }
        let nots: Vec<SchemaId> = schema.nots.iter().copied().filter(|id| !self.wider.contains(id)).collect();
        let mut further: Vec<Value> = nots.into_iter().map(|id| json!({ "not": self.refer(id) })).collect();
        for condition in &schema.conditions {
            further.extend(self.condition(condition));
        }
        // `null` beside a branch is a type of the whole, to which what the branch says does not apply.
        let nullable = schema.types.has(Types::NULL);
        all.extend(further.into_iter().map(|one| if nullable { or_null(&one) } else { one }));
        all
    }

    fn union(&mut self, schema: &Schema, union: &Union) -> Value {
        // Of branches that allow too much, more than one may fit.
        let known = union.branches.iter().all(|branch| !self.wider.contains(&branch.schema));
        let kind = if known { union.kind } else { UnionKind::AnyOf };
        let branches: Value = union.branches.iter().map(|branch| self.refer(branch.schema)).collect();
        let written = json!({ kind.keyword(): branches });
        // A branch of nothing but `null` is said of the whole.
        if schema.types.has(Types::NULL) { or_null(&written) } else { written }
    }

    fn condition(&mut self, condition: &Condition) -> Option<Value> {
        let when = condition.when.filter(|id| !self.wider.contains(id))?;
        let mut out = Map::new();
        out.insert("if".to_owned(), self.refer(when));
        self.one("then", condition.then, &mut out);
        self.one("else", condition.otherwise, &mut out);
        Some(Value::Object(out))
    }

    fn rest(&mut self, key: &str, rest: Rest, out: &mut Map<String, Value>) {
        match rest {
            Rest::Open => {}
            Rest::Closed => {
                out.insert(key.to_owned(), Value::Bool(false));
            }
            Rest::Schema(id) => self.one(key, Some(id), out),
        }
    }

    fn one(&mut self, key: &str, id: Option<SchemaId>, out: &mut Map<String, Value>) {
        if let Some(id) = id {
            let schema = self.refer(id);
            out.insert(key.to_owned(), schema);
        }
    }

    fn refer(&mut self, id: SchemaId) -> Value {
        self.refers_to.insert(id);
        json!({ "$ref": format!("#/$defs/{}", self.side.key(id)) })
    }
}

fn or_null(schema: &Value) -> Value {
    json!({ "anyOf": [{ "type": "null" }, schema] })
}

/// Whether no value fits, which JSON Schema has no empty list of types or values for.
fn is_never(schema: &Schema) -> bool {
    let no_type = schema.types.is_empty() && schema.odd_types.is_empty();
    let no_value = schema.values.as_ref().is_some_and(|values| values.list.is_empty());
    schema.never || no_type || (no_value && !schema.types.has(Types::NULL))
}

/// The keyword `type`; none where every type will do, or one is named that nobody knows.
fn types(schema: &Schema) -> Option<Value> {
    if schema.types == Types::ALL || !schema.odd_types.is_empty() {
        return None;
    }
    let names = [
        ("null", Types::NULL),
        ("boolean", Types::BOOLEAN),
        ("string", Types::STRING),
        ("array", Types::ARRAY),
        ("object", Types::OBJECT),
    ];
    let mut listed: Vec<&str> =
        names.iter().filter(|(_, t)| schema.types.has(*t)).map(|(name, _)| *name).collect();
    if schema.types.has(Types::FRACTION) {
        listed.push("number");
    } else if schema.types.has(Types::INTEGER) {
        listed.push("integer");
    }
    Some(match listed[..] {
        [one] => json!(one),
        _ => json!(listed),
    })
}

fn number(number: Number) -> Option<Value> {
    serde_json::from_str(&number.to_string()).ok()
}

//! The keywords of all parts of a schema, taken together: the tightest bound, every pattern, all that is required.

use std::collections::{BTreeMap, BTreeSet};

use super::flatten::{Flat, RawUnion};
use super::{
    BOUNDS, Bound, Branch, Condition, Discriminator, Lowering, Rest, Schema, SchemaId, Union, Values,
};
use crate::files::At;
use crate::tree::{Number, Value};

impl Lowering<'_> {
    pub(super) fn lower(&mut self, flat: Flat) -> Schema {
        let mut schema = Schema {
            types: flat.types,
            odd_types: flat.odd_types,
            never: flat.never,
            lost: flat.lost,
            unions: flat.unions.iter().map(|union| self.union(union)).collect(),
            discriminator: flat.discriminators.first().map(|at| self.discriminator(*at)),
            ..Schema::default()
        };
        for part in &flat.parts {
            self.scalars(*part, &mut schema);
        }
        for branches in &flat.constants {
            let values = branches.iter().filter_map(|b| self.set.get(*b, "const"));
            let list = values.map(|v| self.set.canonical(v).into()).collect();
            narrow(&mut schema.values, Values { list, constant: false });
        }
        self.objects(&flat.parts, &mut schema);
        self.lists(&flat.parts, &mut schema);
        self.conditions(&flat.parts, &mut schema);
        schema.parts = flat.parts;
        schema
    }

    fn union(&mut self, raw: &RawUnion) -> Union {
        let branches = raw.branches.iter().map(|at| {
            let (name, component) = self.name_of(*at);
            Branch { schema: self.schema(*at), name, component }
        });
        Union { kind: raw.kind, branches: branches.collect() }
    }

    fn discriminator(&self, at: At) -> Discriminator {
        let Some(node) = self.set.get(at, "discriminator") else { return Discriminator::default() };
        let mapping = self.set.get(node, "mapping").into_iter().flat_map(|mapping| {
            let entries = self.set.entries(mapping).iter();
            entries.map(move |e| (e.key.to_string(), self.set.canonical(At { node: e.value, ..mapping })))
        });
        Discriminator {
            property: self.set.text_of(node, "propertyName").unwrap_or_default().to_owned(),
            mapping: mapping.collect(),
        }
    }

    /// What needs no other schema.
    fn scalars(&self, at: At, schema: &mut Schema) {
        let set = &self.set;
        let text = |key: &str| set.text_of(at, key).filter(|t| !t.is_empty()).map(str::to_owned);
        if let Some(format) = text("format") {
            schema.format = Some(match schema.format.take() {
                Some(before) if before != format => format!("{before} and {format}"),
                _ => format,
            });
        }
        self.values(at, schema);
        self.bounds(at, schema);
        if let Some(number) = self.number(at, "multipleOf") {
            schema.multiple_of.push(number);
            schema.multiple_of.sort();
            schema.multiple_of.dedup();
        }
        // What everything matches bounds nothing.
        schema.patterns.extend(text("pattern").filter(|p| !matches!(&**p, ".*" | "^.*$" | "^.*" | ".*$")));
        schema.unique_items |= set.flag(at, "uniqueItems");
        schema.read_only |= set.flag(at, "readOnly");
        schema.write_only |= set.flag(at, "writeOnly");
        schema.deprecated |= set.flag(at, "deprecated");
        let first = |slot: &mut Option<String>, value: Option<String>| {
            if slot.is_none() {
                *slot = value;
            }
        };
        first(&mut schema.content_media_type, text("contentMediaType"));
        first(&mut schema.content_encoding, text("contentEncoding"));
        let canonical = |key: &str| set.get(at, key).map(|node| set.canonical(node));
        first(&mut schema.sunset, set.get(at, "x-sunset").map(|n| crate::lifecycle::text(set, n)));
        first(&mut schema.stability, text("x-stability-level"));
        first(&mut schema.default, canonical("default"));
        first(&mut schema.xml, canonical("xml"));
        if let Some(list) = set.get(at, "x-extensible-enum") {
            let values: BTreeSet<String> = set.items(list).map(|v| set.canonical(v)).collect();
            schema.extensible.get_or_insert_default().extend(values);
        }
        schema.required.extend(self.texts(at, "required"));
    }

    fn values(&self, at: At, schema: &mut Schema) {
        let set = &self.set;
        let real = |v: &At| !matches!(set.value(*v), Value::Null);
        if let Some(value) = set.get(at, "const").filter(real) {
            let list = [set.canonical(value).into()].into();
            narrow(&mut schema.values, Values { list, constant: true });
        }
        if let Some(list) = set.get(at, "enum") {
            let list: BTreeSet<Box<str>> =
                set.items(list).filter(real).map(|v| set.canonical(v).into()).collect();
            if !list.is_empty() {
                narrow(&mut schema.values, Values { list, constant: false });
            }
        }
    }

    fn bounds(&self, at: At, schema: &mut Schema) {
        for bound in BOUNDS {
            let key = bound.keyword();
            // OpenAPI 3.0 says beside `maximum` that it is not reached itself.
            let number = match bound {
                Bound::ExclusiveMax if self.set.flag(at, key) => self.number(at, "maximum"),
                Bound::ExclusiveMin if self.set.flag(at, key) => self.number(at, "minimum"),
                Bound::Max if self.set.flag(at, "exclusiveMaximum") => None,
                Bound::Min if self.set.flag(at, "exclusiveMinimum") => None,
                _ => self.number(at, key),
            };
            let Some(number) = number else { continue };
            if bound.implied().is_some_and(|implied| number == Number::Int(implied)) {
                continue;
            }
            let slot = &mut schema.bounds[bound as usize];
            *slot = Some(match *slot {
                Some(before) if bound.is_upper() => before.min(number),
                Some(before) => before.max(number),
                None => number,
            });
        }
    }

    fn objects(&mut self, parts: &[At], schema: &mut Schema) {
        schema.properties = self.named(parts, "properties");
        schema.pattern_properties = self.named(parts, "patternProperties");
        schema.dependent_schemas = self.named(parts, "dependentSchemas");
        schema.additional = self.rest(parts, "additionalProperties");
        schema.unevaluated_properties = self.rest(parts, "unevaluatedProperties");
        schema.property_names = self.single(parts, "propertyNames");
        for part in parts {
            let Some(node) = self.set.get(*part, "dependentRequired") else { continue };
            let names: Vec<String> = self.set.entries(node).iter().map(|e| e.key.to_string()).collect();
            for name in names {
                let all = self.texts(node, &name);
                schema.dependent_required.entry(name).or_default().extend(all);
            }
        }
    }

    fn lists(&mut self, parts: &[At], schema: &mut Schema) {
        schema.items = self.rest(parts, "items");
        schema.unevaluated_items = self.rest(parts, "unevaluatedItems");
        schema.contains = self.single(parts, "contains");
        schema.content_schema = self.single(parts, "contentSchema");
        let mut places: Vec<Vec<At>> = Vec::new();
        for part in parts {
            let Some(list) = self.set.get(*part, "prefixItems") else { continue };
            for (at, item) in self.set.items(list).enumerate() {
                if places.len() <= at {
                    places.push(Vec::new());
                }
                places[at].push(item);
            }
        }
        schema.prefix_items = places.into_iter().map(|nodes| self.all_of(nodes)).collect();
    }

    fn conditions(&mut self, parts: &[At], schema: &mut Schema) {
        for part in parts {
            let mut one = |key: &str| self.set.get(*part, key).map(|node| self.schema(node));
            let condition = Condition { when: one("if"), then: one("then"), otherwise: one("else") };
            schema.nots.extend(one("not"));
            if condition != Condition::default() {
                schema.conditions.push(condition);
            }
        }
    }

    /// Schemas by name: what several parts say of the same name counts together.
    fn named(&mut self, parts: &[At], key: &str) -> BTreeMap<String, SchemaId> {
        let mut by_name: BTreeMap<String, Vec<At>> = BTreeMap::new();
        for part in parts {
            let Some(node) = self.set.get(*part, key) else { continue };
            for entry in self.set.entries(node) {
                by_name.entry(entry.key.to_string()).or_default().push(At { node: entry.value, ..node });
            }
        }
        by_name.into_iter().map(|(name, nodes)| (name, self.all_of(nodes))).collect()
    }

    fn rest(&mut self, parts: &[At], key: &str) -> Rest {
        let mut schemas = Vec::new();
        for node in parts.iter().filter_map(|part| self.set.get(*part, key)) {
            match self.set.value(node) {
                Value::Bool(false) => return Rest::Closed,
                Value::Map(entries) if !entries.is_empty() => schemas.push(node),
                _ => {}
            }
        }
        if schemas.is_empty() { Rest::Open } else { Rest::Schema(self.all_of(schemas)) }
    }

    fn single(&mut self, parts: &[At], key: &str) -> Option<SchemaId> {
        let nodes: Vec<At> = parts.iter().filter_map(|part| self.set.get(*part, key)).collect();
        (!nodes.is_empty()).then(|| self.all_of(nodes))
    }

    fn number(&self, at: At, key: &str) -> Option<Number> {
        match self.set.get(at, key).map(|node| self.set.value(node)) {
            Some(Value::Number(number)) => Some(*number),
            _ => None,
        }
    }

    fn texts(&self, at: At, key: &str) -> Vec<String> {
        let list = self.set.get(at, key);
        let items = list.into_iter().flat_map(|list| self.set.items(list));
        items.filter_map(|item| self.set.text(item).map(str::to_owned)).collect()
    }
}

/// Leaves only what both allow.
fn narrow(slot: &mut Option<Values>, values: Values) {
    *slot = Some(match slot.take() {
        Some(before) => Values {
            list: before.list.intersection(&values.list).cloned().collect(),
            constant: before.constant || values.constant,
        },
        None => values,
    });
}

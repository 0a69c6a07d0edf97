//! Gathers all that counts for one value: what references lead to, the branches of `allOf`, unions that are none.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::{Lowering, Types, UnionKind};
use crate::files::{At, Target};
use crate::tree::Value;

/// One schema has no more parts than this; what is beyond is not looked at and makes it unknown.
const MAX_FLAT: usize = 10_000;

/// So many nodes of a branch are looked at for what may refuse `null`.
const LOOKED_INTO: usize = 100;

/// Nodes whose types are taken together before `null` is added or taken away.
#[derive(Debug, Clone, Copy)]
struct Group {
    parent: usize,
    /// Whether `null` is valid whatever the parts say, or is not.
    null: Option<bool>,
}

/// A union that stays one.
#[derive(Debug)]
pub struct RawUnion {
    pub kind: UnionKind,
    pub branches: Vec<At>,
}

/// What [`Lowering::flatten`] finds.
#[derive(Debug, Default)]
pub struct Flat {
    pub parts: Vec<At>,
    pub unions: Vec<RawUnion>,
    /// `const`s of a union of nothing but constants.
    pub constants: Vec<Vec<At>>,
    pub types: Types,
    pub odd_types: BTreeSet<String>,
    pub never: bool,
    pub lost: BTreeSet<String>,
    pub discriminators: Vec<At>,
}

impl Lowering<'_> {
    pub(super) fn flatten(&mut self, from: &[At]) -> Flat {
        let mut flat = Flat::default();
        let mut groups = vec![Group { parent: 0, null: None }];
        let mut declared: Vec<(usize, Types)> = Vec::new();
        let mut seen = HashSet::new();
        let mut todo: Vec<(At, usize)> = from.iter().rev().map(|at| (*at, 0)).collect();
        while let Some((at, group)) = todo.pop() {
            if !seen.insert(at) {
                continue;
            }
            if flat.parts.len() >= MAX_FLAT {
                flat.lost.insert("more parts than can be looked at".to_owned());
                break;
            }
            match self.set.value(at) {
                Value::Bool(false) => {
                    flat.never = true;
                    flat.parts.push(at);
                    continue;
                }
                Value::Map(_) => {}
                _ => continue,
            }
            if let Some(reference) = self.set.text_of(at, "$ref").map(str::to_owned) {
                match self.set.resolve(at, &reference) {
                    Target::At(target) => todo.push((target, group)),
                    Target::Lost(reference) => {
                        flat.lost.insert(reference.into());
                    }
                }
                if self.old_dialect {
                    continue;
                }
            }
            let mut open = |parent: usize, null: bool| {
                groups.push(Group { parent, null: Some(null) });
                groups.len() - 1
            };
            let composed = ["allOf", "oneOf", "anyOf"].iter().any(|key| self.set.has(at, key));
            let nullable = self.set.flag(at, "nullable");
            // `nullable` beside `allOf` means the whole of it, as everybody uses it.
            let group =
                if nullable && composed && !self.set.has(at, "type") { open(group, true) } else { group };
            flat.parts.push(at);
            declared.push((group, self.declared(at, &mut flat.odd_types)));
            if self.set.has(at, "discriminator") {
                flat.discriminators.push(at);
            }
            let mut next = Vec::new();
            if let Some(all) = self.set.get(at, "allOf") {
                next.extend(self.set.items(all).map(|branch| (branch, group)));
            }
            for kind in [UnionKind::OneOf, UnionKind::AnyOf] {
                let Some(list) = self.set.get(at, kind.keyword()) else { continue };
                let branches: Vec<At> = self.set.items(list).collect();
                let (nulls, rest): (Vec<At>, Vec<At>) = branches.into_iter().partition(|b| self.is_null(*b));
                let mut inner = group;
                if !nulls.is_empty() {
                    // With `oneOf`, `null` that two branches allow is not allowed.
                    let takes =
                        |own: &mut Self, b: &At| own.types_of(*b).has(Types::NULL) && !own.may_refuse(*b);
                    let taken = nulls.len() > 1 || rest.iter().any(|b| takes(self, b));
                    inner = open(group, kind == UnionKind::AnyOf || !taken);
                    if rest.is_empty() {
                        declared.push((inner, Types::NONE));
                    }
                }
                match rest.len() {
                    0 => {}
                    1 => next.push((rest[0], inner)),
                    _ => {
                        let types = self.union_types(&rest);
                        declared.push((inner, types));
                        if self.are_constants(&rest) {
                            flat.constants.push(rest);
                        } else if !self.are_types(kind, &rest) {
                            flat.unions.push(RawUnion { kind, branches: rest });
                        }
                    }
                }
            }
            todo.extend(next.into_iter().rev());
        }
        flat.types = combine(&groups, &declared);
        flat
    }

    /// The types that a node itself names.
    fn declared(&self, at: At, odd: &mut BTreeSet<String>) -> Types {
        let mut types = match self.set.get(at, "type") {
            Some(node) => {
                let names: Vec<At> = match self.set.value(node) {
                    Value::List(_) => self.set.items(node).collect(),
                    _ => vec![node],
                };
                let mut types = Types::NONE;
                for name in names.iter().filter_map(|name| match self.set.value(*name) {
                    Value::Null => Some("null"),
                    _ => self.set.text(*name),
                }) {
                    match Types::named(name) {
                        Some(bits) => types = types | bits,
                        None => {
                            odd.insert(name.to_owned());
                        }
                    }
                }
                if types.is_empty() && odd.is_empty() { Types::ALL } else { types }
            }
            None => self.types_of_values(at),
        };
        if self.set.flag(at, "nullable") {
            types = types | Types::NULL;
        } else if !self.old_dialect && self.has_values_but_null(at) {
            types = types.without(Types::NULL);
        }
        types
    }

    /// `enum` and `const` without `type` say it as well.
    fn types_of_values(&self, at: At) -> Types {
        let mut values: Vec<At> = Vec::new();
        if let Some(list) = self.set.get(at, "enum") {
            values.extend(self.set.items(list));
        }
        values.extend(self.set.get(at, "const"));
        if values.is_empty() {
            return Types::ALL;
        }
        values.iter().fold(Types::NONE, |types, value| {
            types
                | match self.set.value(*value) {
                    Value::Null => Types::NULL,
                    Value::Bool(_) => Types::BOOLEAN,
                    Value::Number(crate::tree::Number::Int(_)) => Types::INTEGER,
                    Value::Number(_) => Types::NUMBER,
                    Value::Text(_) => Types::STRING,
                    Value::List(_) => Types::ARRAY,
                    Value::Map(_) => Types::OBJECT,
                }
        })
    }

    fn has_values_but_null(&self, at: At) -> bool {
        let is_null = |v: At| matches!(self.set.value(v), Value::Null);
        match (self.set.get(at, "const"), self.set.get(at, "enum")) {
            (Some(value), _) => !is_null(value),
            (None, Some(list)) => self.set.items(list).next().is_some() && !self.set.items(list).any(is_null),
            (None, None) => false,
        }
    }

    /// Whether a branch is nothing but `null`.
    fn is_null(&self, at: At) -> bool {
        let null = |node: At| match self.set.value(node) {
            Value::Null => true,
            Value::Text(text) => &**text == "null",
            _ => false,
        };
        if let Some(node) = self.set.get(at, "type") {
            let items: Vec<At> = self.set.items(node).collect();
            return null(node) || (items.len() == 1 && null(items[0]));
        }
        let listed = self.set.get(at, "enum").map(|list| self.set.items(list).collect::<Vec<_>>());
        let is = |v: &At| matches!(self.set.value(*v), Value::Null);
        listed.is_some_and(|l| !l.is_empty() && l.iter().all(is))
            || self.set.get(at, "const").is_some_and(|v| is(&v))
    }

    /// Whether a node may refuse a value of a type that it allows, by what has nothing to do with types.
    fn may_refuse(&mut self, at: At) -> bool {
        let (mut todo, mut seen) = (vec![at], HashSet::new());
        while let Some(at) = todo.pop() {
            if !seen.insert(at) {
                continue;
            }
            if seen.len() > LOOKED_INTO || ["not", "if", "oneOf"].iter().any(|key| self.set.has(at, key)) {
                return true;
            }
            for list in ["allOf", "anyOf"].into_iter().filter_map(|key| self.set.get(at, key)) {
                todo.extend(self.set.items(list));
            }
            if self.set.has(at, "$ref") {
                todo.extend(self.set.follow(at));
            }
        }
        false
    }

    fn union_types(&mut self, branches: &[At]) -> Types {
        branches.iter().fold(Types::NONE, |types, branch| types | self.types_of(*branch))
    }

    /// The types that a node allows, references and compositions looked into; all of them where it goes in circles.
    fn types_of(&mut self, at: At) -> Types {
        self.types_within(at, 0)
    }

    fn types_within(&mut self, at: At, depth: usize) -> Types {
        if let Some(known) = self.raw_types.get(&at) {
            return *known;
        }
        if depth > 64 {
            return Types::ALL;
        }
        self.raw_types.insert(at, Types::ALL);
        let mut types = match self.set.value(at) {
            Value::Bool(false) => Types::NONE,
            Value::Map(_) => self.declared(at, &mut BTreeSet::new()),
            _ => Types::ALL,
        };
        if self.set.has(at, "$ref") {
            let target = self.set.follow(at).filter(|target| *target != at);
            let referred = target.map_or(Types::ALL, |target| self.types_within(target, depth + 1));
            types = if self.old_dialect { referred } else { types & referred };
        } else {
            for key in ["allOf", "oneOf", "anyOf"] {
                let Some(list) = self.set.get(at, key) else { continue };
                let branches: Vec<At> = self.set.items(list).collect();
                let inner = branches.iter().map(|b| self.types_within(*b, depth + 1));
                let found = match key {
                    "allOf" => inner.fold(Types::ALL, |a, b| a & b),
                    _ => inner.reduce(|a, b| a | b).unwrap_or(Types::ALL),
                };
                types = types & found;
            }
            if self.set.flag(at, "nullable") {
                types = types | Types::NULL;
            }
        }
        self.raw_types.insert(at, types);
        types
    }

    /// Whether the branches only name types, so that the union is a list of types.
    fn are_types(&mut self, kind: UnionKind, branches: &[At]) -> bool {
        let quiet = ["type", "title", "description", "example", "examples", "nullable"];
        let mut so_far = Types::NONE;
        for branch in branches {
            let branch = self.written_out(*branch);
            let entries = self.set.entries(branch);
            if !self.set.has(branch, "type") || !entries.iter().all(|e| quiet.contains(&&*e.key)) {
                return false;
            }
            let mut odd = BTreeSet::new();
            let types = self.declared(branch, &mut odd);
            // What two branches of `oneOf` allow is not allowed.
            if !odd.is_empty() || (kind == UnionKind::OneOf && so_far.meets(types)) {
                return false;
            }
            so_far = so_far | types;
        }
        true
    }

    /// Whether every branch is one constant: the way to describe each value of an enumeration.
    fn are_constants(&self, branches: &[At]) -> bool {
        let quiet = ["const", "type", "title", "description", "deprecated"];
        branches.iter().all(|branch| {
            self.set.has(*branch, "const")
                && self.set.entries(*branch).iter().all(|e| quiet.contains(&&*e.key))
        })
    }

    /// What a node says that says nothing itself: it only refers, or composes one schema.
    fn written_out(&mut self, mut at: At) -> At {
        for _ in 0..64 {
            if self.set.entries(at).len() != 1 {
                break;
            }
            let only = ["allOf", "oneOf", "anyOf"].iter().find_map(|key| self.set.get(at, key));
            let branches: Vec<At> = only.into_iter().flat_map(|list| self.set.items(list)).collect();
            let next = match branches[..] {
                [one] => Some(one),
                [] if self.set.has(at, "$ref") => self.set.follow(at),
                _ => None,
            };
            match next {
                Some(next) => at = next,
                None => break,
            }
        }
        at
    }

    /// The name of the component that a branch refers to, or its title.
    pub(super) fn name_of(&self, at: At) -> (Option<Arc<str>>, bool) {
        if let Some(reference) = self.set.text_of(at, "$ref") {
            let name = reference.rsplit(['/', '#']).find(|part| !part.is_empty()).unwrap_or(reference);
            return (Some(name.into()), true);
        }
        let only = self.set.get(at, "allOf").filter(|_| self.set.entries(at).len() == 1);
        let branches: Vec<At> = only.into_iter().flat_map(|list| self.set.items(list)).collect();
        if let [one] = branches[..]
            && self.set.has(one, "$ref")
        {
            return self.name_of(one);
        }
        (self.set.text_of(at, "title").map(Into::into), false)
    }
}

/// Takes the types of all groups together, inner ones first: they come after those that they are in.
fn combine(groups: &[Group], declared: &[(usize, Types)]) -> Types {
    let mut types = vec![Types::ALL; groups.len()];
    for (group, declared) in declared {
        types[*group] = types[*group] & *declared;
    }
    for (at, group) in groups.iter().enumerate().rev() {
        match group.null {
            Some(true) => types[at] = types[at] | Types::NULL,
            Some(false) => types[at] = types[at].without(Types::NULL),
            None => {}
        }
        if at != group.parent {
            types[group.parent] = types[group.parent] & types[at];
        }
    }
    types[0]
}

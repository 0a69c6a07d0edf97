//! Which schemas of two contracts say the same.
//!
//! Partition refinement: schemas begin in classes by what they say themselves, and are told apart by the classes of
//! those that they name until nothing changes. Recursion is no trouble, and the work is rounds times edges.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher, Hash, Hasher, RandomState};

use super::{Graph, Rest, Schema, SchemaId};

/// Classes are refined in no more steps than this. A chain of references as long as a hostile document can make it would
/// take the square of its length.
const MAX_STEPS: usize = 5_000_000;

/// The class of every schema of both graphs: equal where they say the same. Where that cannot be found out in bounded
/// time every schema has a class of its own, so nothing is taken for the same without having been looked at.
pub fn classes(old: &Graph, new: &Graph) -> (Vec<u64>, Vec<u64>) {
    // Random keys: nobody can make two different schemas meet in one class on purpose.
    let state = RandomState::new();
    let all = || old.schemas.iter().chain(&new.schemas);
    let own: Vec<u64> = all().map(|schema| hash_own(&state, schema)).collect();
    let offset = old.schemas.len();
    let children: Vec<Vec<(u8, u32)>> = all().map(children).collect();
    let mut now = own.clone();
    let mut count = distinct(&now);
    let rounds = MAX_STEPS / now.len().max(1);
    for _ in 0..rounds.max(1) {
        let next: Vec<u64> = (0..now.len())
            .map(|at| {
                let from = if at < offset { 0 } else { offset };
                let mut hasher = state.build_hasher();
                own[at].hash(&mut hasher);
                let mut unordered: HashMap<u8, Vec<u64>> = HashMap::new();
                for (role, child) in &children[at] {
                    let class = now[from + *child as usize];
                    match role {
                        // The branches of a union have no order.
                        0..UNORDERED => (role, class).hash(&mut hasher),
                        _ => unordered.entry(*role).or_default().push(class),
                    }
                }
                let mut lists: Vec<(u8, Vec<u64>)> = unordered.into_iter().collect();
                for (_, list) in &mut lists {
                    list.sort_unstable();
                }
                lists.sort_unstable();
                lists.hash(&mut hasher);
                hasher.finish()
            })
            .collect();
        now = next;
        let refined = distinct(&now);
        if refined == count {
            let news = now.split_off(offset);
            return (now, news);
        }
        count = refined;
    }
    let own_class = |from: usize, length: usize| (from..from + length).map(|at| at as u64).collect();
    (own_class(0, offset), own_class(offset, new.schemas.len()))
}

fn distinct(classes: &[u64]) -> usize {
    classes.iter().collect::<HashSet<_>>().len()
}

/// Roles from here on are those of the branches of a union, one role for each union.
const UNORDERED: u8 = 32;

/// The schemas that one refers to, each with its role.
pub fn children(schema: &Schema) -> Vec<(u8, u32)> {
    let mut out = Vec::new();
    let mut one = |role: u8, id: Option<SchemaId>| out.extend(id.map(|id| (role, id.0)));
    let rest = |rest: Rest| match rest {
        Rest::Schema(id) => Some(id),
        _ => None,
    };
    one(1, schema.property_names);
    one(2, schema.contains);
    one(3, schema.content_schema);
    one(4, rest(schema.additional));
    one(5, rest(schema.items));
    one(6, rest(schema.unevaluated_items));
    one(7, rest(schema.unevaluated_properties));
    for condition in &schema.conditions {
        one(8, condition.when);
        one(9, condition.then);
        one(10, condition.otherwise);
    }
    for (role, ids) in [(11, &schema.prefix_items), (12, &schema.nots)] {
        ids.iter().for_each(|id| one(role, Some(*id)));
    }
    for (role, map) in
        [(13, &schema.properties), (14, &schema.pattern_properties), (15, &schema.dependent_schemas)]
    {
        map.values().for_each(|id| one(role, Some(*id)));
    }
    for (at, union) in schema.unions.iter().enumerate() {
        let role = UNORDERED.saturating_add(u8::try_from(at).unwrap_or(u8::MAX));
        union.branches.iter().for_each(|branch| one(role, Some(branch.schema)));
    }
    out
}

/// Whether two schemas say the same themselves, those that they name left out.
pub fn says_the_same(a: &Schema, b: &Schema) -> bool {
    let state = RandomState::new();
    hash_own(&state, a) == hash_own(&state, b) && children(a) == children(b)
}

fn hash_own(state: &RandomState, schema: &Schema) -> u64 {
    let mut h = state.build_hasher();
    // Destructured, so that a new field has to be thought about here.
    let Schema {
        parts: _,
        types,
        odd_types,
        format,
        values,
        bounds,
        multiple_of,
        patterns,
        unique_items,
        properties,
        required,
        additional,
        pattern_properties,
        property_names,
        dependent_required,
        dependent_schemas,
        items,
        prefix_items: _,
        contains,
        unevaluated_items,
        unevaluated_properties,
        unions,
        nots: _,
        conditions,
        content_schema,
        content_media_type,
        content_encoding,
        discriminator,
        read_only,
        write_only,
        deprecated,
        sunset,
        stability,
        default,
        extensible,
        xml,
        never,
        lost,
    } = schema;
    (types, odd_types, format, patterns, unique_items, required).hash(&mut h);
    values.as_ref().map(|v| (&v.list, v.constant && v.list.len() > 1)).hash(&mut h);
    for number in bounds {
        number.map(|n| n.to_string()).hash(&mut h);
    }
    multiple_of.iter().map(ToString::to_string).collect::<Vec<_>>().hash(&mut h);
    for keys in [properties, pattern_properties, dependent_schemas] {
        keys.keys().collect::<BTreeSet<_>>().hash(&mut h);
    }
    for rest in [additional, items, unevaluated_items, unevaluated_properties] {
        std::mem::discriminant(rest).hash(&mut h);
    }
    (property_names.is_some(), contains.is_some(), content_schema.is_some(), dependent_required).hash(&mut h);
    for union in unions {
        (union.kind, union.branches.len()).hash(&mut h);
        // Clients made from the contract have a type for each component: which ones there are is looked at by name.
        let names: BTreeSet<_> = union.branches.iter().filter(|b| b.component).map(|b| &b.name).collect();
        names.hash(&mut h);
    }
    for condition in conditions {
        (condition.when.is_some(), condition.then.is_some(), condition.otherwise.is_some()).hash(&mut h);
    }
    (content_media_type, content_encoding, discriminator, read_only, write_only, deprecated).hash(&mut h);
    (sunset, stability, default, extensible, xml, never, lost).hash(&mut h);
    h.finish()
}

//! `oneOf` and `anyOf`: which alternative became which, and whether a schema is one of several alternatives.

use foldhash::{HashMap, HashMapExt, HashSet, HashSetExt};

use super::schema::{Both, clip};
use super::{Comparer, Level, Pair, Say};
use crate::rules::{Facet, Severity, facet};
use crate::schema::{Branch, Rest, Schema, SchemaId, Union, UnionKind};

/// Unions of more pairs of branches than this are not looked through for what says the same in other words.
const MOST_LOOKS: usize = 64;

impl<'a> Comparer<'a> {
    /// Compares unions. Says whether the rest of the schemas is to be compared.
    pub(super) fn unions(&mut self, both: Both<'_>) -> bool {
        let Both { old, new, .. } = both;
        self.discriminator(both);
        let (olds, news) = (distinct(old, self.pair.old_classes), distinct(new, self.pair.new_classes));
        match (olds.as_slice(), news.as_slice()) {
            ([], []) => true,
            (&[before], &[after]) => {
                self.union(both, before, after);
                true
            }
            ([], &[after]) if new.is_bare() => {
                self.wrapped(both, after);
                false
            }
            (&[before], []) if old.is_bare() => {
                self.unwrapped(both, before);
                false
            }
            ([], _) => {
                let text = "has to match alternatives now";
                self.tell(both, &facet::UNION_ADDED, &[new.unions[0].kind.keyword()], text);
                true
            }
            (_, []) => {
                let text = "does not have to match alternatives any more";
                self.tell(both, &facet::UNION_REMOVED, &[old.unions[0].kind.keyword()], text);
                true
            }
            (before, after) if before.len() == after.len() => {
                for (before, after) in before.iter().zip(after) {
                    self.union(both, before, after);
                }
                true
            }
            _ => {
                self.tell(
                    both,
                    &facet::UNIONS_CHANGED,
                    &["anyOf"],
                    "has another number of unions beside each other",
                );
                true
            }
        }
    }

    fn union(&mut self, both: Both<'_>, old: &Union, new: &Union) {
        if old.kind != new.kind {
            let text = || format!("has `{}` instead of `{}`", new.kind.keyword(), old.kind.keyword());
            self.say(both, &facet::UNION_KIND_CHANGED, &[new.kind.keyword()], &text);
        }
        let (pairs, removed, added) = self.matched(old, new);
        for (before, after) in pairs {
            let step = || format!("({})", after.name.as_deref().map_or(new.kind.keyword(), |name| name));
            self.within(before.schema, after.schema, both.spot, step);
        }
        let (adding, removing): (&'static Facet, &'static Facet) = match new.kind {
            UnionKind::OneOf => (&facet::ONE_OF_ADDED, &facet::ONE_OF_REMOVED),
            UnionKind::AnyOf => (&facet::ANY_OF_ADDED, &facet::ANY_OF_REMOVED),
        };
        for branch in removed {
            let text = || format!("may not be {} any more", title(branch));
            self.facet(
                removing,
                both.spot,
                (branch.schema, both.ids.1),
                &[new.kind.keyword()],
                Say::With(&text),
            );
        }
        for branch in added {
            let text = || format!("may be {} as well now", title(branch));
            self.facet(
                adding,
                both.spot,
                (both.ids.0, branch.schema),
                &[old.kind.keyword()],
                Say::With(&text),
            );
        }
    }

    /// Which branch became which: by the component that it names, by what it says, by its title, by what it allows, by
    /// being left over.
    fn matched<'b>(&self, old: &'b Union, new: &'b Union) -> Matched<'b> {
        let mut olds: Vec<&Branch> = old.branches.iter().collect();
        let mut news: Vec<&Branch> = new.branches.iter().collect();
        let mut pairs = Vec::new();
        // A component that is still there under its name is another one, whatever it says.
        let renamed = |a: &Branch, b: &Branch| {
            let gone = a.name.as_deref().is_none_or(|name| !self.after().graph.components.contains(name));
            let fresh = b.name.as_deref().is_none_or(|name| !self.before().graph.components.contains(name));
            !(a.component && b.component) || (gone && fresh)
        };
        // References written out within: the same values, though not the same words. Each look costs a comparison.
        let few = old.branches.len() * new.branches.len() <= MOST_LOOKS;
        let rules: [Fits<'_>; 5] = [
            &|a, b| a.component && b.component && a.name == b.name,
            &|a, b| renamed(a, b) && self.pair.same(a.schema, b.schema),
            &|a, b| a.name.is_some() && a.name == b.name,
            &|a, b| self.told_apart(a.schema, b.schema),
            &|a, b| few && renamed(a, b) && self.equivalent(a.schema, b.schema),
        ];
        for rule in rules {
            olds.retain(|a| match news.iter().position(|b| rule(a, b)) {
                Some(at) => {
                    pairs.push((*a, news.remove(at)));
                    false
                }
                None => true,
            });
        }
        if let ([a], [b]) = (olds.as_slice(), news.as_slice())
            && !(a.component && b.component)
        {
            pairs.push((*a, *b));
            return (pairs, Vec::new(), Vec::new());
        }
        (pairs, olds, news)
    }

    /// Whether a required property has the same fixed value in both.
    fn told_apart(&self, old: SchemaId, new: SchemaId) -> bool {
        let (a, b) = (self.before().graph.get(old), self.after().graph.get(new));
        a.required.intersection(&b.required).any(|name| {
            let values = |s: &Schema, api: &crate::openapi::Api| {
                s.properties
                    .get(name)
                    .and_then(|id| api.graph.get(*id).values.clone())
                    .filter(|v| v.list.len() == 1)
            };
            let found = values(a, self.before());
            found.is_some_and(|v| values(b, self.after()).is_some_and(|w| v.list == w.list))
        })
    }

    /// A schema became alternatives.
    fn wrapped(&mut self, both: Both<'_>, new: &Union) {
        // Everything that was valid is one of the alternatives, and with `oneOf` of no other.
        let held = new.branches.iter().position(|branch| self.holds(both.ids.0, branch.schema));
        let widens = held.is_some_and(|at| {
            let others = new.branches.iter().enumerate().filter(|(other, _)| *other != at);
            new.kind == UnionKind::AnyOf
                || others.map(|(_, branch)| branch.schema).all(|other| self.disjoint(both.ids.0, other))
        });
        let flipped = self.pair.flipped();
        let narrows = new.branches.iter().all(|branch| self.with(flipped).holds(branch.schema, both.ids.0));
        let found = match (widens, narrows) {
            (true, true) => return,
            (true, false) => &facet::UNION_WIDENED,
            (false, true) => &facet::UNION_NARROWED,
            (false, false) => &facet::UNION_INCOMPARABLE,
        };
        let text = || format!("is one of {} alternatives now", new.branches.len());
        self.say(both, found, &[new.kind.keyword()], &text);
    }

    /// Alternatives became one schema.
    fn unwrapped(&mut self, both: Both<'_>, old: &Union) {
        let widens = old.branches.iter().all(|branch| self.holds(branch.schema, both.ids.1));
        let flipped = self.pair.flipped();
        let held = old.branches.iter().position(|branch| self.with(flipped).holds(both.ids.1, branch.schema));
        let narrows = held.is_some_and(|at| {
            let others = old.branches.iter().enumerate().filter(|(other, _)| *other != at);
            old.kind == UnionKind::AnyOf
                || others.map(|(_, b)| b.schema).all(|other| self.with(flipped).disjoint(both.ids.1, other))
        });
        let found = match (widens, narrows) {
            (true, true) => return,
            (true, false) => &facet::UNION_WIDENED,
            (false, true) => &facet::UNION_NARROWED,
            (false, false) => &facet::UNION_INCOMPARABLE,
        };
        let text = || format!("was one of {} alternatives, and is one schema now", old.branches.len());
        self.say(both, found, &[old.kind.keyword()], &text);
    }

    /// Asks the same in the other direction, or about other schemas.
    fn with(&self, pair: Pair<'a>) -> Comparer<'a> {
        Comparer {
            pair,
            options: self.options,
            operation: None,
            changes: Vec::new(),
            visited: HashSet::new(),
            dull: HashMap::new(),
            level: Level::default(),
            probing: true,
            softened: false,
        }
    }

    /// Whether everything that is valid by the old schema is valid by the new one, as far as that can be shown.
    fn holds(&self, old: SchemaId, new: SchemaId) -> bool {
        let mut probe = self.with(self.pair);
        let spot = super::Spot::probe();
        probe.schema(old, new, spot);
        probe.changes.iter().all(|change| change.severity <= Severity::Warning)
    }

    /// Whether the same values are valid by both, as far as that can be shown.
    fn equivalent(&self, old: SchemaId, new: SchemaId) -> bool {
        self.holds(old, new) && self.with(self.pair.flipped()).holds(new, old)
    }

    /// Whether it can be shown that no value is valid by both.
    fn disjoint(&self, old: SchemaId, new: SchemaId) -> bool {
        let (a, b) = (self.before().graph.get(old), self.after().graph.get(new));
        if (a.types & b.types).is_empty() && a.odd_types.is_empty() && b.odd_types.is_empty() {
            return true;
        }
        let apart = |a: &Schema, b: &Schema| matches!((&a.values, &b.values), (Some(a), Some(b)) if a.list.is_disjoint(&b.list));
        if apart(a, b) && !(a.types & b.types).has(crate::schema::Types::NULL) {
            return true;
        }
        let closed = |a: &Schema, b: &Schema| {
            a.additional == Rest::Closed && b.required.iter().any(|name| !a.properties.contains_key(name))
        };
        let objects = crate::schema::Types::OBJECT;
        if objects.has(a.types) && objects.has(b.types) && (closed(a, b) || closed(b, a)) {
            return true;
        }
        a.required.intersection(&b.required).any(|name| {
            let (Some(a), Some(b)) = (a.properties.get(name), b.properties.get(name)) else { return false };
            let (a, b) = (self.before().graph.get(*a), self.after().graph.get(*b));
            apart(a, b) || (a.types & b.types).is_empty()
        })
    }

    fn discriminator(&mut self, both: Both<'_>) {
        let key = ["discriminator"];
        match (&both.old.discriminator, &both.new.discriminator) {
            (None, Some(_)) => self.tell(both, &facet::DISCRIMINATOR_ADDED, &key, "has a discriminator now"),
            (Some(_), None) => {
                self.tell(both, &facet::DISCRIMINATOR_REMOVED, &key, "has no discriminator any more")
            }
            (Some(old), Some(new)) if old != new => {
                if old.property != new.property {
                    let text = || {
                        format!(
                            "is told apart by `{}` instead of `{}`",
                            clip(&new.property),
                            clip(&old.property)
                        )
                    };
                    self.say(both, &facet::DISCRIMINATOR_PROPERTY_CHANGED, &key, &text);
                }
                for (value, to) in &old.mapping {
                    let text = || format!("has another discriminator mapping for `{}`", clip(value));
                    match new.mapping.get(value) {
                        None => self.say(both, &facet::DISCRIMINATOR_MAPPING_REMOVED, &key, &text),
                        Some(other) if other != to => {
                            self.say(both, &facet::DISCRIMINATOR_MAPPING_CHANGED, &key, &text);
                        }
                        Some(_) => {}
                    }
                }
                for value in new.mapping.keys().filter(|value| !old.mapping.contains_key(*value)) {
                    let text = || format!("has a discriminator mapping for `{}` now", clip(value));
                    self.say(both, &facet::DISCRIMINATOR_MAPPING_ADDED, &key, &text);
                }
            }
            _ => {}
        }
    }
}

/// Whether one branch became another.
type Fits<'f> = &'f dyn Fn(&Branch, &Branch) -> bool;

/// What became what, what is gone, what is new.
type Matched<'b> = (Vec<(&'b Branch, &'b Branch)>, Vec<&'b Branch>, Vec<&'b Branch>);

/// The unions of a schema. One that is written twice, as `allOf` of two schemas that have it, counts once.
fn distinct<'s>(schema: &'s Schema, classes: &[u64]) -> Vec<&'s Union> {
    let mut seen = HashSet::new();
    let mut fresh = |union: &&Union| {
        let class = |branch: &Branch| classes[branch.schema.0 as usize];
        let mut branches: Vec<u64> = union.branches.iter().map(class).collect();
        branches.sort_unstable();
        seen.insert((union.kind, branches))
    };
    schema.unions.iter().filter(|union| fresh(union)).collect()
}

fn title(branch: &Branch) -> String {
    match &branch.name {
        Some(name) => format!("`{}`", clip(name)),
        None => "an alternative without a name".to_owned(),
    }
}

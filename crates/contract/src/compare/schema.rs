//! Two schemas: each group of keywords has a file of its own.

use std::rc::Rc;

use super::spot::Spot;
use super::{Comparer, MAX_CHANGES, MAX_STEPS, Say};
use crate::rules::{Facet, Side, facet};
use crate::schema::{Rest, Schema, SchemaId};

/// Schemas are followed no further inside than this: depth here is depth of calls.
const MAX_DEPTH: usize = 200;

/// So many pairs of schemas are remembered in which nothing but what stands within is told of, each with at most so much within.
const MOST_DULL: usize = 50_000;
const MOST_CHILDREN: usize = 64;

/// Two schemas and where they stand.
#[derive(Clone, Copy)]
pub(super) struct Both<'s> {
    pub ids: (SchemaId, SchemaId),
    pub old: &'s Schema,
    pub new: &'s Schema,
    pub spot: &'s Spot,
}

impl<'a> Comparer<'a> {
    /// Compares two schemas and all that they name.
    pub(super) fn schema(&mut self, old: SchemaId, new: SchemaId, mut spot: Spot) {
        // What would not be listed any more is not looked for.
        if self.changes.len() > MAX_CHANGES {
            return;
        }
        if self.pair.same(old, new) || !self.visited.insert((old, new, spot.side)) {
            return;
        }
        let steps = self.pair.steps.get() + 1;
        self.pair.steps.set(steps);
        let (old_api, new_api): (&'a crate::openapi::Api, _) = (self.before(), self.after());
        let (before, after) = (old_api.graph.get(old), new_api.graph.get(new));
        let ids = (old, new);
        if steps > MAX_STEPS || spot.depth > MAX_DEPTH {
            self.facet(
                &facet::NOT_LOOKED_AT,
                &spot,
                ids,
                &[],
                Say::Text("was not looked at: there is too much to compare"),
            );
            return;
        }
        let unsent = |s: &Schema| match spot.side {
            Side::Sent => s.read_only,
            Side::Received => s.write_only,
        };
        spot.guarded |= unsent(before) || unsent(after);
        let kind = (old, new, spot.kind());
        if let Some(children) = self.dull.get(&kind).cloned() {
            for (old, new, step) in children.iter() {
                if !self.visited.contains(&(*old, *new, spot.side)) {
                    self.schema(*old, *new, spot.inner(step.clone()));
                }
            }
            return;
        }
        let outer = std::mem::take(&mut self.level);
        self.keywords(Both { ids, old: before, new: after, spot: &spot });
        let level = std::mem::replace(&mut self.level, outer);
        if !level.told && self.dull.len() < MOST_DULL && level.children.len() < MOST_CHILDREN {
            self.dull.insert(kind, level.children.into());
        }
    }

    /// Compares what is said in each group of keywords.
    fn keywords(&mut self, both: Both<'_>) {
        let (before, after) = (both.old, both.new);
        self.access(both);
        if before.lost != after.lost || (before.never != after.never) {
            self.unknowable(both);
            return;
        }
        self.lifecycle(both);
        if !self.unions(both) {
            return;
        }
        if !self.types(both) {
            return;
        }
        self.values(both);
        self.bounds(both);
        self.texts(both);
        self.objects(both);
        self.lists(both);
        self.conditions(both);
    }

    /// Compares what stands within two schemas. Its place is only put together if there is something to compare, since most of
    /// what stands within is the same.
    pub(super) fn within(
        &mut self,
        old: SchemaId,
        new: SchemaId,
        outer: &Spot,
        step: impl FnOnce() -> String,
    ) {
        if self.pair.same(old, new) {
            return;
        }
        let step: Rc<str> = step().into();
        if !self.visited.contains(&(old, new, outer.side)) {
            self.schema(old, new, outer.inner(step.clone()));
        }
        self.level.children.push((old, new, step));
    }

    /// Nothing at all is valid, or it is not known what.
    fn unknowable(&mut self, both: Both<'_>) {
        if both.old.lost != both.new.lost {
            let names: Vec<&str> =
                both.old.lost.symmetric_difference(&both.new.lost).map(String::as_str).collect();
            let text = || format!("refers to `{}`, which cannot be followed", names.join("`, `"));
            self.say(both, &facet::LOST, &["$ref"], &text);
        } else if both.new.never {
            self.tell(both, &facet::NOTHING_ALLOWED, &[], "may not be there any more");
        } else {
            self.tell(both, &facet::SOMETHING_ALLOWED, &[], "may be there now");
        }
    }

    /// `readOnly` and `writeOnly`.
    fn access(&mut self, both: Both<'_>) {
        let Both { old, new, .. } = both;
        match (old.read_only, new.read_only) {
            (false, true) => self.tell(both, &facet::BECAME_READ_ONLY, &["readOnly"], "became read-only"),
            (true, false) => {
                self.tell(both, &facet::BECAME_NOT_READ_ONLY, &["readOnly"], "is not read-only any more")
            }
            _ => {}
        }
        match (old.write_only, new.write_only) {
            (false, true) => self.tell(both, &facet::BECAME_WRITE_ONLY, &["writeOnly"], "became write-only"),
            (true, false) => {
                self.tell(both, &facet::BECAME_NOT_WRITE_ONLY, &["writeOnly"], "is not write-only any more")
            }
            _ => {}
        }
    }

    /// What is announced, and defaults.
    fn lifecycle(&mut self, both: Both<'_>) {
        let Both { old, new, .. } = both;
        if !old.deprecated && new.deprecated {
            self.tell(both, &facet::DEPRECATED, &["deprecated"], "is deprecated");
        } else if old.deprecated && !new.deprecated {
            self.tell(both, &facet::REACTIVATED, &["deprecated"], "is not deprecated any more");
        }
        let level = |stability: &Option<String>| {
            crate::lifecycle::Lifecycle { stability: stability.clone(), ..Default::default() }.level()
        };
        if old.stability != new.stability && level(&new.stability) < level(&old.stability) {
            let text = || {
                let name = |s: &Option<String>| s.clone().unwrap_or_else(|| "stable".to_owned());
                format!("went from `{}` to `{}`", name(&old.stability), name(&new.stability))
            };
            self.say(both, &facet::STABILITY_DECREASED, &["x-stability-level"], &text);
        }
        if old.default != new.default {
            let shown =
                |d: &Option<String>| d.as_deref().map_or("none".to_owned(), |d| format!("`{}`", clip(d)));
            let text =
                || format!("has another default: {} instead of {}", shown(&new.default), shown(&old.default));
            self.say(both, &facet::DEFAULT_CHANGED, &["default"], &text);
        }
        if both.spot.xml && old.xml != new.xml {
            self.tell(both, &facet::XML_CHANGED, &["xml"], "is written in another way in XML");
        }
    }

    /// A schema that may be there or not.
    pub(super) fn optional(
        &mut self,
        both: Both<'_>,
        (old, new): (Option<SchemaId>, Option<SchemaId>),
        (added, removed): (&'static Facet, &'static Facet),
        (key, step): (&str, &str),
    ) {
        match (old, new) {
            (Some(old), Some(new)) => self.within(old, new, both.spot, || step.to_owned()),
            (None, Some(new)) if !self.after().graph.get(new).is_anything() => {
                self.say(both, added, &[key], &|| format!("has `{key}` now"));
            }
            (Some(old), None) if !self.before().graph.get(old).is_anything() => {
                self.say(both, removed, &[key], &|| format!("has no `{key}` any more"));
            }
            _ => {}
        }
    }

    /// What is said of everything that is not listed. The facets: forbidden, allowed, constrained, unconstrained.
    pub(super) fn rest(
        &mut self,
        both: Both<'_>,
        rests: (Rest, Rest),
        facets: [&'static Facet; 4],
        key: &str,
        step: &str,
    ) {
        let [forbidden, allowed, constrained, unconstrained] = facets;
        let plain = |id: SchemaId, api: &crate::openapi::Api| api.graph.get(id).is_anything();
        let old = match rests.0 {
            Rest::Schema(id) if plain(id, self.before()) => Rest::Open,
            other => other,
        };
        let new = match rests.1 {
            Rest::Schema(id) if plain(id, self.after()) => Rest::Open,
            other => other,
        };
        match (old, new) {
            (Rest::Schema(old), Rest::Schema(new)) => self.within(old, new, both.spot, || step.to_owned()),
            (Rest::Open, Rest::Open) | (Rest::Closed, Rest::Closed) => {}
            (_, Rest::Closed) => {
                self.say(both, forbidden, &[key], &|| format!("forbids with `{key}` what is not listed"))
            }
            (Rest::Closed, _) => {
                self.say(both, allowed, &[key], &|| format!("allows with `{key}` what is not listed"))
            }
            (Rest::Open, _) => {
                self.say(both, constrained, &[key], &|| format!("says with `{key}` what else may be there"))
            }
            (_, Rest::Open) => self.say(both, unconstrained, &[key], &|| {
                format!("does not say with `{key}` any more what else may be there")
            }),
        }
    }

    pub(super) fn tell(&mut self, both: Both<'_>, facet: &'static Facet, keys: &[&str], text: &str) {
        self.facet(facet, both.spot, both.ids, keys, Say::Text(text));
    }

    pub(super) fn say(
        &mut self,
        both: Both<'_>,
        facet: &'static Facet,
        keys: &[&str],
        text: &dyn Fn() -> String,
    ) {
        self.facet(facet, both.spot, both.ids, keys, Say::With(text));
    }
}

/// Not more of a value than fits into a sentence.
pub(super) fn clip(text: &str) -> String {
    const ROOM: usize = 60;
    if text.chars().count() <= ROOM {
        return text.to_owned();
    }
    text.chars().take(ROOM).chain(['…']).collect()
}

//! Properties, items, conditions.

use std::collections::BTreeSet;

use super::schema::{Both, clip};
use super::{Comparer, Say};
use crate::rules::{Facet, Side, facet};
use crate::schema::{Rest, Schema, SchemaId};

impl Comparer<'_> {
    pub(super) fn objects(&mut self, both: Both<'_>) {
        let Both { old, new, spot, .. } = both;
        for (name, before) in &old.properties {
            match new.properties.get(name) {
                Some(after) => {
                    self.requiredness(both, name, (*before, *after));
                    self.within(*before, *after, spot, || format!(".{name}"));
                }
                None => self.property_removed(both, name, *before),
            }
        }
        for (name, after) in &new.properties {
            if !old.properties.contains_key(name) {
                self.property_added(both, name, *after);
            }
        }
        self.undescribed(both);
        let facets = [
            &facet::ADDITIONAL_FORBIDDEN,
            &facet::ADDITIONAL_ALLOWED,
            &facet::ADDITIONAL_CONSTRAINED,
            &facet::ADDITIONAL_UNCONSTRAINED,
        ];
        self.rest(both, (old.additional, new.additional), facets, "additionalProperties", ".*");
        let (added, removed) = (&facet::UNEVALUATED_PROPERTIES_ADDED, &facet::UNEVALUATED_PROPERTIES_REMOVED);
        let rests = (old.unevaluated_properties, new.unevaluated_properties);
        self.rest(both, rests, [added, removed, added, removed], "unevaluatedProperties", ".(unevaluated)");
        let facets = (&facet::PROPERTY_NAMES_ADDED, &facet::PROPERTY_NAMES_REMOVED);
        self.optional(both, (old.property_names, new.property_names), facets, ("propertyNames", ".(names)"));
        self.by_name(
            both,
            |s| &s.pattern_properties,
            (&facet::PATTERN_PROPERTY_ADDED, &facet::PATTERN_PROPERTY_REMOVED),
            "patternProperties",
        );
        self.by_name(
            both,
            |s| &s.dependent_schemas,
            (&facet::DEPENDENT_SCHEMA_ADDED, &facet::DEPENDENT_SCHEMA_REMOVED),
            "dependentSchemas",
        );
        self.dependent_required(both);
    }

    fn requiredness(&mut self, both: Both<'_>, name: &str, ids: (SchemaId, SchemaId)) {
        let Both { old, new, spot, .. } = both;
        let keys = ["required"];
        match (old.required.contains(name), new.required.contains(name)) {
            (false, true) => {
                let spot = self.property_spot(spot, name, ids);
                let say = Say::Text("is required now");
                self.facet(&facet::PROPERTY_BECAME_REQUIRED, &spot, both.ids, &keys, say);
            }
            (true, false) => {
                let spot = self.property_spot(spot, name, ids);
                let say = Say::Text("is not required any more");
                self.facet(&facet::PROPERTY_BECAME_OPTIONAL, &spot, both.ids, &keys, say);
            }
            (true, true) => {
                let (before, after) = (self.before().graph.get(ids.0), self.after().graph.get(ids.1));
                if spot.side == Side::Sent && before.read_only && !after.read_only {
                    let spot = spot.inner(format!(".{name}"));
                    let say = Say::Text("is required and not read-only any more, so it has to be sent");
                    self.facet(&facet::REQUIRED_NO_LONGER_READ_ONLY, &spot, ids, &["readOnly"], say);
                }
            }
            (false, false) => {}
        }
    }

    /// Where a property stands; it is not sent at all when both schemas say so, or the new one does.
    fn property_spot(&self, outer: &super::Spot, name: &str, ids: (SchemaId, SchemaId)) -> super::Spot {
        let mut spot = outer.inner(format!(".{name}"));
        let (before, after) = (self.before().graph.get(ids.0), self.after().graph.get(ids.1));
        spot.guarded |= match spot.side {
            Side::Sent => after.read_only,
            Side::Received => before.write_only,
        };
        spot
    }

    fn property_removed(&mut self, both: Both<'_>, name: &str, before: SchemaId) {
        let Both { old, new, spot, .. } = both;
        let mut inner = spot.inner(format!(".{name}"));
        let gone = self.before().graph.get(before);
        // A property that nothing could be is not missed.
        inner.guarded |= gone.never;
        inner.guarded |= match spot.side {
            Side::Sent => gone.read_only,
            Side::Received => gone.write_only,
        };
        let found: &'static Facet = match spot.side {
            Side::Sent if new.additional == Rest::Closed => &facet::PROPERTY_REMOVED_FROM_CLOSED,
            Side::Sent => &facet::PROPERTY_REMOVED,
            Side::Received if old.required.contains(name) => &facet::REQUIRED_PROPERTY_REMOVED,
            Side::Received => &facet::OPTIONAL_PROPERTY_REMOVED,
        };
        let keys = ["properties", name];
        let say = if old.required.contains(name) { "was required and is gone" } else { "is gone" };
        self.facet(found, &inner, both.ids, &keys, Say::Text(say));
    }

    fn property_added(&mut self, both: Both<'_>, name: &str, after: SchemaId) {
        let Both { old, new, spot, .. } = both;
        let mut inner = spot.inner(format!(".{name}"));
        let added = self.after().graph.get(after);
        inner.guarded |= match spot.side {
            Side::Sent => added.read_only,
            Side::Received => added.write_only,
        };
        let required = new.required.contains(name);
        let found: &'static Facet = match spot.side {
            // It was named in `required` before it was described.
            Side::Sent if required && old.required.contains(name) => &facet::NEW_OPTIONAL_PROPERTY,
            Side::Sent if required => &facet::NEW_REQUIRED_PROPERTY,
            Side::Received if old.additional == Rest::Closed => &facet::PROPERTY_ADDED_TO_CLOSED,
            _ => &facet::NEW_OPTIONAL_PROPERTY,
        };
        let say = if required { "is new and required" } else { "is new" };
        self.facet(found, &inner, both.ids, &["properties", name], Say::Text(say));
    }

    /// Names in `required` that nothing describes.
    fn undescribed(&mut self, both: Both<'_>) {
        let Both { old, new, spot, .. } = both;
        for name in new.required.difference(&old.required) {
            if !old.properties.contains_key(name) && !new.properties.contains_key(name) {
                let inner = spot.inner(format!(".{name}"));
                let say = Say::Text("is required now, and not described");
                self.facet(&facet::UNKNOWN_PROPERTY_REQUIRED, &inner, both.ids, &["required"], say);
            }
        }
    }

    fn by_name(
        &mut self,
        both: Both<'_>,
        of: impl Fn(&Schema) -> &std::collections::BTreeMap<String, SchemaId>,
        facets: (&'static Facet, &'static Facet),
        key: &str,
    ) {
        let (old, new) = (of(both.old), of(both.new));
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for name in names {
            let step =
                || if key == "patternProperties" { format!("./{name}/") } else { format!("(with {name})") };
            match (old.get(name), new.get(name)) {
                (Some(before), Some(after)) => self.within(*before, *after, both.spot, step),
                (None, Some(_)) => {
                    let say = || format!("has `{key}` for `{}` now", clip(name));
                    self.facet(facets.0, both.spot, both.ids, &[key, name], Say::With(&say));
                }
                (Some(_), None) => {
                    let say = || format!("has no `{key}` for `{}` any more", clip(name));
                    self.facet(facets.1, both.spot, both.ids, &[key, name], Say::With(&say));
                }
                (None, None) => {}
            }
        }
    }

    fn dependent_required(&mut self, both: Both<'_>) {
        let (old, new) = (&both.old.dependent_required, &both.new.dependent_required);
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        let none = BTreeSet::new();
        for name in names {
            let (before, after) = (old.get(name).unwrap_or(&none), new.get(name).unwrap_or(&none));
            if before == after {
                continue;
            }
            let found = match (before.is_subset(after), after.is_subset(before)) {
                (true, _) => &facet::DEPENDENT_REQUIRED_ADDED,
                (_, true) => &facet::DEPENDENT_REQUIRED_REMOVED,
                _ => &facet::DEPENDENT_REQUIRED_CHANGED,
            };
            let text = || format!("requires other properties beside `{}`", clip(name));
            self.say(both, found, &["dependentRequired", name], &text);
        }
    }

    pub(super) fn lists(&mut self, both: Both<'_>) {
        let Both { old, new, .. } = both;
        match (old.unique_items, new.unique_items) {
            (false, true) => {
                self.tell(both, &facet::UNIQUE_ITEMS_SET, &["uniqueItems"], "may have no item twice now")
            }
            (true, false) => {
                self.tell(both, &facet::UNIQUE_ITEMS_UNSET, &["uniqueItems"], "may have an item twice now")
            }
            _ => {}
        }
        let facets =
            [&facet::ITEMS_FORBIDDEN, &facet::ITEMS_ALLOWED, &facet::ITEMS_ADDED, &facet::ITEMS_REMOVED];
        // Each place of a list has what is said of it, or else of all items.
        let longest = old.prefix_items.len().max(new.prefix_items.len());
        for at in 0..longest {
            let slot = |s: &Schema| s.prefix_items.get(at).map_or(s.items, |id| Rest::Schema(*id));
            self.rest(both, (slot(old), slot(new)), facets, "prefixItems", &format!("[{at}]"));
        }
        self.rest(both, (old.items, new.items), facets, "items", "[]");
        let (added, removed) = (&facet::UNEVALUATED_ITEMS_ADDED, &facet::UNEVALUATED_ITEMS_REMOVED);
        let rests = (old.unevaluated_items, new.unevaluated_items);
        self.rest(both, rests, [added, removed, added, removed], "unevaluatedItems", "[unevaluated]");
        let facets = (&facet::CONTAINS_ADDED, &facet::CONTAINS_REMOVED);
        self.optional(both, (old.contains, new.contains), facets, ("contains", "[contains]"));
    }

    pub(super) fn conditions(&mut self, both: Both<'_>) {
        let Both { old, new, spot, .. } = both;
        match (old.nots.as_slice(), new.nots.as_slice()) {
            ([], []) => {}
            ([], _) => self.tell(both, &facet::NOT_ADDED, &["not"], "rules values out with `not` now"),
            (_, []) => {
                self.tell(both, &facet::NOT_REMOVED, &["not"], "does not rule values out with `not` any more")
            }
            ([before], [after]) => {
                // Who sends what is inside is turned round: no step that could be taken again just so.
                self.level.told = true;
                self.schema(*before, *after, spot.negation());
            }
            (before, after) => {
                let same = before.len() == after.len()
                    && before.iter().zip(after).all(|(before, after)| self.pair.same(*before, *after));
                if !same {
                    self.tell(both, &facet::NOT_CHANGED, &["not"], "rules other values out with `not`");
                }
            }
        }
        for at in 0..old.conditions.len().max(new.conditions.len()) {
            let before = old.conditions.get(at).copied().unwrap_or_default();
            let after = new.conditions.get(at).copied().unwrap_or_default();
            match (before.when, after.when) {
                (Some(a), Some(b)) if !self.pair.same(a, b) => {
                    self.tell(both, &facet::IF_CHANGED, &["if"], "has another condition in `if`");
                    self.within(a, b, spot, || "(if)".to_owned());
                }
                (before, after) => {
                    self.optional(
                        both,
                        (before, after),
                        (&facet::IF_ADDED, &facet::IF_REMOVED),
                        ("if", "(if)"),
                    );
                }
            }
            let facets = (&facet::THEN_ADDED, &facet::THEN_REMOVED);
            self.optional(both, (before.then, after.then), facets, ("then", "(then)"));
            let facets = (&facet::ELSE_ADDED, &facet::ELSE_REMOVED);
            self.optional(both, (before.otherwise, after.otherwise), facets, ("else", "(else)"));
        }
    }
}

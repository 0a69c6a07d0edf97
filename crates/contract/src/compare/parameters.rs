//! Parameters of operations.

use super::schema::clip;
use super::{Comparer, Spot};
use crate::lifecycle::Day;
use crate::openapi::{Operation, Parameter, Role, header_key, placeholders};
use crate::report::Place;
use crate::rules::{Rule, Side, rule};
use crate::schema::{Rest, Schema, SchemaId, Types};

impl<'a> Comparer<'a> {
    pub(super) fn parameters(&mut self, old: &'a Operation, new: &'a Operation) {
        let (old_names, new_names) = (placeholders(&old.path), placeholders(&new.path));
        let mut taken = Vec::new();
        for before in &old.parameters {
            // Names in the path do not count: the place does.
            let place = old_names.iter().position(|name| *name == before.name);
            let renamed =
                place.and_then(|at| new_names.get(at).copied()).filter(|_| before.location == "path");
            let name = renamed.unwrap_or(&before.name);
            let after = new.parameters.iter().find(|after| {
                after.location == before.location
                    && header_key(&after.location, &after.name) == header_key(&before.location, name)
            });
            match after {
                Some(after) => {
                    taken.push(std::ptr::from_ref(after));
                    self.parameter(old.role, before, after);
                }
                None => self.parameter_removed(old.role, before),
            }
        }
        for after in new.parameters.iter().filter(|after| !taken.contains(&std::ptr::from_ref(*after))) {
            self.parameter_added(old.role, after);
        }
    }

    fn parameter_added(&mut self, role: Role, new: &Parameter) {
        let rule = match (role, &*new.location, new.required) {
            (Role::Webhook | Role::Callback, ..) => &rule::WEBHOOK_PARAMETER_ADDED,
            (_, "path", _) => &rule::NEW_PATH_PARAMETER,
            (_, _, true) => &rule::NEW_REQUIRED_PARAMETER,
            _ => &rule::NEW_OPTIONAL_PARAMETER,
        };
        let required = if new.required { " and required" } else { "" };
        self.rule(rule, None, self.place_new(new.at), format!("{} is new{required}", name(new)));
    }

    fn parameter_removed(&mut self, role: Role, old: &Parameter) {
        let life = &old.lifecycle;
        let day = life.sunset.as_deref().map(Day::parse);
        let today = self.options.today;
        let (rule, text): (&'static Rule, String) = match (role, life.deprecated, day) {
            (Role::Webhook | Role::Callback, ..) if old.required => {
                (&rule::WEBHOOK_PARAMETER_REMOVED, format!("{} is gone", name(old)))
            }
            (Role::Webhook | Role::Callback, ..) => {
                (&rule::WEBHOOK_OPTIONAL_PARAMETER_REMOVED, format!("{} is gone", name(old)))
            }
            (_, false, _) => (&rule::PARAMETER_REMOVED, format!("{} is gone", name(old))),
            (_, true, None) => (&rule::PARAMETER_REMOVED_DEPRECATED, format!("{} is gone", name(old))),
            (_, true, Some(None)) => {
                (&rule::SUNSET_UNREADABLE, format!("{} is gone, and its `x-sunset` is no date", name(old)))
            }
            (_, true, Some(Some(day))) if today.is_some_and(|today| today >= day) => {
                (&rule::PARAMETER_REMOVED_DEPRECATED, format!("{} is gone since {day}", name(old)))
            }
            (_, true, Some(Some(day))) => {
                (&rule::PARAMETER_REMOVED_BEFORE_SUNSET, format!("{} is gone before {day}", name(old)))
            }
        };
        self.rule(rule, self.place_old(old.at), None, text);
    }

    fn parameter(&mut self, role: Role, old: &'a Parameter, new: &'a Parameter) {
        let places = (self.place_old(old.at), self.place_new(new.at));
        let side = if role == Role::Call { Side::Sent } else { Side::Received };
        if old.location == "path" && old.name != new.name {
            let text = format!("{} is called `{}` now", name(old), clip(&new.name));
            self.rule(&rule::PARAMETER_RENAMED, places.0.clone(), places.1.clone(), text);
        }
        let announced = (&rule::PARAMETER_DEPRECATED, &rule::PARAMETER_REACTIVATED);
        self.deprecation(&old.lifecycle, &new.lifecycle, announced, places.clone(), &name(new));
        self.sunset(&old.lifecycle, &new.lifecycle, places.clone(), &name(new));
        match (side, old.required, new.required) {
            (Side::Sent, false, true) => {
                let text = format!("{} is required now", name(new));
                self.rule(&rule::PARAMETER_BECAME_REQUIRED, places.0.clone(), places.1.clone(), text);
            }
            (Side::Sent, true, false) => {
                let text = format!("{} is not required any more", name(new));
                self.rule(&rule::PARAMETER_BECAME_OPTIONAL, places.0.clone(), places.1.clone(), text);
            }
            (Side::Received, true, false) => {
                let text = format!("{} may be missing now", name(new));
                self.rule(&rule::WEBHOOK_PARAMETER_REMOVED, places.0.clone(), places.1.clone(), text);
            }
            _ => {}
        }
        self.parameter_value(side, old, new, places);
    }

    fn parameter_value(
        &mut self,
        side: Side,
        old: &'a Parameter,
        new: &'a Parameter,
        places: (Option<Place>, Option<Place>),
    ) {
        let ids = match (old.schema, new.schema) {
            (Some(before), Some(after)) => (before, after),
            (None, Some(after)) if !self.after().graph.get(after).is_anything() => {
                let text = format!("{} has a schema now", name(new));
                return self.rule(&rule::PARAMETER_SCHEMA_ADDED, places.0, places.1, text);
            }
            (Some(before), None) if !self.before().graph.get(before).is_anything() => {
                let text = format!("{} has no schema any more", name(new));
                return self.rule(&rule::PARAMETER_SCHEMA_REMOVED, places.0, places.1, text);
            }
            _ => return,
        };
        let listed = side == Side::Sent && self.became_list(old, new, ids, places.clone());
        if !listed && self.written_otherwise(old, new, ids) {
            let text = format!("{} is written in another way ({})", name(new), way(new));
            self.rule(&rule::PARAMETER_SERIALIZATION, places.0, places.1, text);
        }
        if !listed {
            let text = new.content.as_ref().is_none_or(|media| media.is_text());
            let spot = Spot::parameter(side, name(new), text, (old.at, new.at));
            self.whole(ids.0, ids.1, &spot);
        }
    }

    /// Whether the way in which values are written differs for the values that there are.
    fn written_otherwise(&self, old: &Parameter, new: &Parameter, ids: (SchemaId, SchemaId)) -> bool {
        if old.content != new.content || old.style != new.style {
            return true;
        }
        let many = Types::ARRAY | Types::OBJECT;
        let types = self.before().graph.get(ids.0).types & self.after().graph.get(ids.1).types;
        old.content.is_none() && old.explode != new.explode && types.meets(many)
    }

    /// A single value is written like a list of one: `?tag=a`. Says whether this was it.
    fn became_list(
        &mut self,
        old: &Parameter,
        new: &Parameter,
        ids: (SchemaId, SchemaId),
        places: (Option<Place>, Option<Place>),
    ) -> bool {
        let (before, after) = (self.before().graph.get(ids.0), self.after().graph.get(ids.1));
        let scalar = |s: &Schema| !s.types.meets(Types::ARRAY | Types::OBJECT);
        let list = |s: &Schema| Types::ARRAY.has(s.types.without(Types::NULL)) && s.types.has(Types::ARRAY);
        let plain = old.content.is_none() && new.content.is_none() && old.style == new.style;
        if !plain
            || !scalar(before)
            || !list(after)
            || after.bounds[crate::schema::Bound::MinItems as usize].is_some()
        {
            return false;
        }
        let item = match after.items {
            Rest::Schema(id) => id,
            _ => self.after().graph.anything,
        };
        let mut spot = Spot::parameter(Side::Sent, name(new), true, (old.at, new.at));
        spot.loose = true;
        let found = self.changes.len();
        self.whole(ids.0, item, &spot);
        let refused = self.changes[found..].iter().any(|c| c.severity > crate::rules::Severity::Warning);
        if refused {
            // Told as what it is: another type.
            self.changes.truncate(found);
            return false;
        }
        let delimited = !new.explode;
        let rule = if delimited { &rule::PARAMETER_TO_LIST_UNCLEAR } else { &rule::PARAMETER_TO_LIST };
        self.rule(rule, places.0, places.1, format!("{} is a list now", name(new)));
        true
    }
}

fn name(parameter: &Parameter) -> String {
    format!("the {} parameter `{}`", parameter.location, clip(&parameter.name))
}

fn way(parameter: &Parameter) -> String {
    match &parameter.content {
        Some(media) => media.to_string(),
        None => format!(
            "style `{}`, {}",
            parameter.style,
            if parameter.explode { "exploded" } else { "not exploded" }
        ),
    }
}

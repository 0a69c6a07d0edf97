//! Messages and enums of `.proto` files.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use prost_reflect::{Cardinality, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};

use super::compare::{Comparer, Places};
use crate::rules::{Rule, proto};

impl Comparer<'_> {
    pub(super) fn message(&mut self, old: &MessageDescriptor, new: &MessageDescriptor) {
        let name = old.full_name().to_owned();
        let files = (old.parent_file(), new.parent_file());
        let places = self.places((&files.0, old.path()), (&files.1, new.path()));
        self.json_format(&name, (files.0.clone(), files.1.clone()), places.clone());
        self.reserved(&name, places.clone(), reserved_of(old), reserved_of(new));
        let required = |m: &MessageDescriptor| -> BTreeSet<u32> {
            m.fields().filter(|f| f.cardinality() == Cardinality::Required).map(|f| f.number()).collect()
        };
        if required(old) != required(new) {
            let text = format!("`{name}` has other required fields");
            self.of_type(&proto::REQUIRED_FIELDS, &name, places.clone(), text);
        }
        let after = reserved_of(new);
        for field in old.fields() {
            let place = self.old.place(&files.0, field.path());
            match new.get_field(field.number()) {
                Some(other) => self.field(&name, &field, &other),
                None => {
                    let kept = after.holds(field.name(), i64::from(field.number()));
                    let rule = if kept { &proto::FIELD_REMOVED_RESERVED } else { &proto::FIELD_REMOVED };
                    let text =
                        format!("the field `{}` ({}) of `{name}` is gone", field.name(), field.number());
                    self.of_type(rule, &name, (place, places.1.clone()), text);
                }
            }
        }
        for field in new.fields().filter(|field| old.get_field(field.number()).is_none()) {
            let place = self.new.place(&files.1, field.path());
            let text = format!("the field `{}` ({}) of `{name}` is new", field.name(), field.number());
            self.of_type(&proto::FIELD_ADDED, &name, (places.0.clone(), place), text);
        }
    }

    fn field(&mut self, message: &str, old: &FieldDescriptor, new: &FieldDescriptor) {
        let places = self.places((&old.parent_file(), old.path()), (&new.parent_file(), new.path()));
        let subject = format!("the field `{}` ({}) of `{message}`", old.name(), old.number());
        let mut found: Vec<(&'static Rule, String)> = Vec::new();
        if old.name() != new.name() {
            found.push((&proto::FIELD_NAME, format!("is called `{}`", new.name())));
        } else if old.json_name() != new.json_name() {
            found.push((
                &proto::FIELD_JSON_NAME,
                format!("is `{}` in JSON instead of `{}`", new.json_name(), old.json_name()),
            ));
        }
        let (before, after) = (cardinality(old), cardinality(new));
        if before != after {
            found.push((&proto::FIELD_CARDINALITY, format!("is {after} instead of {before}")));
        }
        match self.types(old, new) {
            Fit::Same => {
                let default = |f: &FieldDescriptor| f.field_descriptor_proto().default_value.clone();
                let plain =
                    |value: Option<String>| value.filter(|v| !matches!(v.as_str(), "" | "0" | "false"));
                if plain(default(old)) != plain(default(new)) {
                    found.push((&proto::FIELD_DEFAULT, "has another default".to_owned()));
                }
            }
            Fit::Compatible => {
                found.push((
                    &proto::FIELD_TYPE_COMPATIBLE,
                    format!("is {} instead of {}", kind(new), kind(old)),
                ));
            }
            Fit::Other => {
                found.push((&proto::FIELD_TYPE, format!("is {} instead of {}", kind(new), kind(old))))
            }
        }
        let oneof = |f: &FieldDescriptor| {
            f.containing_oneof().filter(|o| !o.is_synthetic()).map(|o| o.name().to_owned())
        };
        let (before, after) = (oneof(old), oneof(new));
        if before != after {
            let text = match (before, after) {
                (_, Some(after)) => format!("is in the oneof `{after}` now"),
                (Some(before), None) => format!("is not in the oneof `{before}` any more"),
                (None, None) => return,
            };
            found.push((&proto::FIELD_ONEOF, text));
        }
        for (rule, text) in found {
            self.of_type(rule, message, places.clone(), format!("{subject} {text}"));
        }
    }

    fn types(&self, old: &FieldDescriptor, new: &FieldDescriptor) -> Fit {
        match (old.kind(), new.kind()) {
            (Kind::Message(a), Kind::Message(b)) if a.is_map_entry() && b.is_map_entry() => {
                let parts = [
                    self.types(&a.map_entry_key_field(), &b.map_entry_key_field()),
                    self.types(&a.map_entry_value_field(), &b.map_entry_value_field()),
                ];
                if parts.contains(&Fit::Other) {
                    Fit::Other
                } else {
                    parts.into_iter().max().unwrap_or(Fit::Same)
                }
            }
            (Kind::Message(a), Kind::Message(b)) => Fit::same(a.full_name() == b.full_name()),
            (Kind::Enum(a), Kind::Enum(b)) => {
                // Another enum that has all the values is read the same.
                let held =
                    a.values().all(|v| b.values().any(|w| w.name() == v.name() && w.number() == v.number()));
                match (a.full_name() == b.full_name(), a.name() == b.name() && held) {
                    (true, _) => Fit::Same,
                    (false, true) => Fit::Compatible,
                    (false, false) => Fit::Other,
                }
            }
            (a, b) if a == b => Fit::Same,
            (a, b) => {
                // The same in the binary encoding and the same in JSON: 64 bits are strings there.
                let groups = [
                    [Kind::Int32, Kind::Uint32],
                    [Kind::Int64, Kind::Uint64],
                    [Kind::Fixed32, Kind::Sfixed32],
                    [Kind::Fixed64, Kind::Sfixed64],
                ];
                match groups.iter().any(|group| group.contains(&a) && group.contains(&b)) {
                    true => Fit::Compatible,
                    false => Fit::Other,
                }
            }
        }
    }

    pub(super) fn enumeration(&mut self, old: &EnumDescriptor, new: &EnumDescriptor) {
        let name = old.full_name().to_owned();
        let files = (old.parent_file(), new.parent_file());
        let places = self.places((&files.0, old.path()), (&files.1, new.path()));
        self.json_format(&name, (files.0.clone(), files.1.clone()), places.clone());
        let (before, after) = (reserved_of_enum(old), reserved_of_enum(new));
        let kept = reserved_of_enum(new);
        self.reserved(&name, places.clone(), before, after);
        let numbers = |e: &EnumDescriptor| e.values().map(|v| v.number()).collect::<BTreeSet<i32>>();
        let named = |e: &EnumDescriptor, number: i32| -> BTreeSet<String> {
            e.values().filter(|v| v.number() == number).map(|v| v.name().to_owned()).collect()
        };
        for number in numbers(old) {
            let (before, after) = (named(old, number), named(new, number));
            let place =
                old.values().find(|v| v.number() == number).and_then(|v| self.old.place(&files.0, v.path()));
            let both = (place, places.1.clone());
            let shown = before.iter().cloned().collect::<Vec<_>>().join("`, `");
            if after.is_empty() {
                let reserved = before.iter().all(|value| kept.holds(value, i64::from(number)));
                let rule =
                    if reserved { &proto::ENUM_VALUE_REMOVED_RESERVED } else { &proto::ENUM_VALUE_REMOVED };
                self.of_type(
                    rule,
                    &name,
                    both,
                    format!("the value `{shown}` ({number}) of `{name}` is gone"),
                );
            } else if !before.is_subset(&after) {
                let text = format!("the value `{shown}` ({number}) of `{name}` has another name");
                self.of_type(&proto::ENUM_VALUE_NAME, &name, both, text);
            }
        }
        for number in numbers(new).difference(&numbers(old)) {
            let shown = named(new, *number).into_iter().collect::<Vec<_>>().join("`, `");
            let text = format!("the value `{shown}` ({number}) of `{name}` is new");
            self.of_type(&proto::ENUM_VALUE_ADDED, &name, places.clone(), text);
        }
    }

    fn reserved(&mut self, name: &str, places: Places, old: Reserved, new: Reserved) {
        let ranges = old.ranges.iter().all(|range| new.covers(range));
        if !ranges || !old.names.is_subset(&new.names) {
            let text = format!("not all that was reserved in `{name}` is");
            self.of_type(&proto::RESERVED_REMOVED, name, places, text);
        }
    }
}

/// Whether two types are read the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Same,
    Compatible,
    Other,
}

impl Fit {
    fn same(same: bool) -> Self {
        if same { Self::Same } else { Self::Other }
    }
}

/// One value, a list, a map: a value that may be missing and one that has a default are encoded the same.
fn cardinality(field: &FieldDescriptor) -> &'static str {
    match field.cardinality() {
        _ if field.is_map() => "a map",
        Cardinality::Repeated => "a list",
        Cardinality::Required => "a required value",
        Cardinality::Optional => "one value",
    }
}

fn kind(field: &FieldDescriptor) -> String {
    match field.kind() {
        Kind::Message(message) if message.is_map_entry() => "another map".to_owned(),
        Kind::Message(message) => format!("`{}`", message.full_name()),
        Kind::Enum(other) => format!("`{}`", other.full_name()),
        other => format!("`{}`", format!("{other:?}").to_ascii_lowercase()),
    }
}

/// What may not be used again.
struct Reserved {
    ranges: Vec<RangeInclusive<i64>>,
    names: BTreeSet<String>,
}

impl Reserved {
    fn holds(&self, name: &str, number: i64) -> bool {
        self.names.contains(name) && self.ranges.iter().any(|range| range.contains(&number))
    }

    /// Whether the ranges together have all of another one.
    fn covers(&self, wanted: &RangeInclusive<i64>) -> bool {
        let mut next = *wanted.start();
        while next <= *wanted.end() {
            match self.ranges.iter().filter(|range| range.contains(&next)).map(|range| *range.end()).max() {
                Some(end) => next = end + 1,
                None => return false,
            }
        }
        true
    }
}

fn reserved_of(message: &MessageDescriptor) -> Reserved {
    Reserved {
        ranges: message.reserved_ranges().map(|r| i64::from(r.start)..=i64::from(r.end) - 1).collect(),
        names: message.reserved_names().map(str::to_owned).collect(),
    }
}

fn reserved_of_enum(descriptor: &EnumDescriptor) -> Reserved {
    Reserved {
        ranges: descriptor.reserved_ranges().map(|r| i64::from(*r.start())..=i64::from(*r.end())).collect(),
        names: descriptor.reserved_names().map(str::to_owned).collect(),
    }
}

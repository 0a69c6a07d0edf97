//! Types, formats, enumerations, bounds, patterns.

use super::Comparer;
use super::schema::{Both, clip};
use crate::rules::{Facet, bound_facets, facet};
use crate::schema::{BOUNDS, Schema, Types};
use crate::tree::Number;

impl Comparer<'_> {
    /// Compares types and formats. Says whether it makes sense to look further: values of wholly different types have
    /// nothing else in common.
    pub(super) fn types(&mut self, both: Both<'_>) -> bool {
        let Both { old, new, spot, .. } = both;
        let null = Types::NULL;
        let (before, after) = (old.types.without(null), new.types.without(null));
        // A schema without a type allows `null` like everything else; that is part of what is said of its type.
        let told = before != Types::ALL.without(null) && after != Types::ALL.without(null);
        if told && old.types.has(null) != new.types.has(null) && !before.is_empty() && !after.is_empty() {
            match new.types.has(null) {
                true => self.tell(both, &facet::BECAME_NULLABLE, &["nullable"], "may be `null` now"),
                false => {
                    self.tell(both, &facet::BECAME_NOT_NULLABLE, &["type"], "may not be `null` any more")
                }
            }
        }
        if old.odd_types != new.odd_types {
            let text = || format!("is `{}` now instead of `{}`", named(new), named(old));
            self.say(both, &facet::TYPE_CHANGED, &["type"], &text);
            return false;
        }
        let (before, after) =
            if before.is_empty() || after.is_empty() { (old.types, new.types) } else { (before, after) };
        let (removed, added) = (before.without(after), after.without(before));
        let found = match (removed.is_empty(), added.is_empty()) {
            (true, true) => {
                self.format(both);
                return true;
            }
            (true, false) => Some(widened(before, after)),
            (false, true) if spot.loose && written(removed, after) => None,
            (false, true) => Some(narrowed(before, after)),
            (false, false) if spot.text => match (written(removed, after), written(added, before)) {
                (true, false) => Some(&facet::TYPE_GENERALIZED),
                (false, true) => Some(&facet::TYPE_SPECIALIZED),
                _ => Some(&facet::TYPE_CHANGED),
            },
            (false, false) => Some(&facet::TYPE_CHANGED),
        };
        let related = (before & after) != Types::NONE || spot.text;
        if let Some(found) = found {
            let text = || format!("is {} now instead of {}", described(after, new), described(before, old));
            self.say(both, found, &["type"], &text);
        }
        // The format of a number says nothing about the text that it may be now.
        if (before & after) != Types::NONE {
            self.format(both);
        }
        related
    }

    fn format(&mut self, both: Both<'_>) {
        let Both { old, new, .. } = both;
        if old.format == new.format {
            return;
        }
        let found = match (&old.format, &new.format) {
            (_, None) => &facet::FORMAT_GENERALIZED,
            (None, _) => &facet::FORMAT_SPECIALIZED,
            (Some(a), Some(b)) if contains(b, a) => &facet::FORMAT_GENERALIZED,
            (Some(a), Some(b)) if contains(a, b) => &facet::FORMAT_SPECIALIZED,
            _ => &facet::FORMAT_CHANGED,
        };
        let shown = |f: &Option<String>| f.as_ref().map_or("none".to_owned(), |f| format!("`{}`", clip(f)));
        let text = || format!("has another format: {} instead of {}", shown(&new.format), shown(&old.format));
        self.say(both, found, &["format"], &text);
    }

    pub(super) fn values(&mut self, both: Both<'_>) {
        let Both { old, new, .. } = both;
        match (&old.values, &new.values) {
            (None, None) => {}
            (None, Some(values)) => {
                let (found, key) = if values.constant {
                    (&facet::CONST_ADDED, "const")
                } else {
                    (&facet::BECAME_ENUM, "enum")
                };
                self.say(both, found, &[key], &|| format!("may only be {} now", listed(values.list.iter())));
            }
            (Some(values), None) => {
                let (found, key) = if values.constant {
                    (&facet::CONST_REMOVED, "const")
                } else {
                    (&facet::BECAME_NOT_ENUM, "enum")
                };
                self.say(both, found, &[key], &|| {
                    format!("may be more than {} now", listed(values.list.iter()))
                });
            }
            (Some(before), Some(after)) => {
                let removed: Vec<_> = before.list.difference(&after.list).collect();
                let added: Vec<_> = after.list.difference(&before.list).collect();
                if before.constant && after.constant && !removed.is_empty() && !added.is_empty() {
                    let text = || {
                        format!(
                            "is {} now instead of {}",
                            listed(after.list.iter()),
                            listed(before.list.iter())
                        )
                    };
                    self.say(both, &facet::CONST_CHANGED, &["const"], &text);
                    return;
                }
                if !removed.is_empty() {
                    let text = || format!("may not be {} any more", listed(removed.iter().copied()));
                    self.say(both, &facet::ENUM_VALUE_REMOVED, &["enum"], &text);
                }
                if !added.is_empty() {
                    let text = || format!("may be {} as well now", listed(added.iter().copied()));
                    self.say(both, &facet::ENUM_VALUE_ADDED, &["enum"], &text);
                }
            }
        }
        let (Some(before), Some(after)) = (&old.extensible, &new.extensible) else { return };
        if !before.is_subset(after) {
            self.tell(
                both,
                &facet::EXTENSIBLE_VALUE_REMOVED,
                &["x-extensible-enum"],
                "has values less in its open list",
            );
        }
        if !after.is_subset(before) {
            self.tell(
                both,
                &facet::EXTENSIBLE_VALUE_ADDED,
                &["x-extensible-enum"],
                "has values more in its open list",
            );
        }
    }

    pub(super) fn bounds(&mut self, both: Both<'_>) {
        for (bound, facets) in BOUNDS.into_iter().zip(bound_facets()) {
            let (old, new) = (both.old.bounds[bound as usize], both.new.bounds[bound as usize]);
            let key = bound.keyword();
            match (old, new) {
                (None, Some(to)) => {
                    self.say(both, &facets.set, &[key], &|| format!("has `{key}` {to} now, and had none"))
                }
                (Some(from), None) => {
                    self.say(both, &facets.unset, &[key], &|| {
                        format!("has no `{key}` any more; it was {from}")
                    });
                }
                (Some(from), Some(to)) if from != to => {
                    let facet = if from < to { &facets.increased } else { &facets.decreased };
                    self.say(both, facet, &[key], &|| format!("has `{key}` {to} instead of {from}"));
                }
                _ => {}
            }
        }
        self.multiples(both);
    }

    fn multiples(&mut self, both: Both<'_>) {
        let (old, new) = (&both.old.multiple_of, &both.new.multiple_of);
        if old == new {
            return;
        }
        let every =
            |some: &[Number], of: &[Number]| of.iter().all(|b| some.iter().any(|a| a.is_multiple_of(*b)));
        let found: &'static Facet = match (old.is_empty(), new.is_empty()) {
            (true, _) => &facet::MULTIPLE_OF_SET,
            (_, true) => &facet::MULTIPLE_OF_UNSET,
            _ if every(old, new) => &facet::MULTIPLE_OF_GENERALIZED,
            _ if every(new, old) => &facet::MULTIPLE_OF_SPECIALIZED,
            _ => &facet::MULTIPLE_OF_CHANGED,
        };
        let shown = |l: &[Number]| l.first().map_or("none".to_owned(), ToString::to_string);
        self.say(both, found, &["multipleOf"], &|| {
            format!("has `multipleOf` {} instead of {}", shown(new), shown(old))
        });
    }

    /// Patterns, and what is inside of texts.
    pub(super) fn texts(&mut self, both: Both<'_>) {
        let Both { old, new, .. } = both;
        if old.patterns != new.patterns {
            let shown = |p: &std::collections::BTreeSet<String>| match p.is_empty() {
                true => "none".to_owned(),
                false => {
                    format!("`{}`", clip(&p.iter().map(String::as_str).collect::<Vec<_>>().join("` and `")))
                }
            };
            let found = match (old.patterns.is_subset(&new.patterns), new.patterns.is_subset(&old.patterns)) {
                (true, _) => &facet::PATTERN_ADDED,
                (_, true) => &facet::PATTERN_REMOVED,
                _ => &facet::PATTERN_CHANGED,
            };
            let text =
                || format!("has the pattern {} instead of {}", shown(&new.patterns), shown(&old.patterns));
            self.say(both, found, &["pattern"], &text);
        }
        let text =
            |value: &Option<String>| value.as_ref().map_or("none".to_owned(), |v| format!("`{}`", clip(v)));
        for (before, after, found, key) in [
            (
                &old.content_media_type,
                &new.content_media_type,
                &facet::CONTENT_MEDIA_TYPE_CHANGED,
                "contentMediaType",
            ),
            (
                &old.content_encoding,
                &new.content_encoding,
                &facet::CONTENT_ENCODING_CHANGED,
                "contentEncoding",
            ),
        ] {
            if before != after {
                self.say(both, found, &[key], &|| {
                    format!("has `{key}` {} instead of {}", text(after), text(before))
                });
            }
        }
        let facets = (&facet::CONTENT_SCHEMA_ADDED, &facet::CONTENT_SCHEMA_REMOVED);
        self.optional(both, (old.content_schema, new.content_schema), facets, ("contentSchema", "(content)"));
    }
}

/// Whether all of some types can be read as others where they are written as text.
fn written(types: Types, to: Types) -> bool {
    let scalars = Types::BOOLEAN | Types::NUMBER | Types::STRING;
    scalars.has(types) && (to.has(Types::STRING) || to.has(types))
}

fn widened(before: Types, after: Types) -> &'static Facet {
    let single = before.names() == 1 && after.names() == 1;
    if single || after.without(Types::NULL) == Types::ALL.without(Types::NULL) {
        &facet::TYPE_GENERALIZED
    } else {
        &facet::TYPES_WIDENED
    }
}

fn narrowed(before: Types, after: Types) -> &'static Facet {
    let single = before.names() == 1 && after.names() == 1;
    if single || before.without(Types::NULL) == Types::ALL.without(Types::NULL) {
        &facet::TYPE_SPECIALIZED
    } else {
        &facet::TYPES_NARROWED
    }
}

/// Whether every value of one format is one of the other.
fn contains(wide: &str, narrow: &str) -> bool {
    matches!(
        (wide, narrow),
        ("int64", "int32")
            | ("bigint", "int32" | "int64")
            | ("double", "float" | "int32")
            | ("date-time", "date" | "time")
            | ("iri", "uri")
            | ("iri-reference", "uri-reference" | "iri" | "uri")
            | ("uri-reference", "uri")
            | ("idn-email", "email")
            | ("idn-hostname", "hostname")
    )
}

fn named(schema: &Schema) -> String {
    if schema.odd_types.is_empty() {
        return schema.types.to_string();
    }
    schema.odd_types.iter().map(|t| clip(t)).collect::<Vec<_>>().join(" or ")
}

fn described(types: Types, schema: &Schema) -> String {
    match &schema.format {
        Some(format) => format!("{types} ({})", clip(format)),
        None => types.to_string(),
    }
}

/// The first few of a list of values.
fn listed<'v>(values: impl ExactSizeIterator<Item = &'v Box<str>>) -> String {
    const FEW: usize = 5;
    let more = values.len().saturating_sub(FEW);
    let mut shown: Vec<String> = values.take(FEW).map(|v| format!("`{}`", clip(v))).collect();
    if more > 0 {
        shown.push(format!("{more} more"));
    }
    shown.join(", ")
}

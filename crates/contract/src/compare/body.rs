//! Request bodies, and media types in general.

use std::collections::BTreeMap;

use super::{Comparer, Spot};
use crate::files::At;
use crate::openapi::{Body, Media, MediaKey, Operation, Role};
use crate::rules::{Rule, Side, rule};
use crate::schema::SchemaId;

type Content = BTreeMap<MediaKey, Media>;

impl<'a> Comparer<'a> {
    pub(super) fn bodies(&mut self, old: &'a Operation, new: &'a Operation) {
        let call = old.role == Role::Call;
        match (&old.body, &new.body) {
            (Some(before), Some(after)) => self.body(call, before, after),
            (None, Some(after)) => {
                let rule = match (call, after.required) {
                    (false, _) => &rule::WEBHOOK_BODY_ADDED,
                    (true, true) => &rule::BODY_ADDED_REQUIRED,
                    (true, false) => &rule::BODY_ADDED_OPTIONAL,
                };
                let required = if after.required { " and required" } else { "" };
                self.rule(rule, None, self.place_new(after.at), format!("the request body is new{required}"));
            }
            (Some(before), None) => {
                let rule = if call { &rule::BODY_REMOVED } else { &rule::WEBHOOK_BODY_REMOVED };
                self.rule(rule, self.place_old(before.at), None, "the request body is gone".to_owned());
            }
            (None, None) => {}
        }
    }

    fn body(&mut self, call: bool, old: &'a Body, new: &'a Body) {
        let places = (self.place_old(old.at), self.place_new(new.at));
        let found: Option<(&'static Rule, &str)> = match (call, old.required, new.required) {
            (true, false, true) => Some((&rule::BODY_BECAME_REQUIRED, "the request body is required now")),
            (true, true, false) => {
                Some((&rule::BODY_BECAME_OPTIONAL, "the request body is not required any more"))
            }
            (false, true, false) => {
                Some((&rule::WEBHOOK_BODY_BECAME_OPTIONAL, "the body may be missing now"))
            }
            _ => None,
        };
        if let Some((rule, text)) = found {
            self.rule(rule, places.0, places.1, text.to_owned());
        }
        let side = if call { Side::Sent } else { Side::Received };
        self.content(side, "the request body", (&old.content, old.at), (&new.content, new.at));
    }

    /// Compares what may be sent by media type. No media type at all says nothing.
    pub(super) fn content(&mut self, side: Side, name: &str, old: (&'a Content, At), new: (&'a Content, At)) {
        for (key, media) in old.0 {
            match self.counterpart(side, key, new.0, old.0) {
                Some((found, other)) => {
                    self.renamed(side, name, (key, media), (found, other));
                    self.media(side, name, key, (media, other));
                }
                None => {
                    let rule = match side {
                        Side::Sent => &rule::REQUEST_MEDIA_REMOVED,
                        Side::Received => &rule::RESPONSE_MEDIA_REMOVED,
                    };
                    let text = format!("{name} may not be `{key}` any more");
                    self.rule(rule, self.place_old(media.at), self.place_new(new.1), text);
                }
            }
        }
        for (key, media) in new.0 {
            let known = old.0.keys().any(|before| before == key || before.covers(key) || before.is_like(key));
            let specialized =
                old.0.keys().any(|before| before.is_base_of(key) && !new.0.contains_key(before));
            let generalized = old
                .0
                .keys()
                .any(|before| (key.covers(before) || key.is_base_of(before)) && !new.0.contains_key(before));
            if !known && !specialized && !generalized {
                let rule = match side {
                    Side::Sent => &rule::REQUEST_MEDIA_ADDED,
                    Side::Received => &rule::RESPONSE_MEDIA_ADDED,
                };
                let text = format!("{name} may be `{key}` as well now");
                self.rule(rule, self.place_old(old.1), self.place_new(media.at), text);
            }
        }
    }

    /// What a media type became: itself, a range that it is in, one of its range, or one that differs in parameters.
    fn counterpart(
        &self,
        side: Side,
        key: &MediaKey,
        new: &'a Content,
        old: &Content,
    ) -> Option<(&'a MediaKey, &'a Media)> {
        let fresh = |other: &MediaKey| !old.contains_key(other);
        new.get_key_value(key)
            .or_else(|| new.iter().find(|(other, _)| other.covers(key)))
            .or_else(|| new.iter().find(|(other, _)| other.is_like(key) && fresh(other)))
            .or_else(|| {
                let received = side == Side::Received;
                new.iter().find(|(other, _)| {
                    received
                        && fresh(other)
                        && (key.covers(other) || key.is_base_of(other) || other.is_base_of(key))
                })
            })
    }

    /// The name of a media type, where it is another one.
    fn renamed(&mut self, side: Side, name: &str, old: (&MediaKey, &Media), new: (&MediaKey, &Media)) {
        if old.0 == new.0 {
            return;
        }
        let rule = match side {
            // Whoever writes it as before is in the range.
            Side::Sent if new.0.covers(old.0) => &rule::REQUEST_MEDIA_ADDED,
            Side::Sent => &rule::REQUEST_MEDIA_REMOVED,
            Side::Received if old.0.is_like(new.0) => &rule::RESPONSE_MEDIA_PARAMETERS,
            Side::Received if new.0.covers(old.0) || new.0.is_base_of(old.0) => {
                &rule::RESPONSE_MEDIA_GENERALIZED
            }
            Side::Received => &rule::RESPONSE_MEDIA_SPECIALIZED,
        };
        let text = format!("{name} is `{}` now instead of `{}`", new.0, old.0);
        self.rule(rule, self.place_old(old.1.at), self.place_new(new.1.at), text);
    }

    fn media(&mut self, side: Side, name: &str, key: &MediaKey, (old, new): (&'a Media, &'a Media)) {
        for (before, after, what) in
            [(old.schema, new.schema, ""), (old.item_schema, new.item_schema, "each item of ")]
        {
            let name = format!("{what}{name}");
            match (before, after) {
                (Some(before), Some(after)) => {
                    let spot = Spot::body(side, name, key.is_text(), key.is_xml(), (old.at, new.at));
                    self.whole(before, after, &spot);
                }
                (None, Some(after)) => self.schema_appeared(side, &name, after, (old.at, new.at)),
                (Some(before), None) => self.schema_vanished(side, &name, before, (old.at, new.at)),
                (None, None) => {}
            }
        }
    }

    fn schema_appeared(&mut self, side: Side, name: &str, after: SchemaId, at: (At, At)) {
        if self.after().graph.get(after).is_anything() {
            return;
        }
        let rule = match side {
            Side::Sent => &rule::REQUEST_MEDIA_SCHEMA_ADDED,
            Side::Received => &rule::RESPONSE_MEDIA_SCHEMA_ADDED,
        };
        self.rule(rule, self.place_old(at.0), self.place_new(at.1), format!("{name} has a schema now"));
    }

    fn schema_vanished(&mut self, side: Side, name: &str, before: SchemaId, at: (At, At)) {
        if self.before().graph.get(before).is_anything() {
            return;
        }
        let rule = match side {
            Side::Sent => &rule::REQUEST_MEDIA_SCHEMA_REMOVED,
            Side::Received => &rule::RESPONSE_MEDIA_SCHEMA_REMOVED,
        };
        self.rule(rule, self.place_old(at.0), self.place_new(at.1), format!("{name} has no schema any more"));
    }
}

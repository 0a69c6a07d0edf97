//! Answers and their headers.

use super::{Comparer, Spot};
use crate::openapi::{Header, Operation, Response, Role};
use crate::rules::{Rule, Side, rule};

impl<'a> Comparer<'a> {
    pub(super) fn responses(&mut self, old: &'a Operation, new: &'a Operation) {
        let side = if old.role == Role::Call { Side::Received } else { Side::Sent };
        for (status, before) in &old.responses {
            if let Some(after) = new.responses.get(status) {
                self.response(side, status, before, after);
                continue;
            }
            let range = range_of(status).and_then(|range| new.responses.get(&range));
            let inside: Vec<_> = new
                .responses
                .iter()
                .filter(|(other, _)| {
                    range_of(other).as_ref() == Some(status) && !old.responses.contains_key(*other)
                })
                .collect();
            match (range, inside.as_slice()) {
                (Some(after), _) => self.response(side, status, before, after),
                (None, []) => self.status_removed(old, new, status, before),
                (None, inside) => {
                    let places = (self.place_old(before.at), self.place_new(new.at));
                    let text = format!("response {status} is only some of these statuses now");
                    self.rule(&rule::SUCCESS_RANGE_NARROWED, places.0, places.1, text);
                    for (other, after) in inside {
                        self.response(side, other, before, after);
                    }
                }
            }
        }
        for (status, after) in &new.responses {
            let known = old.responses.contains_key(status)
                || range_of(status).is_some_and(|range| old.responses.contains_key(&range));
            if !known {
                let rule =
                    if is_success(status) { &rule::SUCCESS_STATUS_ADDED } else { &rule::ERROR_STATUS_ADDED };
                let places = (self.place_old(old.at), self.place_new(after.at));
                self.rule(rule, places.0, places.1, format!("response {status} is new"));
            }
        }
    }

    fn status_removed(&mut self, old: &Operation, new: &Operation, status: &str, before: &Response) {
        // An operation that describes nothing but a default answers with that when all went well.
        let only = old.responses.len() == 1;
        let rule: &'static Rule = match status {
            "default" if only && !new.responses.keys().any(|s| is_success(s)) => {
                &rule::SUCCESS_STATUS_REMOVED
            }
            "default" => &rule::DEFAULT_RESPONSE_REMOVED,
            status if is_success(status) => &rule::SUCCESS_STATUS_REMOVED,
            _ => &rule::ERROR_STATUS_REMOVED,
        };
        let places = (self.place_old(before.at), self.place_new(new.at));
        self.rule(rule, places.0, places.1, format!("response {status} is gone"));
    }

    fn response(&mut self, side: Side, status: &str, old: &'a Response, new: &'a Response) {
        for (key, before) in &old.headers {
            match new.headers.get(key) {
                Some(after) => self.header(side, status, before, after),
                None => {
                    let rule =
                        if before.required { &rule::HEADER_REMOVED } else { &rule::OPTIONAL_HEADER_REMOVED };
                    let places = (self.place_old(before.at), self.place_new(new.at));
                    self.rule(rule, places.0, places.1, format!("{} is gone", name(before, status)));
                }
            }
        }
        for (_, after) in new.headers.iter().filter(|(key, _)| !old.headers.contains_key(*key)) {
            let places = (self.place_old(old.at), self.place_new(after.at));
            self.rule(&rule::HEADER_ADDED, places.0, places.1, format!("{} is new", name(after, status)));
        }
        let name = format!("the body of response {status}");
        // No content at all is an answer without a body.
        self.content(side, &name, (&old.content, old.at), (&new.content, new.at));
    }

    fn header(&mut self, side: Side, status: &str, old: &'a Header, new: &'a Header) {
        let places = (self.place_old(old.at), self.place_new(new.at));
        let found: Option<(&'static Rule, &str)> = match (old.required, new.required) {
            (true, false) => Some((&rule::HEADER_BECAME_OPTIONAL, "may be missing now")),
            (false, true) => Some((&rule::HEADER_BECAME_REQUIRED, "is always there now")),
            _ => None,
        };
        if let Some((rule, text)) = found {
            self.rule(rule, places.0.clone(), places.1.clone(), format!("{} {text}", name(new, status)));
        }
        match (old.schema, new.schema) {
            (Some(before), Some(after)) => {
                let spot = Spot::header(side, name(new, status), (old.at, new.at));
                self.whole(before, after, &spot);
            }
            (None, Some(_)) => {
                let text = format!("{} has a schema now", name(new, status));
                self.rule(&rule::HEADER_SCHEMA_ADDED, places.0, places.1, text);
            }
            (Some(before), None) if !self.before().graph.get(before).is_anything() => {
                let text = format!("{} has no schema any more", name(new, status));
                self.rule(&rule::HEADER_SCHEMA_REMOVED, places.0, places.1, text);
            }
            _ => {}
        }
    }
}

fn name(header: &Header, status: &str) -> String {
    format!("the header `{}` of response {status}", super::schema::clip(&header.name))
}

/// The range that a status is in: `2XX` for `204`.
fn range_of(status: &str) -> Option<String> {
    let digits = status.len() == 3 && status.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| format!("{}XX", &status[..1]))
}

fn is_success(status: &str) -> bool {
    status.starts_with('2')
}

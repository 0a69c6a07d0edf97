//! Who is let in.

use std::collections::BTreeSet;

use super::Comparer;
use super::schema::clip;
use crate::openapi::{Operation, Requirement};
use crate::rules::rule;

impl<'a> Comparer<'a> {
    pub(super) fn security(&mut self, old: &Operation, new: &Operation) {
        if old.security == new.security {
            return;
        }
        let key = |api: &crate::openapi::Api, at| match api.docs.has(at, "security") {
            true => api.docs.place_of_key(at, "security"),
            false => api.docs.place_of_key(api.root, "security"),
        };
        let places = (Some(key(self.before(), old.at)), Some(key(self.after(), new.at)));
        let open = |alternatives: &[Requirement]| {
            alternatives.is_empty() || alternatives.iter().any(Requirement::is_empty)
        };
        match (open(&old.security), open(&new.security)) {
            (true, true) => return,
            (true, false) => {
                let text = format!("credentials are asked for now: {}", shown(&new.security));
                return self.rule(&rule::SECURITY_ADDED, places.0, places.1, text);
            }
            (false, true) => {
                let text = "no credentials are asked for any more".to_owned();
                return self.rule(&rule::SECURITY_DROPPED, places.0, places.1, text);
            }
            (false, false) => {}
        }
        for before in &old.security {
            if new.security.iter().any(|after| lets_in(after, before)) {
                continue;
            }
            // The nearest one that asks for the same schemes says which scopes are missing.
            let near =
                new.security.iter().find(|after| after.keys().all(|scheme| before.contains_key(scheme)));
            let missing: BTreeSet<&str> = near
                .into_iter()
                .flatten()
                .flat_map(|(scheme, scopes)| scopes.iter().filter(|s| !before[scheme].contains(*s)))
                .map(String::as_str)
                .collect();
            let (rule, text) = if missing.is_empty() {
                let text = format!("{} does not let in any more", one(before));
                (&rule::SECURITY_REMOVED, text)
            } else {
                let scopes: Vec<&str> = missing.into_iter().collect();
                (&rule::SECURITY_SCOPE_ADDED, format!("the scope `{}` is asked for now", scopes.join("`, `")))
            };
            self.rule(rule, places.0.clone(), places.1.clone(), text);
        }
        for after in &new.security {
            if !old.security.contains(after) {
                let fewer = old
                    .security
                    .iter()
                    .any(|before| before.keys().eq(after.keys()) && lets_in(after, before));
                let (rule, text) = match fewer {
                    true => {
                        (&rule::SECURITY_SCOPE_REMOVED, format!("fewer scopes are asked for: {}", one(after)))
                    }
                    false => (&rule::SECURITY_ALTERNATIVE_ADDED, format!("{} lets in now", one(after))),
                };
                self.rule(rule, places.0.clone(), places.1.clone(), text);
            }
        }
    }

    /// How credentials are sent, for the schemes that some operation asks for.
    pub(super) fn schemes(&mut self) {
        let used: BTreeSet<&String> =
            self.before().operations.iter().flat_map(|o| o.security.iter().flat_map(|r| r.keys())).collect();
        let (old, new) = (self.before(), self.after());
        for (name, before) in &old.schemes {
            let Some(after) = new.schemes.get(name) else { continue };
            let places = (Some(old.docs.place(before.at)), Some(new.docs.place(after.at)));
            if before.wire != after.wire && used.contains(name) {
                let text = format!("credentials of the scheme `{}` are sent in another way", clip(name));
                self.rule(&rule::SCHEME_CHANGED, places.0, places.1, text);
            } else if before.addresses != after.addresses {
                let text = format!("tokens of the scheme `{}` come from another address", clip(name));
                self.rule(&rule::SCHEME_ADDRESS_CHANGED, places.0, places.1, text);
            }
        }
    }
}

/// Whether credentials that were good for `before` are good for `after`.
fn lets_in(after: &Requirement, before: &Requirement) -> bool {
    after.iter().all(|(scheme, scopes)| before.get(scheme).is_some_and(|had| scopes.is_subset(had)))
}

fn one(requirement: &Requirement) -> String {
    let schemes = requirement.iter().map(|(scheme, scopes)| match scopes.is_empty() {
        true => format!("`{}`", clip(scheme)),
        false => format!("`{}` with {}", clip(scheme), scopes.iter().cloned().collect::<Vec<_>>().join(", ")),
    });
    schemes.collect::<Vec<_>>().join(" and ")
}

fn shown(alternatives: &[Requirement]) -> String {
    alternatives.iter().map(one).collect::<Vec<_>>().join(", or ")
}

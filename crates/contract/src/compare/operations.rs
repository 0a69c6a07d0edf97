//! Which operation became which.

use std::collections::BTreeMap;

use super::Comparer;
use crate::lifecycle::Day;
use crate::openapi::{Operation, Role, normal_path};
use crate::rules::{Rule, rule};

impl<'a> Comparer<'a> {
    /// Compares everything.
    pub(super) fn apis(&mut self) {
        let mut news: BTreeMap<(Role, &str, &str), &'a Operation> = BTreeMap::new();
        let mut by_shape: BTreeMap<(Role, &str, String), &'a Operation> = BTreeMap::new();
        for operation in &self.after().operations {
            news.insert((operation.role, &operation.method, &operation.path), operation);
            by_shape.insert(shape(operation), operation);
        }
        let olds = &self.before().operations;
        let exactly: Vec<_> =
            olds.iter().map(|o| news.get(&(o.role, &*o.method, &*o.path)).copied()).collect();
        let mut taken: Vec<*const Operation> =
            exactly.iter().flatten().map(|new| std::ptr::from_ref(*new)).collect();
        for (old, new) in olds.iter().zip(exactly) {
            let similar = || {
                by_shape.get(&shape(old)).copied().filter(|new| !taken.contains(&std::ptr::from_ref(*new)))
            };
            match new.or_else(similar) {
                Some(new) => {
                    taken.push(std::ptr::from_ref(new));
                    self.operation(old, new);
                }
                None => self.operation_removed(old),
            }
        }
        for new in &self.after().operations {
            if !taken.contains(&std::ptr::from_ref(new)) {
                self.operation_added(new);
            }
        }
        self.schemes();
        self.servers();
        self.lost();
    }

    fn operation(&mut self, old: &'a Operation, new: &'a Operation) {
        self.enter(old);
        self.identity(old, new);
        self.operation_lifecycle(old, new);
        self.parameters(old, new);
        self.bodies(old, new);
        self.responses(old, new);
        if old.role == Role::Call {
            self.security(old, new);
        }
        self.leave();
    }

    /// An operation's name is not on the wire, but others refer to it.
    fn identity(&mut self, old: &Operation, new: &Operation) {
        let (rule, text): (&'static Rule, String) = match (&old.operation_id, &new.operation_id) {
            (Some(a), Some(b)) if a != b => {
                (&rule::OPERATION_ID_CHANGED, format!("the `operationId` is `{b}` instead of `{a}`"))
            }
            (Some(a), None) => (&rule::OPERATION_ID_REMOVED, format!("the `operationId` `{a}` is gone")),
            (None, Some(b)) => (&rule::OPERATION_ID_ADDED, format!("the `operationId` is `{b}` now")),
            _ => return,
        };
        let at_old = self.before().docs.place_of_key(old.at, "operationId");
        let at_new = self.after().docs.place_of_key(new.at, "operationId");
        self.rule(rule, Some(at_old), Some(at_new), text);
    }

    fn operation_added(&mut self, new: &Operation) {
        self.enter(new);
        let (rule, text) = match new.role {
            Role::Call => (&rule::OPERATION_ADDED, "the operation is new"),
            _ => (&rule::WEBHOOK_ADDED, "the call to consumers is new"),
        };
        self.rule(rule, None, Some(new.place.clone()), text.to_owned());
        self.leave();
    }

    fn operation_removed(&mut self, old: &Operation) {
        self.enter(old);
        self.softened = false;
        let life = &old.lifecycle;
        let day = life.sunset.as_deref().map(Day::parse);
        let (rule, text): (&'static Rule, String) = match (old.role, life.deprecated, day) {
            (Role::Webhook | Role::Callback, false, _) => {
                (&rule::WEBHOOK_REMOVED, "consumers are not called any more".to_owned())
            }
            (_, false, _) if life.is_loose() => {
                (&rule::OPERATION_REMOVED_LOOSE, "the operation is gone; it was not stable".to_owned())
            }
            (_, false, _) => {
                (&rule::OPERATION_REMOVED, "the operation is gone, and was not deprecated".to_owned())
            }
            (_, true, None) => {
                (&rule::OPERATION_REMOVED_DEPRECATED, "the deprecated operation is gone".to_owned())
            }
            (_, true, Some(None)) => {
                (&rule::SUNSET_UNREADABLE, "the operation is gone, and its `x-sunset` is no date".to_owned())
            }
            (_, true, Some(Some(day))) => match self.options.today {
                Some(today) if today >= day => {
                    (&rule::OPERATION_REMOVED_AFTER_SUNSET, format!("the operation is gone since {day}"))
                }
                _ => (&rule::OPERATION_REMOVED_BEFORE_SUNSET, format!("the operation is gone before {day}")),
            },
        };
        self.rule(rule, Some(old.place.clone()), None, text);
        self.leave();
    }

    fn servers(&mut self) {
        for url in self.before().servers.difference(&self.after().servers) {
            let place = self.before().docs.place_of_key(self.before().root, "servers");
            let new = self.after().docs.place_of_key(self.after().root, "servers");
            let text = format!("the server `{url}` is not named any more");
            self.rule(&rule::SERVER_REMOVED, Some(place), Some(new), text);
        }
    }

    /// References that lead nowhere, where they are not the same in both.
    fn lost(&mut self) {
        let said: Vec<&String> = self.before().lost.iter().map(|(_, what)| what).collect();
        for (place, what) in self.after().lost.iter().filter(|(_, what)| !said.contains(&what)) {
            self.rule(&rule::REFERENCE_LOST, None, Some(place.clone()), what.clone());
        }
    }
}

/// What tells operations apart on the wire.
fn shape(operation: &Operation) -> (Role, &str, String) {
    (operation.role, &operation.method, normal_path(&operation.path))
}

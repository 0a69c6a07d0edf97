//! What is announced of an operation.

use super::Comparer;
use crate::lifecycle::{Day, Lifecycle};
use crate::openapi::Operation;
use crate::report::Place;
use crate::rules::{Rule, rule};

impl Comparer<'_> {
    pub(super) fn operation_lifecycle(&mut self, old: &Operation, new: &Operation) {
        let places = (Some(old.place.clone()), Some(new.place.clone()));
        let (before, after) = (&old.lifecycle, &new.lifecycle);
        let announced = (&rule::OPERATION_DEPRECATED, &rule::OPERATION_REACTIVATED);
        self.deprecation(before, after, announced, places.clone(), "the operation");
        self.sunset(before, after, places.clone(), "the operation");
        self.stability(before, after, places);
    }

    pub(super) fn deprecation(
        &mut self,
        old: &Lifecycle,
        new: &Lifecycle,
        (deprecated, reactivated): (&'static Rule, &'static Rule),
        places: (Option<Place>, Option<Place>),
        name: &str,
    ) {
        match (old.deprecated, new.deprecated) {
            (false, true) => self.rule(deprecated, places.0, places.1, format!("{name} is deprecated")),
            (true, false) => {
                self.rule(reactivated, places.0, places.1, format!("{name} is not deprecated any more"));
            }
            _ => {}
        }
    }

    /// A day that was promised may only become a later one.
    pub(super) fn sunset(
        &mut self,
        old: &Lifecycle,
        new: &Lifecycle,
        places: (Option<Place>, Option<Place>),
        name: &str,
    ) {
        if !new.deprecated || old.sunset == new.sunset {
            return;
        }
        let day = |s: &Option<String>| s.as_deref().and_then(Day::parse);
        let (rule, text): (&'static Rule, String) = match (&old.sunset, &new.sunset) {
            (Some(from), None) if old.deprecated => {
                (&rule::SUNSET_REMOVED, format!("{name} has no `x-sunset` any more; it was {from}"))
            }
            (from, Some(to)) => match (day(&old.sunset), day(&new.sunset)) {
                (_, None) => {
                    (&rule::SUNSET_UNREADABLE, format!("{name} has the `x-sunset` `{to}`, which is no date"))
                }
                (None, Some(_)) if from.is_some() => {
                    (&rule::SUNSET_UNREADABLE, format!("{name} had an `x-sunset` that is no date"))
                }
                (Some(from), Some(to)) if to < from => {
                    (&rule::SUNSET_EARLIER, format!("{name} goes on {to}, and was promised until {from}"))
                }
                (Some(from), Some(to)) if to > from => {
                    (&rule::SUNSET_LATER, format!("{name} goes on {to} instead of {from}"))
                }
                _ => return,
            },
            _ => return,
        };
        self.rule(rule, places.0, places.1, text);
    }

    fn stability(&mut self, old: &Lifecycle, new: &Lifecycle, places: (Option<Place>, Option<Place>)) {
        let name = |life: &Lifecycle| life.stability.clone().unwrap_or_else(|| "stable".to_owned());
        let (rule, text): (&'static Rule, String) = match (old.level(), new.level()) {
            (_, None) => (
                &rule::STABILITY_UNREADABLE,
                format!("`x-stability-level` is `{}`, which is none", name(new)),
            ),
            (None, _) => (
                &rule::STABILITY_UNREADABLE,
                format!("`x-stability-level` was `{}`, which is none", name(old)),
            ),
            (Some(from), Some(to)) if to < from => (
                &rule::STABILITY_DECREASED,
                format!("the operation went from `{}` to `{}`", name(old), name(new)),
            ),
            (Some(from), Some(to)) if to > from => (
                &rule::STABILITY_INCREASED,
                format!("the operation went from `{}` to `{}`", name(old), name(new)),
            ),
            _ => return,
        };
        self.rule(rule, places.0, places.1, text);
    }
}

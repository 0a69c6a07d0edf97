//! What differs between two declarations of an app, and what follows from it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use model::{DesiredState, ServiceName, ServiceSpec};
use serde::Serialize;
use serde_json::Value;

/// Settings of a service that hold as soon as they are known.
const AT_ONCE: [&str; 4] = ["scale", "limits", "deploy", "watch"];
/// Settings with which processes are started: they hold for each from its next start.
const AT_START: [&str; 4] = ["health", "stop", "limits.memory", "limits.cpu"];

/// One part of the app that is declared in another way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which part.
    pub part: Part,
    /// In which way.
    pub kind: Kind,
    /// The settings that differ; none where all of it came or went. Of the environment the variable is named, not its value.
    pub keys: Vec<String>,
    /// What follows.
    pub effect: Effect,
}

/// A part of an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The way in.
    Gateway,
    /// A service.
    Service(ServiceName),
    /// A system outside.
    External(ServiceName),
    /// Settings of the whole app: the name in the manifest.
    App(&'static str),
}

/// How a part is different.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It has other settings.
    Changed,
}

/// What follows from a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It is built and started.
    Start,
    /// Its replicas finish what they have, and end.
    Stop,
    /// It is built, and rolled out if that makes a new release.
    Rollout,
    /// It holds at once; no process is touched.
    AtOnce,
    /// It holds for each replica from its next start.
    NextStart,
    /// It holds when the app is started anew.
    NextUp,
    /// It cannot be done while the app runs.
    Refused,
}

/// Every part that differs.
pub fn changes(before: &DesiredState, after: &DesiredState) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut app = |name, differs: bool, effect| {
        if differs {
            changes.push(Change { part: Part::App(name), kind: Kind::Changed, keys: vec![], effect });
        }
    };
    app("name", before.name != after.name, Effect::Refused);
    app("verify_callers", before.verify_callers != after.verify_callers, Effect::AtOnce);
    app("console", before.console != after.console, Effect::NextUp);
    let sagas = before.saga_files != after.saga_files || before.saga_store != after.saga_store;
    app("sagas", sagas, Effect::NextUp);
    app("alerts", before.alerts != after.alerts, Effect::AtOnce);
    app("telemetry", before.telemetry != after.telemetry, Effect::AtOnce);
    app("events", before.subscriptions != after.subscriptions, Effect::NextUp);
    let gateway = compare(before.gateway.as_ref(), after.gateway.as_ref());
    changes.extend(gateway.map(|(kind, keys)| Change {
        part: Part::Gateway,
        kind,
        keys,
        effect: Effect::AtOnce,
    }));
    for (name, kind, keys) in differing(&before.externals, &after.externals) {
        changes.push(Change { part: Part::External(name), kind, keys, effect: Effect::AtOnce });
    }
    for (name, kind, keys) in differing(&before.services, &after.services) {
        let effect = match kind {
            Kind::Added => Effect::Start,
            Kind::Removed => Effect::Stop,
            Kind::Changed => effect(&keys),
        };
        changes.push(Change { part: Part::Service(name), kind, keys, effect });
    }
    changes
}

/// What follows when these settings of a service change.
fn effect(keys: &[String]) -> Effect {
    let at_start = |key: &String| AT_START.contains(&key.as_str());
    let at_once =
        |key: &String| AT_ONCE.contains(&key.split('.').next().unwrap_or_default()) && !at_start(key);
    if keys.iter().all(at_once) {
        return Effect::AtOnce;
    }
    if keys.iter().all(|key| at_once(key) || at_start(key)) { Effect::NextStart } else { Effect::Rollout }
}

/// `before` with the settings that `after` has for some services alone. Says which callee is missing, if one is.
pub fn only(
    before: &DesiredState,
    after: &DesiredState,
    services: &BTreeSet<ServiceName>,
) -> Result<DesiredState, (ServiceName, ServiceName)> {
    let mut merged = before.clone();
    for service in services.iter().filter_map(|name| after.services.get(name)) {
        merged.services.insert(service.name.clone(), service.clone());
    }
    let known =
        |name: &ServiceName| merged.services.contains_key(name) || merged.externals.contains_key(name);
    let missing = |service: &ServiceSpec| {
        let call = service.calls.iter().find(|call| !known(&call.callee))?;
        Some((service.name.clone(), call.callee.clone()))
    };
    match merged.services.values().find_map(missing) {
        Some(missing) => Err(missing),
        None => Ok(merged),
    }
}

type Differing = (ServiceName, Kind, Vec<String>);

fn differing<T: Serialize>(
    before: &BTreeMap<ServiceName, T>,
    after: &BTreeMap<ServiceName, T>,
) -> Vec<Differing> {
    let names: BTreeSet<&ServiceName> = before.keys().chain(after.keys()).collect();
    let each = names.into_iter().filter_map(|name| {
        let (kind, keys) = compare(before.get(name), after.get(name))?;
        Some((name.clone(), kind, keys))
    });
    each.collect()
}

fn compare<T: Serialize>(before: Option<&T>, after: Option<&T>) -> Option<(Kind, Vec<String>)> {
    match (before, after) {
        (None, None) => None,
        (None, Some(_)) => Some((Kind::Added, vec![])),
        (Some(_), None) => Some((Kind::Removed, vec![])),
        (Some(before), Some(after)) => {
            // What is read from a file can be written as JSON; if not, it counts as one and the same nothing.
            let value = |of: &T| serde_json::to_value(of).unwrap_or_default();
            let keys = keys(&value(before), &value(after), "");
            (!keys.is_empty()).then_some((Kind::Changed, keys))
        }
    }
}

/// The names under which two tables differ; those of variables and limits one by one.
fn keys(before: &Value, after: &Value, under: &str) -> Vec<String> {
    let (Value::Object(old), Value::Object(new)) = (before, after) else { return vec![] };
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let differ = names.into_iter().filter(|name| old.get(*name) != new.get(*name));
    let named = differ.flat_map(|name| match (under, name.as_str(), old.get(name), new.get(name)) {
        ("", "env" | "limits", Some(old), Some(new)) => keys(old, new, &format!("{name}.")),
        _ => vec![format!("{under}{name}")],
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use model::{Call, Template};

    use super::*;
    use crate::testing::{desired, service};

    fn said(before: &DesiredState, after: &DesiredState) -> Vec<(String, Kind, String, Effect)> {
        let each = changes(before, after).into_iter().map(|change| {
            let part = match change.part {
                Part::Gateway => "gateway".to_owned(),
                Part::Service(name) | Part::External(name) => name.to_string(),
                Part::App(name) => name.to_owned(),
            };
            (part, change.kind, change.keys.join(" "), change.effect)
        });
        each.collect()
    }

    #[test]
    fn each_part_that_differs_is_named_with_what_follows() {
        let before = desired([service("web", &[]), service("old", &[]), service("api", &[])]);
        assert_eq!(said(&before, &before), []);

        let mut after = desired([service("web", &["api"]), service("new", &[]), service("api", &[])]);
        after.verify_callers = false;
        after.gateway.as_mut().unwrap().max_body = 1;
        let api = after.services.get_mut("api").unwrap();
        (api.scale.max, api.limits.retries) = (7, 7);
        let row = |part: &str, kind, keys: &str, effect| (part.to_owned(), kind, keys.to_owned(), effect);
        assert_eq!(
            said(&before, &after),
            [
                row("verify_callers", Kind::Changed, "", Effect::AtOnce),
                row("gateway", Kind::Changed, "max_body", Effect::AtOnce),
                row("api", Kind::Changed, "limits.retries scale", Effect::AtOnce),
                row("new", Kind::Added, "", Effect::Start),
                row("old", Kind::Removed, "", Effect::Stop),
                row("web", Kind::Changed, "calls", Effect::Rollout),
            ]
        );
    }

    #[test]
    fn variables_are_named_without_their_values() {
        let before = desired([service("web", &[])]);
        let mut after = before.clone();
        let web = after.services.get_mut("web").unwrap();
        web.env.insert("PASSWORD".to_owned(), Template::literal("hunter2"));
        web.stop.grace *= 2;
        assert_eq!(changes(&before, &after)[0].keys, ["env.PASSWORD", "stop"]);
        assert!(!format!("{:?}", changes(&before, &after)).contains("hunter2"));
    }

    #[test]
    fn health_and_stop_wait_for_the_next_start_and_everything_unknown_is_rolled_out() {
        let names = |keys: &[&str]| effect(&keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>());
        assert_eq!(names(&["scale"]), Effect::AtOnce);
        assert_eq!(names(&["health", "scale"]), Effect::NextStart);
        assert_eq!(names(&["limits.timeout"]), Effect::AtOnce);
        assert_eq!(names(&["limits.timeout", "limits.memory"]), Effect::NextStart);
        assert_eq!(names(&["health", "env.X"]), Effect::Rollout);
        assert_eq!(names(&["something_new"]), Effect::Rollout);
        let known = serde_json::to_value(service("web", &[])).unwrap();
        for key in AT_ONCE.iter().chain(&AT_START) {
            let pointer = format!("/{}", key.replace('.', "/"));
            assert!(known.pointer(&pointer).is_some(), "a service has no `{key}` any more");
        }
    }

    #[test]
    fn of_some_services_alone_nothing_else_is_taken() {
        let before = desired([service("web", &[]), service("api", &[])]);
        let mut after = before.clone();
        after.services.get_mut("web").unwrap().limits.retries = 9;
        after.services.get_mut("api").unwrap().limits.retries = 9;
        after.gateway = None;
        let merged = only(&before, &after, &["web".parse().unwrap()].into()).unwrap();
        assert_eq!(said(&before, &merged).len(), 1);
        assert_eq!(merged.services["web"].limits.retries, 9);

        let new = Call { callee: "new".parse().unwrap(), listen: None };
        after.services.get_mut("web").unwrap().calls = vec![new];
        after.services.insert("new".parse().unwrap(), service("new", &[]));
        let missing = only(&before, &after, &["web".parse().unwrap()].into()).unwrap_err();
        assert_eq!((missing.0.as_str(), missing.1.as_str()), ("web", "new"));
        let both = ["web".parse().unwrap(), "new".parse().unwrap()].into();
        assert!(only(&before, &after, &both).is_ok());
    }
}

//! The latest of what services measure themselves.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use model::span::Value;
use model::{Measured, ServiceName};

use crate::otlp::OwnPoint;

/// Numbers of one service; those beyond are not taken.
const MOST: usize = 2_000;
/// Seconds after which what was not sent again is forgotten: SDKs send every minute.
const KEEP: u64 = 300;

/// What tells numbers of a service apart: what is measured, the process, and attributes.
type Key = (String, Option<String>, Vec<(String, String)>);

/// The latest numbers of all services.
#[derive(Debug, Default)]
pub struct Points(Mutex<BTreeMap<ServiceName, BTreeMap<Key, Measured>>>);

impl Points {
    /// Takes what a service sent at `at` (Unix seconds); gives what was taken, and how many there was no room for.
    pub fn take(&self, service: &ServiceName, points: Vec<OwnPoint>, at: u64) -> (Vec<Measured>, usize) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.entry(service.clone()).or_default();
        known.retain(|_, measured| measured.at + KEEP > at);
        let (mut taken, mut refused) = (Vec::with_capacity(points.len()), 0);
        for point in points {
            let text = |(key, value): (String, Value)| (key, value.to_string());
            let attributes = point.attributes.into_iter().map(text).collect();
            let key = (point.name, point.replica, attributes);
            if known.len() >= MOST && !known.contains_key(&key) {
                refused += 1;
                continue;
            }
            let (name, replica, attributes) = key.clone();
            let (unit, kind, value) = (point.unit, point.kind, point.value);
            let measured = Measured { name, replica, attributes, unit, kind, value, at };
            taken.push(measured.clone());
            known.insert(key, measured);
        }
        (taken, refused)
    }

    /// What a service measured, as of `now` (Unix seconds), by name.
    pub fn of(&self, service: &ServiceName, now: u64) -> Vec<Measured> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.get(service).into_iter().flat_map(BTreeMap::values);
        known.filter(|measured| measured.at + KEEP > now).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use model::PointKind;

    use super::*;

    fn point(name: &str, value: f64) -> OwnPoint {
        let (unit, attributes) = (String::new(), BTreeMap::new());
        OwnPoint { replica: None, name: name.to_owned(), unit, attributes, kind: PointKind::Gauge, value }
    }

    #[test]
    fn the_latest_of_each_is_kept_and_what_is_silent_forgotten() {
        let (points, service) = (Points::default(), "orders".parse().unwrap());
        let values = |now| points.of(&service, now).into_iter().map(|m| m.value).collect::<Vec<_>>();
        let (taken, refused) = points.take(&service, vec![point("a", 1.0), point("b", 2.0)], 100);
        assert_eq!((taken.len(), taken[1].value, refused), (2, 2.0, 0));
        assert_eq!(points.take(&service, vec![point("a", 3.0)], 200).1, 0);
        assert_eq!(values(201), [3.0, 2.0]);
        assert_eq!(values(400), [3.0], "b was silent for five minutes");
        let many = (0..MOST + 5).map(|n| point(&format!("n{n}"), 0.0)).collect();
        assert_eq!(points.take(&service, many, 450).1, 6, "a is still there");
    }
}

//! Which replica gets an attempt: the less busy of two drawn at random.

use std::sync::atomic::Ordering::Relaxed;

use crate::table::{Lane, Target};

/// Draws a target. `except` is an endpoint that has just failed: it is drawn only if there is no other. `now` is the
/// process's clock in milliseconds.
pub(crate) fn pick(lane: &Lane, now: u64, except: Option<u64>) -> Option<usize> {
    let targets = lane.targets.as_slice();
    let count = targets.len();
    if count < 2 {
        return (count == 1).then_some(0);
    }
    let first = fastrand::usize(..count);
    let second = (first + fastrand::usize(1..count)) % count;
    let usable = |index: usize| is_usable(&targets[index], now, except);
    match (usable(first), usable(second)) {
        (true, true) => Some(less_busy(targets, first, second)),
        (true, false) => Some(first),
        (false, true) => Some(second),
        // Two bad draws: look at all, from a random place on; failing that, anything but the exception.
        (false, false) => {
            let mut turned = (first..count).chain(0..first);
            let other = |index: &usize| Some(targets[*index].endpoint.id) != except;
            turned.clone().find(|index| usable(*index)).or_else(|| turned.find(other)).or(Some(first))
        }
    }
}

fn is_usable(target: &Target, now: u64, except: Option<u64>) -> bool {
    Some(target.endpoint.id) != except && target.endpoint.avoid_until.load(Relaxed) <= now
}

fn less_busy(targets: &[Target], a: usize, b: usize) -> usize {
    let in_flight = |index: usize| targets[index].endpoint.counters.in_flight();
    if in_flight(b) < in_flight(a) { b } else { a }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use model::{Endpoint, Listener, ListenerKind, Protocol, ReleaseId, RouteTable, Timeouts, Upstream};

    use super::*;
    use crate::table::{Compiler, Table};

    fn table_of(endpoints: u16) -> Table {
        let endpoint = |n: u16| Endpoint {
            replica: format!("s-{n}").parse().unwrap(),
            release: ReleaseId("r".to_owned()),
            address: ([127, 0, 0, 1], n).into(),
        };
        let timeouts = Timeouts { connect: std::time::Duration::ZERO, request: std::time::Duration::ZERO };
        let upstream = Upstream {
            protocol: Protocol::Http,
            endpoints: (1..=endpoints).map(endpoint).collect(),
            timeouts,
            retries: 1,
        };
        let (caller, callee) = ("c".parse().unwrap(), "s".parse().unwrap());
        Compiler::new(1).compile(&RouteTable {
            app: "app".parse().unwrap(),
            version: 1,
            listeners: vec![Listener {
                address: ([127, 0, 0, 1], 9).into(),
                kind: ListenerKind::Edge { caller, callee },
            }],
            upstreams: BTreeMap::from([("s".parse().unwrap(), upstream)]),
        })
    }

    fn drawn(lane: &Lane, now: u64, except: Option<u64>) -> Vec<u32> {
        let mut indices: Vec<u32> = (0..200)
            .filter_map(|_| pick(lane, now, except))
            .map(|target| lane.targets[target].endpoint.replica.index)
            .collect();
        indices.sort_unstable();
        indices.dedup();
        indices
    }

    #[test]
    fn all_are_drawn_the_busiest_never() {
        let table = table_of(3);
        let lane = &table.lanes[0];
        assert_eq!(drawn(lane, 0, None), [1, 2, 3]);
        lane.targets[1].endpoint.counters.slot(0).begin();
        assert_eq!(drawn(lane, 0, None), [1, 3]);
    }

    #[test]
    fn the_failed_one_is_drawn_only_if_alone() {
        let table = table_of(2);
        let lane = &table.lanes[0];
        let first = lane.targets[0].endpoint.id;
        assert_eq!(drawn(lane, 0, Some(first)), [2]);
        lane.targets[1].endpoint.avoid(100);
        assert_eq!(drawn(lane, 50, None), [1]);
        assert_eq!(drawn(lane, 50, Some(first)), [2]);
        assert_eq!(drawn(lane, 100, None), [1, 2]);
        let alone = table_of(1);
        let only = alone.lanes[0].targets[0].endpoint.id;
        assert_eq!(drawn(&alone.lanes[0], 0, Some(only)), [1]);
        assert!(drawn(&table_of(0).lanes[0], 0, None).is_empty());
    }
}

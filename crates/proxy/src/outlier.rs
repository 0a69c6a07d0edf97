//! Replicas that fail while others do not get no requests for a while.
//!
//! All workers share this, unlike latency: a replica that is sick for one is sick for all, five failures are five
//! whichever thread saw them, and at most half of a service's replicas are out, counted once. A healthy replica's
//! request reads shared memory and writes only its worker's own; the lock is for those who put out and bring back.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing::info;

use crate::quarantine::{Quarantine, Terms, Ticket};
use crate::table::{Endpoint, Target};
use crate::window::Window;
use crate::worker::Moment;

/// So many failures in a row put a replica out.
const IN_A_ROW: u32 = 5;
/// Attempts in ten seconds from which on the share of failures says something.
const VOLUME: u64 = 30;
/// A share of failures, in percent, that puts a replica out if the others' is much smaller.
const PERCENT: u64 = 25;
/// How many times the others' share it must be.
const WORSE: u64 = 3;
/// How long only requests that can be repeated go on trial; after that any, so that a service that gets no others is
/// tried too.
const GENTLE: u64 = 10_000;
const TERMS: Terms = Terms { first: 30_000, longest: 300_000, successes: 3, forgiven: 300_000 };

/// What an attempt says about its replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grade {
    Good,
    /// It failed in a way that may be the request's fault, such as with 500: only the others' attempts tell.
    Doubtful,
    Bad,
}

impl From<bool> for Grade {
    fn from(went_well: bool) -> Self {
        if went_well { Self::Good } else { Self::Bad }
    }
}

/// What requests need to know about a replica's health. Belongs to its endpoint.
#[derive(Debug)]
pub(crate) struct Health {
    /// When a request may go there on trial, as [`Quarantine::opens`] says it: 0 for a replica that is in.
    opens: AtomicU64,
    in_a_row: AtomicU32,
    ejections: AtomicU64,
    attempts: Window,
    failures: Window,
}

/// The replicas of one service that are out.
#[derive(Debug, Default)]
pub(crate) struct Outliers(Mutex<Ledger>);

#[derive(Debug, Default)]
struct Ledger {
    /// Every replica of the table in force that was ever put out, by the id of its endpoint.
    quarantines: HashMap<u64, Quarantine>,
    /// All replicas of the table in force. A request may still go by an older one.
    routed: Vec<u64>,
}

impl Ledger {
    fn out(&self) -> usize {
        self.quarantines.values().filter(|quarantine| !quarantine.is_in()).count()
    }
}

impl Health {
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            opens: AtomicU64::new(0),
            in_a_row: AtomicU32::new(0),
            ejections: AtomicU64::new(0),
            attempts: Window::new(workers),
            failures: Window::new(workers),
        }
    }

    /// How often it was put out while it was in.
    pub(crate) fn ejections(&self) -> u64 {
        self.ejections.load(Relaxed)
    }

    pub(crate) fn is_ejected(&self) -> bool {
        self.opens.load(Relaxed) != 0
    }
}

impl Outliers {
    /// Lets a request try a replica that is out, if it is time. `safe` says that the request can be repeated.
    pub(crate) fn enter(&self, endpoint: &Endpoint, now: u64, safe: bool) -> Option<Ticket> {
        let opens = endpoint.health.opens.load(Relaxed);
        if opens > now || (!safe && now - opens < GENTLE) {
            return None;
        }
        let mut ledger = self.lock();
        let quarantine = ledger.quarantines.get_mut(&endpoint.id)?;
        let ticket = quarantine.enter(now);
        endpoint.health.opens.store(quarantine.opens(), Relaxed);
        ticket
    }

    /// Learns how an attempt on trial went, if that can be said.
    pub(crate) fn settle(&self, endpoint: &Endpoint, ticket: Ticket, went_well: Option<bool>, now: u64) {
        let mut ledger = self.lock();
        let Some(quarantine) = ledger.quarantines.get_mut(&endpoint.id) else { return };
        quarantine.settle(&TERMS, ticket, went_well, now);
        endpoint.health.opens.store(quarantine.opens(), Relaxed);
        if quarantine.is_in() {
            endpoint.health.in_a_row.store(0, Relaxed);
            info!(replica = %endpoint.replica, "a replica gets requests again");
        }
    }

    /// Learns how an attempt at `targets[index]` went. `targets` are all replicas of the service.
    pub(crate) fn learn(&self, targets: &[Target], index: usize, grade: Grade, moment: Moment) {
        let health = &targets[index].endpoint.health;
        health.attempts.add(moment.worker, moment.now);
        if grade == Grade::Good {
            if health.in_a_row.load(Relaxed) != 0 {
                health.in_a_row.store(0, Relaxed);
            }
            return;
        }
        health.failures.add(moment.worker, moment.now);
        let in_a_row = health.in_a_row.fetch_add(1, Relaxed) + 1;
        if health.is_ejected() {
            return;
        }
        let row =
            in_a_row >= IN_A_ROW && (grade == Grade::Bad || others_are_well(targets, index, moment.now));
        if row || fails_more(targets, index, moment.now) {
            self.eject(&targets[index].endpoint, moment.now);
        }
    }

    /// Follows a new table: forgets replicas that left, and brings some back if more than half would be out.
    pub(crate) fn follow(&self, targets: &[Target], now: u64) {
        let mut ledger = self.lock();
        let Ledger { quarantines, routed } = &mut *ledger;
        *routed = targets.iter().map(|target| target.endpoint.id).collect();
        quarantines.retain(|id, _| routed.contains(id));
        let surplus = ledger.out().saturating_sub(targets.len() / 2);
        let out = |target: &&Target| {
            ledger.quarantines.get(&target.endpoint.id).is_some_and(|quarantine| !quarantine.is_in())
        };
        let back: Vec<u64> = targets.iter().filter(out).take(surplus).map(|t| t.endpoint.id).collect();
        for target in targets {
            let quarantine = ledger.quarantines.get_mut(&target.endpoint.id);
            let opens = quarantine.map_or(0, |quarantine| {
                if back.contains(&target.endpoint.id) {
                    quarantine.bring_back(now);
                }
                quarantine.opens()
            });
            target.endpoint.health.opens.store(opens, Relaxed);
        }
    }

    fn eject(&self, endpoint: &Endpoint, now: u64) {
        let mut ledger = self.lock();
        if !ledger.routed.contains(&endpoint.id) || ledger.out() + 1 > ledger.routed.len() / 2 {
            return;
        }
        let quarantine = ledger.quarantines.entry(endpoint.id).or_default();
        if !quarantine.is_in() {
            // Another worker was quicker.
            return;
        }
        quarantine.put_out(&TERMS, now);
        endpoint.health.ejections.fetch_add(1, Relaxed);
        endpoint.health.opens.store(quarantine.opens(), Relaxed);
        let millis = quarantine.opens().saturating_sub(now);
        info!(replica = %endpoint.replica, millis, "a replica that fails gets no requests for a while");
    }

    fn lock(&self) -> MutexGuard<'_, Ledger> {
        // Every step leaves the ledger whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether one replica fails often, and much more often than the others together.
fn fails_more(targets: &[Target], index: usize, now: u64) -> bool {
    let (failures, attempts) = counts(&targets[index], now);
    if attempts < VOLUME || failures * 100 < attempts * PERCENT {
        return false;
    }
    let (other_failures, other_attempts) = others(targets, index, now);
    other_attempts >= VOLUME && failures * other_attempts >= other_failures * attempts * WORSE
}

/// Whether the others together have had attempts, and few failures: what fails at one replica alone is no fault of the requests.
fn others_are_well(targets: &[Target], index: usize, now: u64) -> bool {
    let (failures, attempts) = others(targets, index, now);
    attempts >= VOLUME && failures * WORSE * 100 < attempts * PERCENT
}

/// Failures and attempts of one replica, lately.
fn counts(target: &Target, now: u64) -> (u64, u64) {
    let health = &target.endpoint.health;
    (health.failures.sum(now), health.attempts.sum(now))
}

/// Those of all replicas but one.
fn others(targets: &[Target], index: usize, now: u64) -> (u64, u64) {
    let others = targets.iter().enumerate().filter(|(other, _)| *other != index);
    others.map(|(_, target)| counts(target, now)).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Lane;
    use crate::testing::table_of;

    fn judge(outliers: &Outliers, targets: &[Target], index: usize, went_well: bool, now: u64) {
        outliers.learn(targets, index, went_well.into(), Moment { worker: 0, now });
    }

    #[test]
    fn doubtful_failures_put_a_replica_out_only_where_the_others_are_well() {
        // Doubtful failures of a hundred attempts at each of the others.
        for (others, expected) in [(0, true), (5, true), (20, false), (100, false)] {
            let table = table_of(3);
            let Lane { targets, service_state, .. } = &table.lanes[0];
            let learn = |index, grade| {
                service_state.outliers.learn(targets, index, grade, Moment { worker: 0, now: 100 });
            };
            for index in [1, 2] {
                // Never five in a row.
                for n in 0..100 {
                    learn(index, if n % 4 == 0 && n / 4 < others { Grade::Doubtful } else { Grade::Good });
                }
            }
            (0..5).for_each(|_| learn(0, Grade::Doubtful));
            assert_eq!(!ejected(targets).is_empty(), expected, "{others}");
        }
        let table = table_of(3);
        let Lane { targets, service_state, .. } = &table.lanes[0];
        for _ in 0..40 {
            service_state.outliers.learn(targets, 0, Grade::Doubtful, Moment { worker: 0, now: 100 });
        }
        assert!(ejected(targets).is_empty(), "nothing is known of the others");
    }

    fn ejected(targets: &[Target]) -> Vec<usize> {
        (0..targets.len()).filter(|index| targets[*index].endpoint.health.is_ejected()).collect()
    }

    #[test]
    fn five_failures_in_a_row_put_a_replica_out_and_a_success_between_them_does_not() {
        let table = table_of(3);
        let Lane { targets, service_state, .. } = &table.lanes[0];
        let outliers = &service_state.outliers;
        for _ in 0..3 {
            (0..4).for_each(|_| judge(outliers, targets, 0, false, 100));
            judge(outliers, targets, 0, true, 100);
        }
        assert!(ejected(targets).is_empty());
        (0..5).for_each(|_| judge(outliers, targets, 0, false, 100));
        assert_eq!(ejected(targets), [0]);
    }

    #[test]
    fn at_most_half_are_out() {
        for (replicas, most) in [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2)] {
            let table = table_of(replicas);
            let Lane { targets, service_state, .. } = &table.lanes[0];
            let outliers = &service_state.outliers;
            for index in 0..targets.len() {
                (0..40).for_each(|_| judge(outliers, targets, index, false, 100));
            }
            assert_eq!(ejected(targets).len(), most, "of {replicas}");
        }
    }

    #[test]
    fn a_table_with_fewer_replicas_brings_some_back() {
        let table = table_of(4);
        let Lane { targets, service_state, .. } = &table.lanes[0];
        let outliers = &service_state.outliers;
        for index in [0, 1] {
            (0..5).for_each(|_| judge(outliers, targets, index, false, 100));
        }
        outliers.follow(targets, 200);
        assert_eq!(ejected(targets), [0, 1]);
        outliers.follow(&targets[..2], 200);
        assert_eq!(ejected(targets), [1]);
        outliers.follow(&targets[1..2], 200);
        assert!(ejected(targets).is_empty());
    }

    #[test]
    fn requests_that_go_by_an_older_table_put_nobody_out_beyond_the_limit_of_the_new_one() {
        let table = table_of(4);
        let Lane { targets, service_state, .. } = &table.lanes[0];
        let outliers = &service_state.outliers;
        let fail = |index| (0..5).for_each(|_| judge(outliers, targets, index, false, 100));
        outliers.follow(&targets[..2], 100);
        (0..4).for_each(fail);
        assert_eq!(ejected(targets), [0]);
        outliers.follow(&targets[1..], 200);
        outliers.follow(targets, 300);
        assert!(ejected(targets).is_empty(), "what left and came back begins anew");
    }

    #[test]
    fn one_that_fails_much_more_often_than_the_others_is_put_out() {
        // Failures of a hundred attempts: of one replica, and of each of two others.
        for (own, others, expected) in
            [(24, 0, false), (30, 0, true), (30, 10, true), (30, 12, false), (50, 40, false)]
        {
            let table = table_of(3);
            let Lane { targets, service_state, .. } = &table.lanes[0];
            let outliers = &service_state.outliers;
            let fails = |n: u32, of: u32| n * of / 100 != (n + 1) * of / 100;
            for n in 0..100 {
                for index in [1, 2] {
                    judge(outliers, targets, index, !fails(n, others), 500);
                }
            }
            for n in 0..100 {
                judge(outliers, targets, 0, !fails(n, own), 500);
            }
            assert_eq!(ejected(targets), if expected { vec![0] } else { vec![] }, "{own} {others}");
        }
    }

    #[test]
    fn it_comes_back_by_requests_that_can_be_repeated_at_first() {
        let table = table_of(2);
        let Lane { targets, service_state, .. } = &table.lanes[0];
        let outliers = &service_state.outliers;
        let endpoint = &targets[0].endpoint;
        (0..5).for_each(|_| judge(outliers, targets, 0, false, 1_000));
        assert_eq!(outliers.enter(endpoint, 30_999, true), None);
        assert_eq!(outliers.enter(endpoint, 40_999, false), None);
        let ticket = outliers.enter(endpoint, 41_000, false).unwrap();
        assert_eq!(outliers.enter(endpoint, 41_000, true), None, "one at a time");
        outliers.settle(endpoint, ticket, Some(false), 41_000);
        assert_eq!(outliers.enter(endpoint, 100_999, true), None, "twice as long");
        for now in 101_000..101_003 {
            assert!(endpoint.health.is_ejected());
            let ticket = outliers.enter(endpoint, now, true).unwrap();
            outliers.settle(endpoint, ticket, Some(true), now);
        }
        assert!(!endpoint.health.is_ejected());
    }
}

//! What the data plane has counted -> what the judge compares.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use model::histogram::middle_of;
use model::{ReleaseId, ServiceName, Tally};
use planner::judge::{Evidence, Pair, Sample, Verdict, judge};
use planner::rollout::Rollout;
use proxy::link::{EdgeSignals, Signals};

use crate::world::Reading;

/// What the gateway is called among the callers.
const GATEWAY: &str = "the gateway";

/// The comparison of each service that has one.
#[derive(Debug, Default)]
pub struct Comparisons(HashMap<ServiceName, Comparison>);

/// Two releases of one service, from one moment on.
#[derive(Debug)]
struct Comparison {
    rollout: u64,
    /// The moment.
    watching: u64,
    /// What was counted before.
    before: Arc<Reading>,
    /// Requests of the new release at the last look.
    looked: u64,
    verdict: Verdict,
    /// What was counted when it looked slower; what comes after that has to confirm it.
    suspected: Option<Suspicion>,
}

#[derive(Debug)]
struct Suspicion {
    before: Arc<Reading>,
    /// Requests of the new release that it rests on: so many more without it are enough to drop it.
    requests: u64,
    looked: u64,
}

impl Comparisons {
    /// What is to be said of the new release now; none while it is not compared.
    pub fn verdict(
        &mut self,
        service: &ServiceName,
        rollout: &Rollout,
        reading: &Arc<Reading>,
    ) -> Option<Verdict> {
        let (Some(watching), Some(old), Some(new)) = (rollout.watching, &rollout.from, &rollout.to) else {
            self.0.remove(service);
            return None;
        };
        let known = self.0.get(service).is_some_and(|c| (c.rollout, c.watching) == (rollout.id, watching));
        if !known {
            // What was read before belongs to the time before.
            if reading.at < watching {
                return None;
            }
            let verdict = judge(&Evidence::default(), rollout.deploy.success);
            let comparison = Comparison {
                rollout: rollout.id,
                watching,
                before: reading.clone(),
                looked: 0,
                verdict,
                suspected: None,
            };
            self.0.insert(service.clone(), comparison);
        }
        if let Some(reason) = ejected(service, new, &reading.signals) {
            return Some(Verdict::Bad { reasons: vec![reason] });
        }
        let comparison = self.0.get_mut(service)?;
        let since = |before: &Reading| evidence(service, old, new, &before.signals, &reading.signals);
        comparison.look(reading, &since, rollout.deploy.success);
        Some(comparison.verdict.clone())
    }
}

impl Comparison {
    fn look(&mut self, reading: &Arc<Reading>, since: &dyn Fn(&Reading) -> Evidence, success: f64) {
        if let Some(suspicion) = &mut self.suspected {
            let fresh = since(&suspicion.before);
            let requests = fresh.total().new.requests;
            let again = fresh.is_due(suspicion.looked).then(|| judge(&fresh, success));
            suspicion.looked = if again.is_some() { requests } else { suspicion.looked };
            match again {
                Some(Verdict::Bad { reasons } | Verdict::Slow { reasons }) => {
                    self.verdict = Verdict::Bad { reasons }
                }
                _ if requests >= suspicion.requests => {
                    // It was a moment's, of the machine or of the network. The time from then on counts.
                    self.before = suspicion.before.clone();
                    (self.looked, self.suspected) = (0, None);
                }
                _ => {}
            }
        }
        if self.suspected.is_some() {
            return;
        }
        let evidence = since(&self.before);
        let requests = evidence.total().new.requests;
        // Between looks, only how much there is changes.
        if evidence.is_due(self.looked) {
            self.looked = requests;
            self.verdict = judge(&evidence, success);
            if matches!(self.verdict, Verdict::Slow { .. }) {
                self.suspected = Some(Suspicion { before: reading.clone(), requests, looked: 0 });
            }
        } else if let Verdict::TooLittle { have, .. } = &mut self.verdict {
            *have = requests;
        }
    }
}

/// What came between two readings.
fn evidence(
    service: &ServiceName,
    old: &ReleaseId,
    new: &ReleaseId,
    before: &Signals,
    after: &Signals,
) -> Evidence {
    let mut callers = BTreeMap::<String, Pair>::new();
    for edge in after.edges.iter().filter(|edge| edge.callee == *service) {
        let known = before.edges.iter().find(|b| b.listener == edge.listener && b.callee == edge.callee);
        let counted = |release: &ReleaseId| {
            let of = |edge: &'_ EdgeSignals| {
                edge.releases.iter().find(|(id, _)| id == release).map(|(_, t)| t.clone())
            };
            let now = of(edge).unwrap_or_default();
            // A data plane that was started anew counts from 0.
            let before = known.and_then(of).filter(|b| b.outcomes.all() <= now.outcomes.all());
            sample(&now.since(&before.unwrap_or_default()))
        };
        callers.insert(caller(edge), Pair { old: counted(old), new: counted(new) });
    }
    Evidence { callers }
}

fn caller(edge: &EdgeSignals) -> String {
    edge.caller.as_ref().map_or(GATEWAY.to_owned(), ToString::to_string)
}

/// Why no replica of the new release gets requests any more, where that is its own fault. The data plane is quicker than any
/// comparison: after it nothing comes that could be compared.
fn ejected(service: &ServiceName, new: &ReleaseId, signals: &Signals) -> Option<String> {
    let mut own = signals.replicas.iter().filter(|r| r.replica.service == *service && r.release == *new);
    if own.clone().next().is_none() || !own.all(|replica| replica.ejected) {
        return None;
    }
    let edges = signals.edges.iter().filter(|edge| edge.callee == *service);
    let heard = edges.filter_map(|edge| {
        let (_, tally) = edge.releases.iter().find(|(release, _)| release == new)?;
        Some((caller(edge), sample(tally))).filter(|(_, sample)| sample.requests > 0)
    });
    let heard: Vec<_> = heard.collect();
    let sum = |of: &dyn Fn(&Sample) -> u64| heard.iter().map(|(_, sample)| of(sample)).sum::<u64>();
    let (failures, passed_on) = (sum(&|s| s.failures), sum(&|s| s.passed_on));
    if failures == 0 || passed_on * 2 > failures {
        return None;
    }
    let failing = heard.iter().filter(|(_, sample)| sample.failures > 0);
    let each = failing.map(|(caller, s)| format!("{} of {} of {caller}", s.failures, s.requests));
    let each = each.collect::<Vec<_>>().join(", ");
    Some(format!("its replicas are ejected, for requests to the new release fail: {each}"))
}

fn sample(tally: &Tally) -> Sample {
    let outcomes = &tally.outcomes;
    let time = |bucket: u8| Duration::from_secs_f64(middle_of(usize::from(bucket)));
    Sample {
        // Who left before the answer says nothing about it.
        requests: outcomes.all().saturating_sub(outcomes.cancelled),
        failures: outcomes.failed,
        passed_on: outcomes.passed_on,
        latencies: tally.latency.buckets.iter().map(|(bucket, count)| (time(*bucket), *count)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Histogram, Outcomes, ReplicaId};
    use planner::rollout::Cause;
    use proxy::link::ReplicaSignals;

    fn signals(at: u64, old: (u64, u64), new: (u64, u64, u64)) -> Arc<Reading> {
        let tally = |success: u64, failed: u64, passed_on: u64, bucket: u8| Tally {
            outcomes: Outcomes {
                success,
                server_error: failed,
                failed,
                passed_on,
                cancelled: 5,
                ..Outcomes::default()
            },
            latency: Histogram { buckets: vec![(bucket, success)], sum: 0 },
            ..Tally::default()
        };
        let id = |name: &str| ReleaseId(name.into());
        let releases = vec![(id("a"), tally(old.0, old.1, 0, 60)), (id("b"), tally(new.0, new.1, new.2, 61))];
        let edge = EdgeSignals { releases, ..crate::testing::edge(None, "web") };
        Arc::new(Reading { at, signals: Signals { edges: vec![edge], ..Signals::default() } })
    }

    fn replica(index: u32, release: &str, ejected: bool) -> ReplicaSignals {
        ReplicaSignals {
            replica: ReplicaId { service: "web".parse().unwrap(), index },
            release: ReleaseId(release.into()),
            address: ([127, 0, 0, 1], 2).into(),
            attempts: Tally::default(),
            in_flight: 0,
            ejected,
            ejections: u64::from(ejected),
        }
    }

    #[test]
    fn a_release_that_gets_nothing_more_for_failing_is_bad() {
        let (web, new) = ("web".parse().unwrap(), ReleaseId("b".into()));
        let said = |counted, replicas: &[(&str, bool)]| {
            let mut signals = signals(9, (100, 0), counted).signals.clone();
            signals.replicas = (1..).zip(replicas).map(|(i, (id, out))| replica(i, id, *out)).collect();
            ejected(&web, &new, &signals)
        };
        let (of_old, of_new) = (("a", false), ("b", true));
        let why = "its replicas are ejected, for requests to the new release fail: 5 of 6 of the gateway";
        assert_eq!(said((1, 5, 0), &[of_old, of_new, of_new]).as_deref(), Some(why));
        assert_eq!(said((1, 5, 0), &[of_old, of_new, ("b", false)]), None, "some are still to be judged");
        assert_eq!(said((1, 5, 4), &[of_old, of_new]), None, "its callee's fault");
        assert_eq!(said((1, 5, 0), &[("a", true)]), None);
    }

    /// A reading with so many answers of each release, of which so many took long.
    fn answers(old: (u64, u64), new: (u64, u64)) -> Arc<Reading> {
        let mut reading = signals(9, (0, 0), (0, 0, 0));
        let edge = &mut Arc::get_mut(&mut reading).unwrap().signals.edges[0];
        for ((_, tally), (quick, slow)) in edge.releases.iter_mut().zip([old, new]) {
            tally.outcomes = Outcomes { success: quick + slow, ..Outcomes::default() };
            tally.latency.buckets = vec![(60, quick), (120, slow)];
        }
        reading
    }

    #[test]
    fn what_looks_slower_for_a_moment_is_no_slower_release() {
        let deploy = crate::testing::service("web", &[]).deploy;
        let mut rollout = Rollout::new(1, Cause::Deploy, Some(ReleaseId("a".into())), deploy, 0);
        (rollout.to, rollout.watching) = (Some(ReleaseId("b".into())), Some(1));
        let web = "web".parse().unwrap();
        let stalled = |later: &[Arc<Reading>]| {
            let mut comparisons = Comparisons::default();
            let mut look = |reading: &Arc<Reading>| comparisons.verdict(&web, &rollout, reading).unwrap();
            look(&answers((0, 0), (0, 0)));
            // Forty answers at once were late.
            assert!(matches!(look(&answers((400, 0), (360, 40))), Verdict::Slow { .. }));
            later.iter().map(look).last().unwrap()
        };
        let moment = [answers((500, 0), (460, 40)), answers((900, 0), (860, 40))];
        assert!(matches!(stalled(&moment[..1]), Verdict::Slow { .. }), "it may still be");
        assert!(matches!(stalled(&moment), Verdict::Good { .. }), "{:?}", stalled(&moment));
        assert!(matches!(stalled(&[answers((500, 0), (400, 100))]), Verdict::Bad { .. }));
    }

    #[test]
    fn only_what_comes_while_it_is_watched_counts() {
        let deploy = crate::testing::service("web", &[]).deploy;
        let mut rollout = Rollout::new(1, Cause::Deploy, Some(ReleaseId("a".into())), deploy, 0);
        rollout.to = Some(ReleaseId("b".into()));
        let (mut comparisons, web) = (Comparisons::default(), "web".parse().unwrap());
        let mut verdict =
            |rollout: &Rollout, old, new| comparisons.verdict(&web, rollout, &signals(9, old, new));
        assert_eq!(verdict(&rollout, (0, 0), (0, 0, 0)), None);
        rollout.watching = Some(1);
        let little = |have| Some(Verdict::TooLittle { have, need: 300 });
        assert_eq!(
            verdict(&rollout, (1_000, 0), (500, 500, 0)),
            little(0),
            "what came before is not its fault now"
        );
        assert_eq!(verdict(&rollout, (1_009, 0), (505, 500, 0)), little(5));
        assert!(
            matches!(verdict(&rollout, (2_000, 0), (900, 600, 100)), Some(Verdict::Good { .. })),
            "passed on"
        );
        assert!(matches!(verdict(&rollout, (3_000, 0), (1_400, 700, 100)), Some(Verdict::Bad { .. })));
        // The next step looks at what comes in it.
        rollout.watching = Some(10);
        assert_eq!(verdict(&rollout, (3_000, 0), (1_400, 700, 100)), None, "not read since it began");
        rollout.watching = Some(2);
        assert_eq!(verdict(&rollout, (3_000, 0), (1_400, 700, 100)), little(0));
        // A data plane that counts anew.
        assert_eq!(verdict(&rollout, (10, 0), (7, 0, 0)), little(7));
    }
}

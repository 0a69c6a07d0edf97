//! Tables, and a simulated world that the planner has to keep in order whatever happens in it.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

fn want(replicas: u32, release: &str) -> Want {
    Want {
        service: "web".parse().unwrap(),
        release: Some(ReleaseId(release.into())),
        replicas,
        beside: None,
        not_before: 0,
        drain_limit: Duration::from_secs(10),
    }
}

fn replica(release: &str, phase: Phase, since: u64, failures: u32) -> ReplicaState {
    ReplicaState {
        release: ReleaseId(release.into()),
        address: ([127, 0, 0, 1], 1).into(),
        phase,
        process: None,
        started_at: 0,
        since,
        restarts: failures,
        failures,
        last_exit: None,
        probe_error: None,
    }
}

fn world(replicas: &[(u32, &str, Phase)]) -> ObservedState {
    let id = |index| ReplicaId { service: "web".parse().unwrap(), index };
    ObservedState { replicas: replicas.iter().map(|(i, r, p)| (id(*i), replica(r, *p, 0, 1))).collect() }
}

/// The data plane has let go of these.
fn let_go(ids: &[u32]) -> Traffic {
    let id = |index: &u32| ReplicaId { service: "web".parse().unwrap(), index: *index };
    Traffic { let_go: ids.iter().map(id).collect(), in_flight: BTreeMap::new() }
}

#[track_caller]
fn check(want: &Want, observed: &ObservedState, traffic: &Traffic, now: u64, expect: &str) {
    let plan = plan(want, observed, traffic, now);
    let mut text = String::new();
    for (step, _) in &plan.steps {
        let step = step.to_string();
        write!(text, "{} ", step.replace("web-", "")).unwrap();
    }
    if let Some(next) = plan.next {
        write!(text, "@{next}").unwrap();
    }
    assert_eq!(text.trim(), expect);
}

#[test]
fn nothing_starts_before_there_is_a_release() {
    let want = Want { release: None, ..want(2, "a") };
    check(&want, &world(&[]), &let_go(&[]), 0, "");
    // ... and what a former control plane left running stays.
    check(&want, &world(&[(1, "old", Phase::Ready)]), &let_go(&[]), 0, "");
    check(&want, &world(&[(1, "old", Phase::Exited)]), &let_go(&[]), 0, "");
}

#[test]
fn scaling_fills_the_lowest_numbers_and_takes_the_highest() {
    check(&want(3, "a"), &world(&[(2, "a", Phase::Ready)]), &let_go(&[]), 0, "start 1 start 3");
    let three = world(&[(1, "a", Phase::Ready), (2, "a", Phase::Ready), (3, "a", Phase::Ready)]);
    check(&want(1, "a"), &three, &let_go(&[]), 0, "drain 2 drain 3");
    check(&want(0, "a"), &three, &let_go(&[]), 0, "drain 1 drain 2 drain 3");
    let one_down = world(&[(1, "a", Phase::Exited), (2, "a", Phase::Ready), (3, "a", Phase::Starting)]);
    check(&want(1, "a"), &one_down, &let_go(&[]), 0, "forget 1 drain 3");
}

#[test]
fn a_draining_replica_ends_when_the_data_plane_has_let_go_of_it() {
    let world = world(&[(1, "a", Phase::Ready), (2, "a", Phase::Draining)]);
    check(&want(1, "a"), &world, &let_go(&[]), 5, "@10000");
    check(&want(1, "a"), &world, &let_go(&[2]), 5, "stop 2");
    let mut busy = let_go(&[2]);
    busy.in_flight.insert("web-2".parse().unwrap(), 3);
    check(&want(1, "a"), &world, &busy, 5, "@10000");
    check(&want(1, "a"), &world, &busy, 10_000, "stop 2");
}

#[test]
fn a_crash_is_restarted_at_once_and_a_crash_loop_waits() {
    check(&want(1, "a"), &world(&[(1, "a", Phase::Exited)]), &let_go(&[]), 0, "start 1");
    let mut looping = world(&[]);
    looping.replicas.insert("web-1".parse().unwrap(), replica("a", Phase::Exited, 1000, 3));
    let delay = millis(restart_delay(&"web-1".parse().unwrap(), 3));
    check(&want(1, "a"), &looping, &let_go(&[]), 1000, &format!("@{}", 1000 + delay));
    check(&want(1, "a"), &looping, &let_go(&[]), 1000 + delay, "start 1");
}

#[test]
fn a_new_release_comes_up_beside_the_old_one_before_that_is_drained() {
    let want = want(2, "b");
    check(&want, &world(&[(1, "a", Phase::Ready), (2, "a", Phase::Ready)]), &let_go(&[]), 0, "start 3");
    let starting = world(&[(1, "a", Phase::Ready), (2, "a", Phase::Ready), (3, "b", Phase::Starting)]);
    check(&want, &starting, &let_go(&[]), 0, "");
    let ready = world(&[(1, "a", Phase::Ready), (2, "a", Phase::Ready), (3, "b", Phase::Ready)]);
    check(&want, &ready, &let_go(&[]), 0, "drain 1 start 4");
    let draining = world(&[(1, "a", Phase::Draining), (2, "a", Phase::Ready), (3, "b", Phase::Ready)]);
    check(&want, &draining, &let_go(&[1]), 0, "stop 1 start 4");
}

#[test]
fn a_release_that_never_gets_ready_takes_nothing_away() {
    let stuck = world(&[(1, "a", Phase::Ready), (2, "b", Phase::Exited)]);
    let plan = plan(&want(1, "b"), &stuck, &let_go(&[]), 0);
    assert_eq!(plan.steps.len(), 1, "{plan:?}");
    assert!(matches!(&plan.steps[0].0, Step::Start(id, _) if id.index == 2), "{plan:?}");
}

#[test]
fn a_release_on_trial_runs_beside_the_one_in_charge() {
    let trial = |count| Want { beside: Some((ReleaseId("b".into()), count)), ..want(2, "a") };
    let two = [(1, "a", Phase::Ready), (2, "a", Phase::Ready)];
    check(&trial(1), &world(&two), &let_go(&[]), 0, "start 3");
    let three = [two[0], two[1], (3, "b", Phase::Ready)];
    check(&trial(1), &world(&three), &let_go(&[]), 0, "");
    check(&trial(2), &world(&three), &let_go(&[]), 0, "start 4");
    // It makes up for nobody: one that is missing of the other is started all the same.
    check(&trial(1), &world(&three[1..]), &let_go(&[]), 0, "start 1");
    check(&trial(0), &world(&three), &let_go(&[]), 0, "drain 3");
    check(&want(2, "a"), &world(&three), &let_go(&[]), 0, "drain 3");
    // In charge, it takes the place of the others one by one.
    check(&want(2, "b"), &world(&three), &let_go(&[]), 0, "drain 1 start 4");
}

#[test]
fn a_hung_replica_is_replaced_and_an_outdated_broken_one_goes_at_once() {
    let hung = world(&[(1, "a", Phase::Unready)]);
    check(&want(1, "a"), &hung, &let_go(&[]), 0, "@30000");
    check(&want(1, "a"), &hung, &let_go(&[]), 30_000, "stop 1");
    check(&want(1, "b"), &world(&[(1, "a", Phase::Exited)]), &let_go(&[]), 0, "forget 1 start 2");
}

/// What can happen to the simulated world between two plans.
#[derive(Debug, Clone)]
enum Happening {
    Tick(u64),
    BecomesReady(usize),
    Fails(usize),
    Dies(usize),
    Scale(u32),
    Deploy(u8),
    Restart,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        3 => (1u64..40_000).prop_map(Happening::Tick),
        6 => (0usize..8).prop_map(Happening::BecomesReady),
        1 => (0usize..8).prop_map(Happening::Fails),
        1 => (0usize..8).prop_map(Happening::Dies),
        1 => (1u32..5).prop_map(Happening::Scale),
        1 => (0u8..3).prop_map(Happening::Deploy),
        1 => Just(Happening::Restart),
    ]
}

struct World {
    want: Want,
    observed: ObservedState,
    now: u64,
}

impl World {
    fn nth(&mut self, n: usize, phase: impl Fn(Phase) -> bool) -> Option<&mut ReplicaState> {
        self.observed.replicas.values_mut().filter(|r| phase(r.phase)).nth(n)
    }

    fn happen(&mut self, happening: &Happening) {
        let now = self.now;
        let set = |state: &mut ReplicaState, phase| (state.phase, state.since) = (phase, now);
        match *happening {
            Happening::Tick(ms) => self.now += ms,
            Happening::BecomesReady(n) => {
                if let Some(r) = self.nth(n, |p| matches!(p, Phase::Starting | Phase::Unready)) {
                    set(r, Phase::Ready);
                    r.failures = 0;
                }
            }
            Happening::Fails(n) => {
                if let Some(r) = self.nth(n, |p| p == Phase::Ready) {
                    set(r, Phase::Unready);
                }
            }
            Happening::Dies(n) => {
                if let Some(r) = self.nth(n, |p| matches!(p, Phase::Starting | Phase::Ready | Phase::Unready))
                {
                    set(r, Phase::Exited);
                    r.failures += 1;
                }
            }
            Happening::Scale(n) => self.want.replicas = n,
            Happening::Deploy(n) => self.want.release = Some(ReleaseId(format!("r{n}"))),
            Happening::Restart => self.want.not_before = self.now,
        }
    }

    /// Carries out a plan as the supervisor would, with the data plane letting go at once.
    fn act(&mut self) -> usize {
        let draining = self.observed.replicas.iter().filter(|(_, r)| r.phase == Phase::Draining);
        let traffic =
            Traffic { let_go: draining.map(|(id, _)| id.clone()).collect(), in_flight: BTreeMap::new() };
        let plan = plan(&self.want, &self.observed, &traffic, self.now);
        let ready = self.ready();
        let drained = plan.steps.iter().filter(|(s, _)| self.takes_a_ready_one(s)).count();
        assert!(
            drained == 0 || ready - drained >= self.want.replicas as usize,
            "a plan may not go below what is wanted: {plan:?} in {:?}",
            self.observed
        );
        for (step, _) in &plan.steps {
            match step {
                Step::Start(id, release) => {
                    let old = self.observed.replicas.get(id);
                    assert!(old.is_none_or(|r| r.phase == Phase::Exited), "slot {id} is taken");
                    let mut new = replica("", Phase::Starting, self.now, old.map_or(0, |r| r.failures));
                    new.release = release.clone();
                    new.started_at = self.now;
                    self.observed.replicas.insert(id.clone(), new);
                }
                Step::Drain(id) => {
                    let state = self.observed.replicas.get_mut(id).unwrap();
                    (state.phase, state.since) = (Phase::Draining, self.now);
                }
                Step::Stop(id) | Step::Forget(id) => {
                    self.observed.replicas.remove(id).unwrap();
                }
            }
        }
        plan.steps.len()
    }

    fn takes_a_ready_one(&self, step: &Step) -> bool {
        matches!(step, Step::Drain(id) | Step::Stop(id) | Step::Forget(id)
            if self.observed.replicas.get(id).is_some_and(|r| r.phase == Phase::Ready))
    }

    fn ready(&self) -> usize {
        self.observed.replicas.values().filter(|r| r.phase == Phase::Ready).count()
    }
}

proptest! {
    #[test]
    fn every_history_ends_in_what_is_wanted(happenings in prop::collection::vec(happening(), 0..60)) {
        let mut world = World { want: want(2, "r0"), observed: ObservedState::default(), now: 1 };
        for happening in &happenings {
            world.happen(happening);
            world.act();
        }
        // From here on every process is well: the world has to settle, and on the right thing.
        for _ in 0..200 {
            world.happen(&Happening::Tick(40_000));
            while world.nth(0, |p| matches!(p, Phase::Starting | Phase::Unready)).is_some() {
                world.happen(&Happening::BecomesReady(0));
            }
            world.act();
        }
        prop_assert_eq!(world.act(), 0, "still something to do");
        prop_assert_eq!(world.ready(), world.want.replicas as usize);
        prop_assert_eq!(world.observed.replicas.len(), world.ready());
        for state in world.observed.replicas.values() {
            prop_assert_eq!(Some(&state.release), world.want.release.as_ref());
            prop_assert!(state.started_at >= world.want.not_before);
        }
    }
}

//! Tables for each state, and simulated histories that may never end badly.

use std::collections::BTreeSet;
use std::time::Duration;

use model::{ExitReason, ObservedState, Phase, ReleaseId, ReplicaId, ReplicaState};
use proptest::prelude::*;

use super::*;
use crate::judge::Verdict;
use crate::{Plan, Step, Traffic, Want, plan};

fn release(name: &str) -> ReleaseId {
    ReleaseId(name.into())
}

fn deploy(steps: &[f64]) -> Deploy {
    let strategy = match steps {
        [] => DeployStrategy::Rolling,
        steps => DeployStrategy::Canary { steps: steps.to_vec() },
    };
    Deploy {
        strategy,
        hold: Duration::from_secs(10),
        success: 99.0,
        ready: Duration::from_secs(60),
        used_within: Duration::from_secs(604_800),
        sticky: None,
    }
}

/// A service `web`, its deployment, and everything that a step is taken from.
#[derive(Debug)]
struct World {
    deployment: Deployment,
    observed: ObservedState,
    wanted: u32,
    job: Job,
    divided: bool,
    verdict: Option<Verdict>,
    now: u64,
    /// Ready ones when there were last as many as wanted; from then on never fewer, but for what fails by itself.
    log: Vec<String>,
}

impl World {
    fn new(current: Option<&str>, wanted: u32, steps: &[f64]) -> Self {
        let current = current.map(release);
        let rollout = Rollout::new(1, Cause::Deploy, current.clone(), deploy(steps), 1_000);
        let mut world = Self {
            deployment: Deployment { current: current.clone(), rollout: Some(rollout) },
            observed: ObservedState::default(),
            wanted,
            job: Job::Runs,
            divided: true,
            verdict: None,
            now: 1_000,
            log: Vec::new(),
        };
        if let Some(current) = current {
            for index in 1..=wanted {
                world.put(index, &current, Phase::Ready);
            }
        }
        world
    }

    fn put(&mut self, index: u32, release: &ReleaseId, phase: Phase) {
        let state = ReplicaState {
            release: release.clone(),
            address: ([127, 0, 0, 1], 1).into(),
            phase,
            process: None,
            started_at: self.now,
            since: self.now,
            restarts: 0,
            failures: 0,
            last_exit: None,
            probe_error: None,
        };
        self.observed.replicas.insert(id(index), state);
    }

    fn step(&mut self) -> Option<u64> {
        let service = "web".parse().unwrap();
        let seen = Seen {
            service: &service,
            observed: &self.observed,
            wanted: self.wanted,
            job: self.job.clone(),
            divided: self.divided,
            verdict: self.verdict.clone(),
        };
        let taken = step(&self.deployment, &seen, self.now);
        let before = self.stage();
        self.deployment = taken.deployment;
        if self.stage() != before {
            self.log.push(self.stage());
            self.job = Job::Runs;
            self.verdict = None;
        }
        taken.next
    }

    /// Steps until nothing changes, with time standing still.
    fn settle(&mut self) -> Option<u64> {
        for _ in 0..50 {
            let before = self.deployment.clone();
            let next = self.step();
            self.act();
            if self.deployment == before && self.act() == 0 {
                return next;
            }
        }
        panic!("it does not settle: {self:#?}");
    }

    fn plan(&self) -> Plan {
        let wanted = want(&self.deployment, self.wanted, !self.observed.replicas.is_empty());
        let want = Want {
            service: "web".parse().unwrap(),
            release: wanted.release,
            replicas: self.wanted,
            beside: wanted.beside,
            not_before: 0,
            drain_limit: Duration::from_secs(10),
        };
        let draining = self.observed.replicas.iter().filter(|(_, r)| r.phase == Phase::Draining);
        let traffic = Traffic { let_go: draining.map(|(id, _)| id.clone()).collect(), ..Traffic::default() };
        plan(&want, &self.observed, &traffic, self.now)
    }

    /// Carries out a plan as the supervisor would. Gives how many steps it had.
    fn act(&mut self) -> usize {
        let (plan, before) = (self.plan(), self.ready());
        for (step, _) in &plan.steps {
            match step {
                Step::Start(id, release) => self.put(id.index, release, Phase::Starting),
                Step::Drain(id) => {
                    let state = self.observed.replicas.get_mut(id).unwrap();
                    (state.phase, state.since) = (Phase::Draining, self.now);
                }
                Step::Stop(id) | Step::Forget(id) => {
                    self.observed.replicas.remove(id).unwrap();
                }
            }
        }
        let after = self.ready();
        assert!(after >= before.min(self.wanted), "{before} ready became {after}: {plan:?} in {self:#?}");
        plan.steps.len()
    }

    fn ready(&self) -> u32 {
        self.count(|r| r.phase == Phase::Ready)
    }

    fn count(&self, which: impl Fn(&ReplicaState) -> bool) -> u32 {
        u32::try_from(self.observed.replicas.values().filter(|r| which(r)).count()).unwrap()
    }

    fn all_ready(&mut self) {
        let now = self.now;
        for state in self.observed.replicas.values_mut().filter(|r| r.phase == Phase::Starting) {
            (state.phase, state.since) = (Phase::Ready, now);
        }
    }

    fn stage(&self) -> String {
        self.deployment.rollout.as_ref().unwrap().stage.to_string()
    }

    /// From the beginning to where the new replicas start.
    fn begin(&mut self) {
        self.job = Job::Built { release: release("b"), back: false };
        self.step();
        self.job = Job::Passed;
        self.step();
        self.job = Job::Passed;
        self.step();
    }

    fn crash(&mut self, index: u32) {
        let now = self.now;
        let state = self.observed.replicas.get_mut(&id(index)).unwrap();
        (state.phase, state.since, state.failures) = (Phase::Exited, now, state.failures + 1);
        state.last_exit = Some(ExitReason {
            code: Some(3),
            signal: None,
            message: None,
            at: now,
            ran: Duration::from_secs(5),
            last_lines: vec!["out of luck".into()],
        });
    }

    fn reason(&self) -> String {
        match self.deployment.rollout.as_ref().unwrap().outcome() {
            Some(Outcome::RolledBack { reason }) => reason.clone(),
            other => panic!("{other:?}"),
        }
    }
}

fn id(index: u32) -> ReplicaId {
    ReplicaId { service: "web".parse().unwrap(), index }
}

fn good() -> Option<Verdict> {
    Some(Verdict::Good { text: "fine".into() })
}

/// Lets a world in which everything goes well go on to its end.
fn finish(world: &mut World) {
    for _ in 0..200 {
        if !world.deployment.rollout.as_ref().unwrap().is_active() {
            break;
        }
        world.job = Job::Passed;
        world.verdict = good();
        world.all_ready();
        world.settle();
        world.now += 1_000;
    }
}

#[test]
fn a_canary_goes_through_every_stage() {
    let mut world = World::new(Some("a"), 4, &[1.0, 50.0]);
    world.begin();
    finish(&mut world);
    assert_eq!(
        world.log,
        ["gate", "before_start", "start", "warm", "canary 1", "canary 2", "shift", "drain", "done"]
    );
    assert_eq!(world.deployment.current, Some(release("b")));
    assert_eq!((world.ready(), world.count(|r| r.release == release("b"))), (4, 4));
}

#[test]
fn a_rolling_deploy_watches_its_first_replica() {
    let mut world = World::new(Some("a"), 2, &[]);
    world.begin();
    finish(&mut world);
    assert_eq!(world.log, ["gate", "before_start", "start", "warm", "canary 1", "shift", "drain", "done"]);
}

#[test]
fn shares_follow_the_replicas_that_are_there_for_them() {
    let mut world = World::new(Some("a"), 4, &[1.0, 50.0]);
    let weights = |world: &World, old, new| {
        let shares = shares(&world.deployment, 4, old, new);
        shares.into_iter().map(|(r, w)| format!("{r}:{w}")).collect::<Vec<_>>().join(" ")
    };
    world.begin();
    world.settle();
    assert_eq!((world.stage().as_str(), weights(&world, 4, 0).as_str()), ("start", "a:1"));
    world.all_ready();
    world.settle();
    assert_eq!((world.stage().as_str(), weights(&world, 4, 1).as_str()), ("warm", "a:1"));
    world.now += 1_000;
    world.settle();
    assert_eq!((world.stage().as_str(), weights(&world, 4, 1).as_str()), ("canary 1", "a:9900 b:100"));
    world.verdict = good();
    world.now += 10_000;
    world.settle();
    assert_eq!(world.stage(), "canary 2");
    assert_eq!(
        weights(&world, 4, 1),
        "a:9900 b:100",
        "half of the requests would be too much for one of four"
    );
    assert_eq!(weights(&world, 4, 2), "a:5000 b:5000");
    assert_eq!(world.count(|r| r.release == release("b")), 2);
}

#[test]
fn the_first_release_has_nothing_to_be_compared_with() {
    let mut world = World::new(None, 2, &[1.0]);
    world.begin();
    assert_eq!((world.stage().as_str(), &world.deployment.current), ("done", &Some(release("b"))));
    world.act();
    assert_eq!(world.count(|r| r.phase == Phase::Starting), 2);
}

#[test]
fn what_is_the_same_or_fails_or_is_refused_touches_nothing() {
    for (job, expected) in [
        (Job::Built { release: release("a"), back: false }, "unchanged"),
        (Job::Failed { reason: "no".into(), last_lines: vec![] }, "failed"),
    ] {
        let mut world = World::new(Some("a"), 1, &[]);
        world.job = job;
        world.settle();
        assert_eq!((world.stage().as_str(), world.count(|_| true)), (expected, 1));
    }
    let mut world = World::new(Some("a"), 1, &[]);
    world.job = Job::Built { release: release("b"), back: false };
    world.step();
    world.job = Job::Refused(vec!["breaks it".into()]);
    world.deployment.rollout.as_mut().unwrap().force = true;
    let forced = world.deployment.clone();
    world.step();
    assert_eq!(world.stage(), "before_start");
    world.deployment = forced;
    world.deployment.rollout.as_mut().unwrap().force = false;
    world.job = Job::Refused(vec!["breaks it".into()]);
    world.step();
    assert_eq!(world.stage(), "refused");
}

#[test]
fn a_start_of_the_app_does_not_try_again_what_was_rolled_back() {
    for (cause, expected) in [(Cause::Up, "unchanged"), (Cause::Deploy, "gate")] {
        let mut world = World::new(Some("a"), 1, &[]);
        world.deployment.rollout.as_mut().unwrap().cause = cause;
        world.job = Job::Built { release: release("b"), back: true };
        world.step();
        assert_eq!(world.stage(), expected);
    }
}

#[test]
fn an_app_that_is_started_runs_what_is_built_and_not_what_ran_before() {
    let mut world = World::new(Some("a"), 1, &[]);
    world.deployment.rollout.as_mut().unwrap().cause = Cause::Up;
    world.observed.replicas.clear();
    assert_eq!(world.act(), 0);
    world.begin();
    assert_eq!((world.stage().as_str(), &world.deployment.current), ("done", &Some(release("b"))));
}

#[test]
fn every_kind_of_trouble_brings_the_old_release_back() {
    // Until it is ready.
    let mut world = World::new(Some("a"), 1, &[]);
    world.begin();
    world.settle();
    assert_eq!(world.step(), Some(61_000));
    world.now = 61_000;
    world.step();
    finish(&mut world);
    assert_eq!(world.reason(), "it was not ready within 60s");
    // At its start, and any time later.
    for stage in ["start", "warm", "canary 1", "shift"] {
        let mut world = World::new(Some("a"), 3, &[10.0]);
        world.begin();
        while world.stage() != stage {
            world.all_ready();
            world.verdict = good();
            world.step();
            world.act();
            world.now += 1_000;
        }
        world.act();
        let new = world.observed.replicas.iter().find(|(_, r)| r.release == release("b")).unwrap().0.index;
        world.crash(new);
        finish(&mut world);
        assert!(
            world.reason().contains("crashed: exit code 3 after 5.0 s, its last words: out of luck"),
            "{stage}"
        );
        assert_eq!(world.deployment.current, Some(release("a")), "{stage}");
        assert_eq!(world.count(|r| r.release == release("a") && r.phase == Phase::Ready), 3);
        assert_eq!(world.count(|_| true), 3);
    }
    // Where it is worse.
    let mut world = World::new(Some("a"), 2, &[10.0]);
    world.begin();
    while world.deployment.rollout.as_ref().unwrap().watching.is_none() {
        world.all_ready();
        world.settle();
        world.now += 1_000;
    }
    world.verdict = Some(Verdict::Bad { reasons: vec!["5 % fail".into()] });
    world.step();
    finish(&mut world);
    assert_eq!(world.reason(), "5 % fail");
}

#[test]
fn too_little_to_judge_is_held_longer_and_then_said() {
    for (verdict, goes_on_after, says) in [
        (Verdict::TooLittle { have: 0, need: 300 }, 10_000, "no request came"),
        (Verdict::TooLittle { have: 7, need: 300 }, 60_000, "7 requests came, too few to judge by (300)"),
    ] {
        let mut world = World::new(Some("a"), 1, &[10.0]);
        world.begin();
        world.settle();
        world.all_ready();
        world.settle();
        world.now += 1_000;
        world.settle();
        let from = world.now;
        while world.stage() == "canary 1" {
            world.verdict = Some(verdict.clone());
            let next = world.step().unwrap_or(world.now);
            world.now = world.now.max(next);
        }
        assert_eq!(world.now - from, goes_on_after);
        let notes = &world.deployment.rollout.as_ref().unwrap().notes;
        assert!(notes.iter().any(|n| n.text.contains(says)), "{notes:#?}");
    }
}

#[test]
fn by_hand_it_waits_for_a_word() {
    let mut world = World::new(Some("a"), 1, &[10.0]);
    world.deployment.rollout.as_mut().unwrap().by_hand = true;
    world.begin();
    for _ in 0..20 {
        world.all_ready();
        world.verdict = good();
        world.settle();
        world.now += 100_000;
    }
    assert_eq!(world.stage(), "canary 1");
    world.deployment.rollout.as_mut().unwrap().promoted = true;
    finish(&mut world);
    assert_eq!(world.stage(), "done");
}

/// What can happen between two steps.
#[derive(Debug, Clone)]
enum Happening {
    Tick(u64),
    Job(Job),
    Ready(usize),
    Sick(usize),
    Crash(usize),
    Scale(u32),
    Judge(Option<Verdict>),
    Divided(bool),
    Resume,
    Abort,
    Promote,
}

fn happening() -> impl Strategy<Value = Happening> {
    let built = |n: u8| Job::Built { release: release(["a", "b", "c"][usize::from(n)]), back: false };
    let failed = || Job::Failed { reason: "no".into(), last_lines: vec![] };
    let verdict = prop_oneof![
        3 => Just(good()),
        1 => Just(Some(Verdict::Bad { reasons: vec!["worse".into()] })),
        1 => Just(Some(Verdict::Slow { reasons: vec!["slower".into()] })),
        2 => (0u64..9).prop_map(|have| Some(Verdict::TooLittle { have, need: 9 })),
        1 => Just(None),
    ];
    prop_oneof![
        6 => (1u64..40_000).prop_map(Happening::Tick),
        4 => (1u8..3).prop_map(move |n| Happening::Job(built(n))),
        6 => Just(Happening::Job(Job::Passed)),
        1 => Just(Happening::Job(failed())),
        1 => Just(Happening::Job(Job::Refused(vec!["no".into()]))),
        8 => (0usize..8).prop_map(Happening::Ready),
        1 => (0usize..8).prop_map(Happening::Sick),
        1 => (0usize..8).prop_map(Happening::Crash),
        1 => (0u32..5).prop_map(Happening::Scale),
        3 => verdict.prop_map(Happening::Judge),
        1 => any::<bool>().prop_map(Happening::Divided),
        1 => Just(Happening::Resume),
        1 => Just(Happening::Abort),
        1 => Just(Happening::Promote),
    ]
}

impl World {
    fn nth(&self, n: usize, phases: &[Phase]) -> Option<u32> {
        let mut all = self.observed.replicas.iter().filter(|(_, r)| phases.contains(&r.phase));
        all.nth(n).map(|(id, _)| id.index)
    }

    fn set(&mut self, index: Option<u32>, phase: Phase) {
        let now = self.now;
        if let Some(state) = index.and_then(|i| self.observed.replicas.get_mut(&id(i))) {
            (state.phase, state.since) = (phase, now);
        }
    }

    fn happen(&mut self, happening: Happening) {
        let running = [Phase::Starting, Phase::Ready, Phase::Unready];
        match happening {
            Happening::Tick(ms) => self.now += ms,
            Happening::Job(job) => self.job = job,
            Happening::Ready(n) => self.set(self.nth(n, &[Phase::Starting, Phase::Unready]), Phase::Ready),
            Happening::Sick(n) => self.set(self.nth(n, &[Phase::Ready]), Phase::Unready),
            Happening::Crash(n) => {
                if let Some(index) = self.nth(n, &running) {
                    self.crash(index);
                }
            }
            Happening::Scale(n) => self.wanted = n,
            Happening::Judge(verdict) => self.verdict = verdict,
            Happening::Divided(divided) => self.divided = divided,
            Happening::Resume => {
                let now = self.now;
                self.deployment.rollout.as_mut().unwrap().resume(now);
            }
            Happening::Abort => {
                let now = self.now;
                let rollout = self.deployment.rollout.as_mut().unwrap();
                rollout.abort(now, "by hand");
            }
            Happening::Promote => self.deployment.rollout.as_mut().unwrap().promoted = true,
        }
    }

    /// Releases with replicas that are not on their way out.
    fn releases(&self) -> BTreeSet<ReleaseId> {
        let leaving = |r: &&ReplicaState| matches!(r.phase, Phase::Draining | Phase::Stopping);
        self.observed.replicas.values().filter(|r| !leaving(r)).map(|r| r.release.clone()).collect()
    }

    /// As the control plane does: one at a time. Says whether it began.
    fn begin_another(&mut self, n: u64) -> bool {
        let rollout = self.deployment.rollout.as_ref().unwrap();
        if !rollout.is_active() {
            let steps: &[f64] = if n.is_multiple_of(2) { &[] } else { &[1.0, 60.0] };
            let current = self.deployment.current.clone();
            self.deployment.rollout =
                Some(Rollout::new(rollout.id + 1, Cause::Deploy, current, deploy(steps), self.now));
            return true;
        }
        false
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]
    #[test]
    fn no_history_takes_away_what_is_wanted_or_gets_stuck(
        happenings in prop::collection::vec(happening(), 0..120), wanted in 0u32..4, canary: bool,
    ) {
        let mut world = World::new(Some("a"), wanted, if canary { &[1.0, 50.0] } else { &[] });
        let mut strays = BTreeSet::new();
        for (n, happening) in happenings.into_iter().enumerate() {
            world.happen(happening);
            world.step();
            // Asserts that no plan takes a ready replica away that is needed.
            world.act();
            let releases = world.releases();
            let more = releases.difference(&strays).count();
            prop_assert!(more <= 2, "two rollouts at once: {:?}", releases);
            if world.begin_another(n as u64) {
                // Where going back was given up, since the old release did not get ready, the new one still serves.
                strays = world.releases();
                strays.remove(world.deployment.current.as_ref().unwrap());
            }
        }
        // From here on everything works but for what was judged already: it has to come to an end, and to the right one.
        world.divided = true;
        for _ in 0..2_000 {
            if !world.deployment.rollout.as_ref().unwrap().is_active() && world.act() == 0
                && world.count(|r| r.phase != Phase::Ready) == 0 {
                break;
            }
            world.job = match world.stage().as_str() {
                "build" => Job::Built { release: release("c"), back: false },
                _ => Job::Passed,
            };
            let well = world.nth(0, &[Phase::Unready]);
            world.set(well, Phase::Ready);
            world.all_ready();
            world.step();
            world.act();
            world.now += 5_000;
        }
        let rollout = world.deployment.rollout.as_ref().unwrap();
        prop_assert!(!rollout.is_active(), "stuck at {} in {:#?}", rollout.stage, world);
        let current = world.deployment.current.clone().unwrap();
        prop_assert_eq!(world.ready(), world.wanted);
        prop_assert_eq!(world.count(|r| r.release == current), world.wanted, "{:#?}", world);
    }
}

//! Every fault at every step and undo, generated from the definition: every saga ends, and its effects are all there or all gone.
//!
//! The engine is a process of its own, killed with SIGKILL where the fault says so and started again.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use saga::definition;
use saga::engine::{Begin, Engine, Options};
use saga::plan::{Plan, Undo};
use saga::store::Status;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tokio::sync::watch;

use crate::stores::{self, Place};
use crate::world::{Effect, Fault, World, contracts};

/// Short: an engine that was killed has its sagas until its lease ends.
const LEASE: Duration = Duration::from_secs(2);

/// Parallel steps, a pivot, and a step after it. Attempts of each call before the pivot: two.
const CHECKOUT: &str = "
saga: checkout
defaults:
  timeout: TIMEOUT
  retry: { max: 1, backoff: 5ms..20ms }
  undo_retry: { backoff: 5ms..20ms }
steps:
  - { id: stock, do: world.do_stock, undo: world.undo_stock, undo_with: { path: { key: $stock.key } } }
  - { id: auth, after: [], do: world.do_auth, keep: { id: $body.id }, undo: world.undo_auth, undo_with: { path: { key: $auth.key } } }
  - { id: ship, after: [stock, auth], do: world.do_ship, undo: world.undo_ship, undo_with: { path: { key: $ship.key } } }
  - { id: capture, do: world.do_capture, pivot: true }
  - { id: mail, do: world.do_mail }
output: { auth: $auth.id }
";

fn plan() -> Plan {
    read(CHECKOUT, "60s")
}

fn read(text: &str, timeout: &str) -> Plan {
    definition::read(
        &text.replace("TIMEOUT", timeout),
        &contracts(&["stock", "auth", "ship", "capture", "mail"]),
    )
    .unwrap()
}

const FAULTS: [Fault; 6] =
    [Fault::CrashBefore, Fault::CrashAfter, Fault::LostReply, Fault::Timeout, Fault::Refusal, Fault::Repeat];

/// A fault, where it happens, and how often.
#[derive(Debug, Clone)]
struct Case {
    what: String,
    fault: Fault,
    times: u32,
    /// The capture is refused, so that everything is undone.
    turned: bool,
    expected: Status,
}

/// Every fault at every step and every undo: once, and as often as there are attempts and more.
fn cases(plan: &Plan) -> Vec<Case> {
    let mut cases = Vec::new();
    for step in &plan.steps {
        for fault in FAULTS {
            // A refusal after the pivot is for people to solve; a test of its own shows how.
            if fault == Fault::Refusal && step.forward_only && !step.pivot {
                continue;
            }
            let what = format!("do {}", step.id);
            for times in [1, 4] {
                let crash = matches!(fault, Fault::CrashBefore | Fault::CrashAfter);
                let gives_up = fault == Fault::Refusal || !crash && times > 1 && !step.forward_only;
                let expected = if gives_up { Status::Undone } else { Status::Done };
                cases.push(Case { what: what.clone(), fault, times, turned: false, expected });
            }
            if step.undo != Undo::Nothing {
                for times in [1, 4] {
                    let what = format!("undo {}", step.id);
                    cases.push(Case { what, fault, times, turned: true, expected: Status::Undone });
                }
            }
        }
    }
    cases
}

/// Not a test of its own: the process that the tests start and kill.
#[test]
fn engine_process() {
    let Ok(url) = std::env::var("SAGA_TEST_STORE") else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let address: SocketAddr = std::env::var("SAGA_TEST_CALLEE").unwrap().parse().unwrap();
        let store = stores::open(&url, LEASE).await;
        let callees = watch::Sender::new(std::sync::Arc::new([("world".to_owned(), address)].into()));
        let options = Options { poll: Duration::from_millis(20), ..Options::new(callees.subscribe()) };
        let many = std::env::var("SAGA_TEST_MANY").ok();
        let timeout = std::env::var("SAGA_TEST_TIMEOUT").unwrap_or_else(|_| "60s".to_owned());
        let plan = read(CHECKOUT, &timeout);
        let engine = Engine::start(store, vec![plan], options).await.unwrap();
        if let Some(count) = many {
            return run_many(&engine, count.parse().unwrap()).await;
        }
        let begin = Begin { saga: "checkout".to_owned(), key: "one".to_owned(), ..Begin::default() };
        let (id, _) = engine.begin(begin).await.unwrap();
        let stored = engine.wait(&id, Duration::from_secs(60)).await.unwrap().unwrap();
        println!("ended {id} {}", stored.status);
    });
    std::process::exit(0);
}

/// Starts sagas and ends when this engine has none any more; with none to start it works for the others until it is killed.
async fn run_many(engine: &Engine, count: usize) {
    let begin =
        |n| engine.begin(Begin { saga: "checkout".to_owned(), key: format!("k{n}"), ..Begin::default() });
    futures_util::future::try_join_all((0..count).map(begin)).await.unwrap();
    println!("started");
    while count == 0 || engine.active() > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn engine(place: &Place, world: &World) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["faults::engine_process", "--exact", "--nocapture"])
        .env("SAGA_TEST_STORE", place.url())
        .env("SAGA_TEST_CALLEE", world.address.to_string())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Starts the engine as often as it is killed, until it says how the saga ended.
async fn run_to_the_end(place: &Place, world: &World, timeout: &str) -> (String, Status) {
    for _ in 0..10 {
        let child = engine(place, world).env("SAGA_TEST_TIMEOUT", timeout).spawn().unwrap();
        world.engine_is(child.id().unwrap());
        let output = child.wait_with_output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if let Some(line) = said.lines().find_map(|l| l.split_once("ended ").map(|(_, rest)| rest)) {
            let (id, status) = line.split_once(' ').unwrap();
            let status = Status::ALL.into_iter().find(|s| s.as_str() == status).unwrap();
            return (id.to_owned(), status);
        }
        assert!(output.status.code().is_none(), "the engine ended by itself: {said}");
    }
    panic!("killed too often")
}

async fn check(place: Place, case: Case) {
    let world = World::start().await;
    world.script(&case.what, case.fault, case.times);
    if case.turned {
        world.script("do capture", Fault::Refusal, u32::MAX);
    }
    // Only where nothing else ends a call does its timeout, so that a busy machine is no fault of its own.
    let silent = case.fault == Fault::Timeout;
    let (id, status) = run_to_the_end(&place, &world, if silent { "300ms" } else { "60s" }).await;
    let context = || format!("{case:?}: {:?}", world.calls());
    // A call may be so slow that it runs out of time by itself too; then more is undone than had to be.
    assert!(status == case.expected || silent && status == Status::Undone, "{status}; {}", context());
    // What was sent and timed out is carried out late; nothing may come of it.
    if silent {
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    world.audit();
    let effects = world.effects(&id);
    for step in &plan().steps {
        let effect = effects.get(&step.id).copied();
        let good = match status {
            Status::Done => effect == Some(Effect::Applied),
            _ => !matches!(effect, Some(Effect::Applied)),
        };
        assert!(good, "{}: {effect:?}; {}", step.id, context());
    }
    assert!(in_order(&world.calls()), "{}", context());
}

/// No step begins before those that it waits for, and none is undone before those that waited for it.
fn in_order(calls: &[String]) -> bool {
    let first = |what: &str| calls.iter().position(|c| c == what).unwrap_or(usize::MAX);
    let last = |what: &str| calls.iter().rposition(|c| c == what).unwrap_or(0);
    first("do stock") <= first("do ship")
        && first("do auth") <= first("do ship")
        && first("do ship") <= first("do capture")
        && last("undo ship") <= first("undo stock").min(first("undo auth"))
}

async fn check_all(places: impl AsyncFn() -> Option<Place>) {
    let cases = cases(&plan());
    assert!(cases.len() > 80, "{}", cases.len());
    let mut checks = Vec::new();
    for case in cases {
        let Some(place) = places().await else { return };
        checks.push(tokio::spawn(check_later(place, case)));
    }
    for done in checks {
        done.await.unwrap();
    }
}

/// A few at a time: each has a process of its own.
async fn check_later(place: Place, case: Case) {
    static ROOM: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(6);
    let _permit = ROOM.acquire().await.unwrap();
    check(place, case).await;
}

#[tokio::test]
async fn every_fault_everywhere_on_sqlite() {
    check_all(async || Some(Place::sqlite())).await;
}

#[tokio::test]
async fn every_fault_everywhere_on_postgres() {
    check_all(async || Place::postgres().await).await;
}

/// An engine is paused in the middle of forty sagas, for longer than its lease; another one takes them over and ends them. When
/// the first one goes on it sends nothing and writes nothing.
#[tokio::test]
async fn an_engine_that_was_paused_past_its_lease_does_nothing_twice() {
    const SAGAS: usize = 40;
    let Some(place) = Place::postgres().await else { return };
    let world = World::start().await;
    world.close_gate();
    let mut first = engine(&place, &world).env("SAGA_TEST_MANY", SAGAS.to_string()).spawn().unwrap();
    let pid = first.id().unwrap();
    world.engine_is(pid);
    let mut said = BufReader::new(first.stdout.take().unwrap()).lines();
    while !said.next_line().await.unwrap().expect("it ended too early").ends_with("started") {}
    world.pause_after(SAGAS);
    while !world.is_paused() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let second = engine(&place, &world).env("SAGA_TEST_MANY", "0").spawn().unwrap();
    let store = place.open().await;
    let all = || store.list(saga::store::Filter { limit: 100, ..Default::default() });
    let began = std::time::Instant::now();
    loop {
        let sagas = all().await.unwrap();
        if sagas.len() == SAGAS && sagas.iter().all(|s| s.ended_at.is_some()) {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{sagas:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (before, calls) = (all().await.unwrap(), world.calls().len());
    World::resume(pid);
    tokio::spawn(async move { while let Ok(Some(_)) = said.next_line().await {} });
    // It finds out that none of the sagas is its own any more.
    tokio::time::timeout(Duration::from_secs(60), first.wait()).await.unwrap().unwrap();
    // What it had handed to the network when it was stopped may still arrive, and is known by its key: at most two calls of each
    // saga, which are made side by side. Nothing follows from them.
    let late = world.calls().len() - calls;
    assert!(late <= SAGAS * 2, "{late} calls of sagas that were not its own any more");
    assert_eq!(all().await.unwrap(), before);
    for saga in &before {
        assert_eq!(saga.status, Status::Done);
        let journal = store.find(&saga.id).await.unwrap().unwrap().journal;
        let ends = journal.iter().filter(|r| matches!(r.event, saga::record::Event::Ended { .. })).count();
        assert_eq!(ends, 1, "{journal:?}");
        assert!(world.effects(&saga.id).values().all(|e| *e == Effect::Applied));
    }
    world.audit();
    drop(second);
}

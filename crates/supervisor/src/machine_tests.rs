//! The transitions as a table.

use super::*;

const PROCESS: ProcessId = ProcessId { pid: 7, start_time: 70 };

fn machine() -> Machine {
    Machine::new(ReleaseId("r1".into()), "127.0.0.1:1".parse().unwrap(), 3, 0)
}

/// Applies a script, one word an event, at seconds 1, 2, 3 …, and returns the phase and the counts after each.
fn play(machine: &mut Machine, script: &str) -> Vec<String> {
    let mut story = Vec::new();
    for (now, word) in (1u64..).zip(script.split_whitespace()) {
        let event = match word {
            "start" => Event::Started(PROCESS),
            "nospawn" => Event::SpawnFailed("no such program".into()),
            "ok" => Event::Probed(Ok(())),
            "bad" => Event::Probed(Err("503".into())),
            "stable" => Event::Stable,
            "drain" => Event::Drain,
            "stop" => Event::Stop,
            "end" => Event::Ended(Ended { code: Some(1), ..Ended::default() }),
            other => panic!("{other} is no event"),
        };
        machine.apply(event, now * 1000);
        let state = machine.state();
        story.push(format!("{:?}:{}/{}", state.phase, state.restarts, state.failures));
    }
    story
}

#[track_caller]
fn check(script: &str, expected: &str) {
    let story = play(&mut machine(), script).join(" ");
    assert_eq!(story, expected, "after `{script}`");
}

#[test]
fn a_replica_becomes_ready_unready_and_ready_again() {
    check("start ok", "Starting:0/0 Ready:0/0");
    check("start bad bad bad bad", "Starting:0/0 Starting:0/0 Starting:0/0 Starting:0/0 Starting:0/0");
    check("start ok bad bad bad ok", "Starting:0/0 Ready:0/0 Ready:0/0 Ready:0/0 Unready:0/0 Ready:0/0");
    check(
        "start ok bad bad ok bad bad",
        "Starting:0/0 Ready:0/0 Ready:0/0 Ready:0/0 Ready:0/0 Ready:0/0 Ready:0/0",
    );
}

#[test]
fn a_draining_or_stopping_replica_never_becomes_ready_again() {
    check("start ok drain ok bad", "Starting:0/0 Ready:0/0 Draining:0/0 Draining:0/0 Draining:0/0");
    check(
        "start drain stop ok drain end",
        "Starting:0/0 Draining:0/0 Stopping:0/0 Stopping:0/0 Stopping:0/0 Exited:0/0",
    );
    check("start ok stop ok end", "Starting:0/0 Ready:0/0 Stopping:0/0 Stopping:0/0 Exited:0/0");
}

#[test]
fn unasked_ends_are_counted_until_it_was_stable() {
    check("start end start end", "Starting:0/0 Exited:1/1 Starting:1/1 Exited:2/2");
    check(
        "start end start ok stable end",
        "Starting:0/0 Exited:1/1 Starting:1/1 Ready:1/1 Ready:1/0 Exited:2/1",
    );
    check("start end start stable", "Starting:0/0 Exited:1/1 Starting:1/1 Starting:1/1");
    check("nospawn nospawn start", "Exited:0/1 Exited:0/2 Starting:0/2");
    check("start drain end", "Starting:0/0 Draining:0/0 Exited:1/1");
}

#[test]
fn events_of_a_process_that_is_gone_change_nothing() {
    let mut machine = machine();
    play(&mut machine, "start ok end");
    let exited = machine.state().clone();
    for event in ["ok", "bad", "drain", "stop", "end", "stable"] {
        play(&mut machine, event);
        assert_eq!(machine.state(), &exited, "after {event}");
    }
}

#[test]
fn an_exit_is_told_in_full_and_outlives_the_next_start() {
    let mut machine = machine();
    play(&mut machine, "start bad end");
    let exit = machine.state().last_exit.clone().unwrap();
    assert_eq!((exit.code, exit.at, exit.ran), (Some(1), 3000, Duration::from_secs(2)));
    assert_eq!((machine.state().process, machine.state().probe_error.clone()), (None, None));
    play(&mut machine, "start");
    assert_eq!(machine.state().last_exit, Some(exit));
    assert_eq!(machine.state().process, Some(PROCESS));
}

#[test]
fn since_moves_only_with_the_phase() {
    let mut machine = machine();
    play(&mut machine, "start ok bad ok");
    assert_eq!((machine.state().since, machine.state().started_at), (2000, 1000));
}

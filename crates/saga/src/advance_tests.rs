//! The rules, without anything outside: any order of answers leads to an end, and what was begun is undone in reverse.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::contracts::{Contract, Contracts};

fn contracts() -> Contracts {
    let paths: Map<String, Value> = ["a", "b", "c", "d", "e"]
        .iter()
        .map(|id| {
            (
                format!("/{id}"),
                json!({ "post": { "operationId": id }, "delete": { "operationId": format!("un{id}") } }),
            )
        })
        .collect();
    [("s".to_owned(), Some(Contract::read(&json!({ "paths": paths }).to_string()).unwrap()))].into()
}

const DIAMOND: &str = "
saga: diamond
defaults: { retry: { max: 1 } }
deadline: 10m
steps:
  - { id: a, do: s.a, undo: s.una }
  - { id: b, after: a, do: s.b, undo: s.unb }
  - { id: c, after: a, do: s.c, undo: s.unc, when: '$input.c' }
  - { id: d, after: [b, c], do: s.d, pivot: true }
  - { id: e, do: s.e }
";

fn plan() -> Plan {
    crate::definition::read(DIAMOND, &contracts()).unwrap()
}

/// What callees answer, one after the other.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Says {
    Yes,
    No,
    Nothing,
}

/// Plays a saga to its end, every call answered by the next of `answers`, in an order that `picks` decides; a crash in between
/// loses everything that is not in the journal. Gives the calls and the end.
fn play(input: Value, answers: &[Says], picks: &[usize], crash_every: usize) -> (Vec<String>, State) {
    let plan = plan();
    let (mut journal, mut calls, mut now) = (Vec::new(), Vec::new(), 1_000);
    let mut state = State::new("id", &plan, input.clone(), now);
    let mut open: BTreeSet<Effect> = BTreeSet::new();
    let (mut answers, mut picks) = (answers.iter(), picks.iter().cycle());
    for turn in 1..2_000 {
        now += 400_000;
        let records = advance(&plan, &mut state, now.min(500_000), &|step| {
            open.contains(&Effect { step, undo: false })
        });
        journal.extend(records);
        if state.ended.is_some() {
            assert!(open.is_empty(), "something is under way after the end");
            return (calls, state);
        }
        if state.stuck(&plan) {
            // Somebody looks after it.
            let record = Record { at: now, event: Event::Retried };
            state.apply(&record);
            journal.push(record);
        }
        let due = due(&plan, &state, now, &|e| open.contains(&e));
        for effect in due.effects {
            let id = &plan.steps[effect.step].id;
            calls.push(format!("{}{id}", if effect.undo { "un" } else { "" }));
            open.insert(effect);
        }
        if crash_every > 0 && turn % crash_every == 0 {
            open.clear();
            state = State::replay("id", &plan, input.clone(), 1_000, &journal);
            continue;
        }
        let Some(effect) = open.iter().nth(picks.next().unwrap() % open.len().max(1)).copied() else {
            continue;
        };
        open.remove(&effect);
        let answer = match answers.next().unwrap_or(&Says::Yes) {
            Says::Yes => Answer::Done(json!({})),
            Says::No => Answer::Refused { status: Some(409), body: json!({}) },
            Says::Nothing => Answer::Open { on: Some(On::Timeout), error: "no".to_owned(), pause: None },
        };
        for event in answered(&plan, &state, effect, answer, now, 0.5) {
            let record = Record { at: now, event };
            state.apply(&record);
            journal.push(record);
        }
    }
    panic!("it does not end: {calls:?}")
}

#[test]
fn a_saga_goes_forward_in_the_order_of_its_graph() {
    let (calls, state) = play(json!({ "c": true }), &[], &[0], 0);
    assert_eq!(calls, ["a", "b", "c", "d", "e"]);
    assert!(matches!(state.ended, Some(Outcome::Done { .. })));
    let (calls, state) = play(json!({ "c": false }), &[], &[0], 0);
    assert_eq!(calls, ["a", "b", "d", "e"]);
    assert_eq!(state.phase(state.index("c").unwrap()), Phase::Skipped);
}

#[test]
fn a_refusal_undoes_what_was_started_in_reverse() {
    // a, b and c work, the pivot d is refused.
    let (calls, state) = play(json!({ "c": true }), &[Says::Yes, Says::Yes, Says::Yes, Says::No], &[0], 0);
    assert_eq!(calls, ["a", "b", "c", "d", "unb", "unc", "una"]);
    let Some(Outcome::Undone { reason: Reason::Refused { step, status, .. } }) = state.ended else {
        panic!("{state:?}")
    };
    assert_eq!((step.as_str(), status), ("d", Some(409)));
}

#[test]
fn an_unknown_outcome_is_undone_too_and_an_undo_is_asked_for_until_it_works() {
    let (calls, state) = play(json!({}), &[Says::Nothing, Says::Nothing, Says::No, Says::Nothing], &[0], 0);
    assert_eq!(calls, ["a", "a", "una", "una", "una"]);
    assert!(matches!(state.ended, Some(Outcome::Undone { reason: Reason::Unknown { .. } })));
}

#[test]
fn after_the_pivot_there_is_no_way_back() {
    let unknown = [Says::Yes, Says::Yes, Says::Nothing, Says::Nothing, Says::Nothing, Says::Nothing];
    let (calls, state) = play(json!({}), &unknown, &[0], 0);
    assert_eq!(calls, ["a", "b", "d", "d", "d", "d", "d", "e"]);
    assert!(matches!(state.ended, Some(Outcome::Done { .. })));
}

#[test]
fn a_refusal_after_the_pivot_waits_for_somebody() {
    let plan = plan();
    let mut state = State::new("id", &plan, json!({}), 0);
    for id in ["a", "b", "d"] {
        state.apply(&Record { at: 1, event: Event::Done { step: id.to_owned(), kept: Map::new() } });
    }
    advance(&plan, &mut state, 2, &|_| false);
    let e = Effect { step: state.index("e").unwrap(), undo: false };
    let refused = answered(&plan, &state, e, Answer::Refused { status: Some(422), body: json!({}) }, 3, 0.0);
    refused.into_iter().for_each(|event| state.apply(&Record { at: 3, event }));
    assert!(state.stuck(&plan));
    assert_eq!(advance(&plan, &mut state, 1_000_000, &|_| false), []);
    assert_eq!(due(&plan, &state, 1_000_000, &|_| false), Due::default());
    state.apply(&Record { at: 4, event: Event::Retried });
    assert!(!state.stuck(&plan));
    assert_eq!(due(&plan, &state, 4, &|_| false).effects, [e]);
}

#[test]
fn the_deadline_turns_back_before_the_pivot_only() {
    let plan = plan();
    let mut state = State::new("id", &plan, json!({}), 0);
    advance(&plan, &mut state, 1, &|_| false);
    assert_eq!(due(&plan, &state, 1, &|_| true).wake, Some(600_000));
    let mut late = state.clone();
    advance(&plan, &mut late, 600_000, &|_| false);
    assert_eq!(late.undoing, Some(Reason::Deadline));
    for id in ["a", "b"] {
        state.apply(&Record { at: 2, event: Event::Done { step: id.to_owned(), kept: Map::new() } });
    }
    advance(&plan, &mut state, 3, &|_| false);
    assert!(state.past_pivot(&plan));
    advance(&plan, &mut state, 600_000, &|_| false);
    assert_eq!(state.undoing, None);
}

proptest! {
    #[test]
    fn every_saga_ends_whatever_is_answered_and_whenever_it_crashes(
        c in any::<bool>(),
        answers in prop::collection::vec(prop_oneof![3 => Just(Says::Yes), 1 => Just(Says::Nothing)], 0..20),
        refused in 0usize..8,
        picks in prop::collection::vec(0usize..4, 1..10),
        crash_every in prop_oneof![Just(0usize), 2usize..6],
    ) {
        let mut answers = answers;
        if let Some(slot) = answers.get_mut(refused) {
            *slot = Says::No;
        }
        let (calls, state) = play(json!({ "c": c }), &answers, &picks, crash_every);
        let last = |what: &str| calls.iter().rposition(|call| call == what);
        let first = |what: &str| calls.iter().position(|call| call == what);
        match state.ended {
            Some(Outcome::Done { .. }) => prop_assert!(calls.iter().all(|call| !call.starts_with("un"))),
            _ => {
                for step in ["a", "b", "c"] {
                    prop_assert_eq!(first(step).is_some(), first(&format!("un{step}")).is_some(), "{:?}", calls);
                }
                for after in ["unb", "unc"] {
                    prop_assert!(last(after) <= first("una") || last(after).is_none(), "{:?}", calls);
                }
            }
        }
    }
}

#[test]
fn an_undo_is_told_why() {
    let plan = plan();
    let mut state = State::new("id", &plan, json!({}), 1_000);
    let failure = |state: &State, path: &str| crate::expr::Reference::parse(path).unwrap().value(state);
    assert_eq!(failure(&state, "$failure"), Value::Null);
    let reason =
        Reason::Refused { step: "b".to_owned(), status: Some(402), body: json!({ "code": "declined" }) };
    state.apply(&Record { at: 2_000, event: Event::Undoing { reason } });
    let told: Vec<Value> =
        ["$failure.why", "$failure.step", "$failure.status", "$failure.body.code", "$failure.error"]
            .map(|path| failure(&state, path))
            .into();
    assert_eq!(told, [json!("refused"), json!("b"), json!(402), json!("declined"), Value::Null]);
}

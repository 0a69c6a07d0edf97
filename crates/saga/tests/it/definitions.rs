//! Definitions are read, or every fault in them is told at once, with its line, code and hint.

use saga::contracts::{Contract, Contracts};
use saga::definition::fault::code;
use saga::definition::{read, read_all};
use saga::plan::{Kind, Undo};

const INVENTORY: &str = "
paths:
  /reservations:
    post:
      operationId: reserve
      parameters: [{ name: Idempotency-Key, in: header, required: true }]
      requestBody:
        required: true
        content: { application/json: { schema: { $ref: '#/components/schemas/Reserve' } } }
      responses:
        '201': { content: { application/json: { schema: { $ref: '#/components/schemas/Reservation' } } } }
  /reservations/{key}/release:
    parameters: [{ name: key, in: path, required: true }]
    post: { operationId: release }
  /stock: { get: { operationId: stock, parameters: [{ name: sku, in: query, required: true }] } }
components:
  schemas:
    Reserve:
      type: object
      required: [key, lines]
      properties: { key: { type: string }, lines: { type: array, items: { type: object } }, ttl: { type: integer } }
    Reservation: { type: object, properties: { key: { type: string }, expires_at: { type: string } } }
    Checkout:
      type: object
      properties:
        total: { type: integer }
        note: { type: string }
        items: { type: array, items: { type: object, properties: { sku: { type: string } } } }
";

fn contracts() -> Contracts {
    [("inventory".to_owned(), Some(Contract::read(INVENTORY).unwrap())), ("mail".to_owned(), None)].into()
}

const GOOD: &str = "
saga: checkout
version: 3
input: inventory#/components/schemas/Checkout
deadline: 2m
defaults: { timeout: 3s, retry: { max: 5, backoff: 200ms..5s, on: [connect, timeout, 429, 503] } }
steps:
  - id: stock
    do: inventory.reserve
    with: { body: { key: $stock.key, lines: $input.items } }
    keep: { until: $body.expires_at }
    undo: inventory.release
    undo_with: { path: { key: $stock.key } }
  - { id: pause, wait: 5s, after: [] }
  - { id: look, after: [stock, pause], do: inventory.stock, with: { query: { sku: $input.items.0.sku } }, when: $input.total > 5 }
  - { id: paid, wait: { event: payment.settled, timeout: 1h } }
output: { until: $stock.until, text: 'for ${input.total}' }
";

#[test]
fn a_good_definition_is_lowered() {
    let plan = read(GOOD, &contracts()).unwrap();
    assert_eq!((plan.name.as_str(), plan.version, plan.deadline), ("checkout", 3, Some(120_000)));
    let after: Vec<_> = plan.steps.iter().map(|s| (s.id.as_str(), s.after.clone())).collect();
    assert_eq!(after, [("stock", vec![]), ("pause", vec![]), ("look", vec![0, 1]), ("paid", vec![2])]);
    let Kind::Call(call) = &plan.steps[0].kind else { panic!() };
    assert_eq!((call.method.as_str(), call.timeout, call.retry.max), ("POST", 3_000, Some(5)));
    let Undo::Call(undo) = &plan.steps[0].undo else { panic!() };
    assert_eq!((undo.operation.as_str(), undo.retry.max, undo.path.len()), ("release", None, 3));
    assert_eq!(plan.digest(), read(GOOD, &contracts()).unwrap().digest());
    let json = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<saga::plan::Plan>(&json).unwrap(), plan);
}

/// The codes of the faults with their lines.
#[track_caller]
fn check(text: &str, expected: &[(usize, &str)]) {
    let faults = match read(text, &contracts()) {
        Ok(_) => Vec::new(),
        Err(faults) => faults,
    };
    let found: Vec<_> = faults.iter().map(|f| (f.line, f.code)).collect();
    assert_eq!(found, expected, "{}", faults.iter().map(|f| format!("{f}\n")).collect::<String>());
    for fault in &faults {
        assert!(text.get(fault.span.clone()).is_some());
    }
}

fn with_step(step: &str) -> String {
    format!("saga: x\ninput: inventory#/components/schemas/Checkout\nsteps:\n  - {step}\n")
}

#[test]
fn every_fault_is_told_at_once() {
    let text = "
saga: Bad Name
versoin: 2
deadline: soon
steps:
  - { id: a, do: inventory.reserv, with: { body: { key: $nobody.key, lines: $input.items } }, undo: none }
  - { id: a, wait: 1s, do: inventory.stock }
  - { id: input, wait: 1s }
  - { do: stock }
";
    check(
        text,
        &[
            (2, code::BAD_VALUE),
            (3, code::UNKNOWN_KEY),
            (4, code::BAD_VALUE),
            (6, code::UNKNOWN_OPERATION),
            (6, code::UNKNOWN_REFERENCE),
            (7, code::CONFLICT),
            (7, code::DUPLICATE),
            (8, code::BAD_VALUE),
            (9, code::MISSING_KEY),
            (9, code::BAD_VALUE),
        ],
    );
}

#[test]
fn forms_are_checked() {
    for (text, expected) in [
        ("", vec![(1, code::MISSING_KEY)]),
        ("a: [", vec![(1, code::SYNTAX)]),
        ("saga: x\nsaga: y\nsteps: []", vec![(2, code::SYNTAX)]),
        ("saga: &a x\nsteps: [*a]", vec![(1, code::SYNTAX)]),
        ("saga: x", vec![(1, code::MISSING_KEY)]),
        ("saga: x\nsteps: []", vec![(2, code::BAD_VALUE)]),
        ("- 1", vec![(1, code::BAD_VALUE), (1, code::MISSING_KEY), (1, code::MISSING_KEY)]),
    ] {
        check(text, &expected);
    }
    for (step, expected) in [
        ("{ id: a, wait: 5 }", vec![(4, code::BAD_VALUE)]),
        ("{ id: a, wait: { event: x } }", vec![(4, code::MISSING_KEY)]),
        ("{ id: a, wait: 1s, when: '$input.total >' }", vec![(4, code::BAD_VALUE)]),
        ("{ id: a, wait: 1s, pivot: maybe }", vec![(4, code::BAD_VALUE)]),
        (
            "{ id: a, wait: 1s, retry: { on: [404], backoff: 5s } }",
            vec![(4, code::BAD_VALUE), (4, code::BAD_VALUE)],
        ),
        ("{ id: a, wait: 1s, undo_retry: { max: 3 } }", vec![(4, code::BAD_VALUE)]),
        ("{ id: a, wait: 1s, undo_with: { path: {} } }", vec![(4, code::CONFLICT)]),
        ("{ id: a, wait: 1s, with: {} }", vec![(4, code::CONFLICT)]),
    ] {
        check(&with_step(step), &expected);
    }
}

#[test]
fn names_and_order_are_checked() {
    for (step, expected) in [
        ("{ id: a, wait: 1s, after: [b] }", vec![(4, code::UNKNOWN_REFERENCE)]),
        ("{ id: a, wait: 1s, after: [a] }", vec![(4, code::CYCLE)]),
        ("{ id: a, wait: 1s, when: $input.nothing }", vec![(4, code::UNKNOWN_REFERENCE)]),
        ("{ id: a, wait: 1s, when: $body.x }", vec![(4, code::NOT_KNOWN_YET)]),
        ("{ id: a, start: other }", vec![(4, code::UNKNOWN_REFERENCE)]),
        ("{ id: a, start: x }", vec![(4, code::CYCLE)]),
        (
            "{ id: a, wait: 1s, undo: inventory.release, undo_with: { path: { key: $a.key } } }",
            vec![(4, code::UNDO_UNUSED)],
        ),
        ("{ id: a, do: nobody.stock }", vec![(4, code::UNKNOWN_SERVICE)]),
        ("{ id: a, do: mail.send }", vec![(4, code::NO_CONTRACT)]),
        ("{ id: a, do: inventory.stok }", vec![(4, code::UNKNOWN_OPERATION)]),
        ("{ id: a, do: inventory.stock }", vec![(4, code::MISFIT)]),
        ("{ id: a, do: inventory.stock, with: { query: { sku: a, x: b } } }", vec![(4, code::MISFIT)]),
    ] {
        check(&with_step(step), &expected);
    }
}

#[test]
fn bodies_and_undos_are_checked() {
    let reserve = |rest: &str| with_step(&format!("{{ id: a, do: inventory.reserve, {rest} }}"));
    let good = "with: { body: { key: k, lines: [] } }";
    for (rest, expected) in [
        ("undo: none", vec![(4, code::MISFIT)]),
        (good, vec![(4, code::NO_UNDO)]),
        ("undo: none, with: { body: { key: k } }", vec![(4, code::MISFIT)]),
        ("undo: none, with: { body: { key: k, lines: [], colour: red } }", vec![(4, code::MISFIT)]),
        ("undo: none, with: { body: { key: k, lines: $input.total } }", vec![(4, code::MISFIT)]),
        ("undo: none, with: { body: { key: 5, lines: [] } }", vec![(4, code::MISFIT)]),
        (
            "undo: none, with: { body: { key: k, lines: [] }, headers: { Idempotency-Key: x } }",
            vec![(4, code::MISFIT)],
        ),
        (
            "undo: none, with: { body: { key: k, lines: [] } }, keep: { x: $body.colour }",
            vec![(4, code::UNKNOWN_REFERENCE)],
        ),
        (
            "undo: none, with: { body: { key: k, lines: [] } }, keep: { key: $body.key }",
            vec![(4, code::CONFLICT)],
        ),
        // What a lost answer would have told is not there for the undo.
        (
            "with: { body: { key: k, lines: [] } }, keep: { x: $body.key }, undo: inventory.release, undo_with: { path: { key: $a.x } }",
            vec![(4, code::NOT_KNOWN_YET)],
        ),
        (
            "with: { body: { key: k, lines: [] } }, pivot: true, undo: inventory.release, undo_with: { path: { key: $a.key } }",
            vec![(4, code::UNDO_UNUSED)],
        ),
        ("with: { body: { key: k, lines: [] } }, pivot: true", vec![]),
    ] {
        check(&reserve(rest), &expected);
    }
}

#[test]
fn why_it_goes_back_is_known_to_an_undo_and_to_nobody_else() {
    let undo = |with: &str| {
        with_step(&format!(
            "{{ id: a, do: inventory.reserve, with: {{ body: {{ key: k, lines: [] }} }}, undo: inventory.reserve, undo_with: {{ body: {{ key: {with}, lines: [] }} }} }}"
        ))
    };
    for good in ["$failure.why", "$failure.body.code", "'${failure.step}: ${failure.error}'"] {
        check(&undo(good), &[]);
    }
    check(&undo("$failure.reason"), &[(4, code::UNKNOWN_REFERENCE)]);
    check(&with_step("{ id: a, wait: 1s, when: $failure.why }"), &[(4, code::NOT_KNOWN_YET)]);
    check(&with_step("{ id: failure, wait: 1s }"), &[(4, code::BAD_VALUE)]);
}

#[test]
fn the_pivot_orders_everything() {
    let text = "
saga: x
steps:
  - { id: a, wait: 1s, after: [] }
  - { id: b, wait: 1s, after: [], pivot: true }
  - { id: c, wait: 1s, pivot: true }
";
    check(text, &[(4, code::PIVOT), (6, code::PIVOT)]);
}

#[test]
fn definitions_are_read_together() {
    let one = "saga: one\nsteps: [{ id: a, start: two }]";
    let pivot = "saga: two\nsteps: [{ id: a, wait: 1s, pivot: true }]";
    let back = "saga: two\nsteps: [{ id: a, start: one }]";
    let plain = "saga: two\nsteps: [{ id: a, wait: 1s }]";
    let codes = |texts: &[&str]| -> Vec<&str> {
        read_all(texts, &contracts()).into_iter().filter_map(Result::err).flatten().map(|f| f.code).collect()
    };
    assert_eq!(codes(&[one, plain]), [""; 0]);
    assert_eq!(codes(&[one, pivot]), [code::PIVOT]);
    assert_eq!(codes(&[one, back]), [code::CYCLE, code::CYCLE]);
    assert_eq!(codes(&[plain, plain]), [code::DUPLICATE]);
}

#[test]
fn every_code_has_a_page_and_every_page_a_code() {
    let pages = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors");
    let mut found: Vec<String> = std::fs::read_dir(pages)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_suffix(".md").map(str::to_owned))
        .filter(|name| name.starts_with("saga-"))
        .collect();
    let mut codes = code::ALL.to_vec();
    found.sort();
    codes.sort_unstable();
    assert_eq!(found, codes);
    for code in codes {
        let page = std::fs::read_to_string(format!("{pages}/{code}.md")).unwrap();
        assert!(page.starts_with(&format!("# {code}\n")) && page.contains("## How to mend it"), "{code}");
    }
}

proptest::proptest! {
    /// Whatever the text is, there is a plan, or faults inside it.
    #[test]
    fn any_text_is_a_definition_or_has_faults(cut in 0usize..900, insert in "[\\PC\n]{0,4}", skip in 0usize..30) {
        let at = GOOD.floor_char_boundary(cut);
        let rest = GOOD.get(GOOD.floor_char_boundary(at + skip)..).unwrap_or_default();
        let text = format!("{}{insert}{rest}", &GOOD[..at]);
        if let Err(faults) = read(&text, &contracts()) {
            proptest::prop_assert!(!faults.is_empty());
            for fault in faults {
                proptest::prop_assert!(text.get(fault.span).is_some());
            }
        }
    }
}

/// What was found by fuzzing stays found; the contract is that of the fuzz target.
#[test]
fn the_seeds_of_the_fuzz_target_hold() {
    const CONTRACT: &str = r#"{ "paths": { "/a/{id}": { "post": { "operationId": "do",
      "parameters": [{ "name": "id", "in": "path" }] }, "get": { "operationId": "get" } } } }"#;
    let contracts: Contracts = [("s".to_owned(), Contract::read(CONTRACT).ok())].into();
    let seeds = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/definition");
    let seeds: Vec<_> = std::fs::read_dir(seeds).unwrap().map(|seed| seed.unwrap().path()).collect();
    assert!(!seeds.is_empty());
    for seed in seeds {
        let text = std::fs::read_to_string(&seed).unwrap();
        match read(&text, &contracts) {
            Ok(plan) => {
                let json = serde_json::to_string(&plan).unwrap();
                assert_eq!(serde_json::from_str::<saga::plan::Plan>(&json).unwrap(), plan);
            }
            Err(faults) => {
                assert!(!faults.is_empty());
                assert!(faults.iter().all(|fault| text.get(fault.span.clone()).is_some()), "{seed:?}");
            }
        }
    }
}

//! Damaged contracts are read or refused, compared or not, and never bring the program down. For longer than a moment:
//! `ROBUST_SECONDS=600 cargo test --release -p contract --test suite robust`. Coverage-guided: `fuzz/`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use contract::{Options, Verdict};

const SEEDS: [&str; 4] = [
    "openapi: 3.1.0\npaths:\n  /a/{x}:\n    parameters: [{name: x, in: path, schema: {type: [string, 'null'], minLength: 1}}]\n    post: &op\n      operationId: a\n      deprecated: true\n      x-sunset: 2026-01-01\n      security: [{k: [r]}, {}]\n      requestBody: {required: true, content: {application/json: {schema: {$ref: '#/components/schemas/S'}}}}\n      responses: {'200': {headers: {X: {schema: {type: integer}}}, content: {'a/*': {schema: {oneOf: [{$ref: '#/components/schemas/S'}, {type: 'null'}, {const: 1}]}}}}, default: {}}\n      callbacks: {done: {'{$url}': {put: *op}}}\ncomponents: {schemas: {S: {allOf: [{$ref: '#/components/schemas/S'}, {properties: {a: {$ref: '#/components/schemas/S'}, b: {anyOf: [{type: string}, {type: array, items: false, prefixItems: [true]}]}}, required: [a]}]}}}\n",
    "{\"openapi\": \"3.0.3\", \"webhooks\": {\"w\": {\"post\": {\"requestBody\": {\"content\": {\"application/json\": {\"schema\": {\"type\": \"object\", \"nullable\": true, \"additionalProperties\": {\"type\": \"number\", \"exclusiveMaximum\": true, \"maximum\": 1e3, \"multipleOf\": 0.1}, \"discriminator\": {\"propertyName\": \"t\", \"mapping\": {\"a\": \"#/x\"}}, \"enum\": [1, null, {\"a\": []}]}}}}}}}}",
    "openapi: 3.1.0\npaths: {/x: {get: {responses: {2XX: {content: {t/p: {schema: {if: {const: a}, then: {minItems: 1}, else: {contains: {type: string}, maxContains: 2}, not: {pattern: '^a'}, dependentRequired: {a: [b]}, patternProperties: {'^x': {format: date}}, propertyNames: {maxLength: 3}, unevaluatedProperties: false}}}}}}}}\n",
    "syntax = \"proto3\";\npackage a;\nmessage M { reserved 4 to 6; reserved \"z\"; int32 a = 1; map<string, M> b = 2; oneof o { E e = 3; } }\nenum E { Z = 0; Y = 1; }\nservice S { rpc Get(M) returns (stream M) { option idempotency_level = NO_SIDE_EFFECTS; } }\n",
];

#[test]
fn damage_is_survived() {
    let seconds = std::env::var("ROBUST_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(0);
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut random = fastrand::Rng::with_seed(if seconds == 0 { 1 } else { fastrand::u64(..) });
    let mut rounds = 0;
    while rounds < 2_000 || Instant::now() < until {
        rounds += 1;
        let at = random.usize(..SEEDS.len());
        let name = if at == 3 { "a.proto" } else { "a.yaml" };
        let (old, new) = (damaged(&mut random, SEEDS[at]), damaged(&mut random, SEEDS[at]));
        let load = |text: &str| {
            let files: HashMap<PathBuf, String> = [(name.into(), text.to_owned())].into();
            contract::load_from(&files, Path::new(name))
        };
        let found = std::panic::catch_unwind(|| {
            let (Ok(a), Ok(b)) = (load(&old), load(&new)) else { return };
            let same = contract::diff(&a, &load(&old).unwrap(), &Options::default()).unwrap();
            assert_eq!(same.verdict, Verdict::Same, "{:#?}", same.changes);
            let there = contract::diff(&a, &b, &Options::default()).unwrap();
            let back = contract::diff(&b, &a, &Options::default()).unwrap();
            // What is only new in a `.proto` file, like a reserved number, is told of when it goes.
            assert!(at == 3 || (there.verdict == Verdict::Same) == (back.verdict == Verdict::Same));
        });
        assert!(found.is_ok(), "round {rounds}, the old one:\n{old}\nthe new one:\n{new}");
    }
    println!("{rounds} rounds");
}

/// A few characters taken away, doubled, or put elsewhere.
fn damaged(random: &mut fastrand::Rng, seed: &str) -> String {
    let mut text: Vec<char> = seed.chars().collect();
    for _ in 0..random.usize(..4) {
        let (from, to) = (random.usize(..text.len()), random.usize(..text.len()));
        let piece: Vec<char> = text.iter().skip(from).take(random.usize(1..24)).copied().collect();
        match random.u8(..4) {
            0 => drop(text.drain(from..(from + piece.len()).min(text.len()))),
            1 => drop(text.splice(to..to, piece)),
            2 => {
                text[to] = *random
                    .choice(&[
                        '{', '}', '[', ']', ':', ',', '\'', '"', '#', '&', '*', '0', '-', 'é', '\n', ' ',
                        '$', '/',
                    ])
                    .unwrap_or(&' ')
            }
            _ => text.swap(from, to),
        }
        if text.is_empty() {
            text.push(' ');
        }
    }
    text.into_iter().collect()
}

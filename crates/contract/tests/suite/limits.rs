//! Hostile documents end with a clear fault or a verdict, in bounded time and memory.

use std::collections::HashMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use contract::Verdict;

use super::support::{diff, load};

fn fault(text: &str) -> &'static str {
    let files: HashMap<PathBuf, String> = [("a.yaml".into(), text.to_owned())].into();
    contract::load_from(&files, Path::new("a.yaml")).expect_err("it is refused").code
}

#[test]
fn what_is_no_contract_is_refused() {
    for (text, code) in [
        ("", "contract-syntax"),
        ("a: b", "contract-unknown-format"),
        ("[]", "contract-unknown-format"),
        ("swagger: '2.0'\npaths: {}", "contract-unknown-format"),
        ("openapi: 4.0.0", "contract-unknown-format"),
        ("openapi: 3.0.0\npaths: {", "contract-syntax"),
    ] {
        assert_eq!(fault(text), code, "{text}");
    }
    for incomplete in
        ["openapi: 3.0.0", "paths: ~", "paths: {/a: ~}", "paths: {/a: {get: 1, put: {responses: []}}}"]
    {
        assert_eq!(
            load(&[("a.yaml", incomplete)]).operations().len(),
            usize::from(incomplete.contains("put"))
        );
    }
}

#[test]
fn combinations_without_end_are_refused() {
    // Each schema combines with every other one below each of its properties: the powerset of all.
    let mut text =
        "paths: {/a: {post: {requestBody: {content: {a/b: {schema: {$ref: '#/components/schemas/S0'}}}}}}}\n\
        components:\n  schemas:\n"
            .to_owned();
    let count = 24;
    for at in 0..count {
        let _ = write!(text, "    S{at}:\n      properties:\n");
        for other in 0..count {
            let _ = writeln!(
                text,
                "        p{other}: {{allOf: [{{$ref: '#/components/schemas/S{at}'}}, {{$ref: '#/components/schemas/S{other}'}}]}}"
            );
        }
    }
    assert_eq!(fault(&text), "contract-too-large");
}

#[test]
fn circles_end() {
    let schemas = "components: {schemas: {\
        A: {allOf: [{$ref: '#/components/schemas/A'}, {$ref: '#/components/schemas/B'}]},\
        B: {oneOf: [{$ref: '#/components/schemas/A'}, {$ref: '#/components/schemas/B'}], properties: {n: {$ref: '#/components/schemas/B'}}},\
        C: {$ref: '#/components/schemas/C'}}}\n";
    let api = |name: &str, more: &str| {
        format!(
            "openapi: 3.1.0\n{schemas}paths: {{/a: {{post: {{{more}requestBody: {{content: {{application/json: \
             {{schema: {{$ref: '#/components/schemas/{name}'}}}}}}}}}}}}}}\n"
        )
    };
    for a in ["A", "B", "C"] {
        assert_eq!(diff(&api(a, ""), &api(a, "")).verdict, Verdict::Same);
        for b in ["A", "B", "C"] {
            // Any verdict will do; it is one.
            let _ = diff(&api(a, ""), &api(b, "x: 1, "));
        }
    }
}

#[test]
fn long_chains_do_not_overflow() {
    let mut text = "openapi: 3.0.0\npaths: {/a: {post: {requestBody: {content: {application/json: {schema: {$ref: '#/components/schemas/S0'}}}}}}}\n\
        components:\n  schemas:\n"
        .to_owned();
    for at in 0..5_000 {
        let _ = writeln!(
            text,
            "    S{at}: {{properties: {{next: {{$ref: '#/components/schemas/S{}'}}}}}}",
            at + 1
        );
    }
    let old = text.clone() + "    S5000: {type: string}\n";
    let new = text + "    S5000: {type: boolean}\n";
    // Too far inside to be shown with its path; told as not looked at, and never as fine.
    let report = diff(&old, &new);
    assert!(!report.verdict.is_acceptable(), "{:?}", report.verdict);
}

//! Single changes and their verdicts.

use contract::Verdict::{self, Breaking, Safe, Same, Unknown, Warning};

use super::support::{diff, found, load};

/// An operation that takes and returns a schema; in flow style, so that a case is one line.
fn body(sent: &str, received: &str) -> String {
    format!(
        "openapi: 3.1.0\npaths: {{/a: {{post: {{requestBody: {{content: {{application/json: {{schema: {sent}}}}}}}, \
         responses: {{'200': {{content: {{application/json: {{schema: {received}}}}}}}}}}}}}}}\n"
    )
}

fn operation(inside: &str) -> String {
    format!("openapi: 3.0.3\npaths: {{'/a/{{id}}': {{get: {{{inside}}}}}}}\n")
}

fn check(name: &str, old: &str, new: &str, verdict: Verdict, rules: &[&str]) {
    let report = diff(old, new);
    assert_eq!(
        (report.verdict, found(&report).as_slice()),
        (verdict, rules),
        "{name}: {:#?}",
        report.changes
    );
}

#[test]
fn values_by_direction() {
    // Old, new, the verdict and the rule where consumers send it, and where they receive it.
    for (old, new, sent, received) in [
        ("{type: integer}", "{type: number}", (Safe, ""), (Breaking, "type-generalized")),
        ("{type: number}", "{type: integer}", (Breaking, "type-specialized"), (Safe, "")),
        ("{type: string}", "{type: integer}", (Breaking, "type-changed"), (Breaking, "type-changed")),
        ("{type: string}", "{type: [string, integer]}", (Safe, ""), (Breaking, "list-of-types-widened")),
        ("{type: string}", "{type: [string, 'null']}", (Safe, ""), (Breaking, "became-nullable")),
        ("{type: [string, 'null']}", "{type: string}", (Breaking, "became-not-nullable"), (Safe, "")),
        (
            "{type: integer, format: int32}",
            "{type: integer, format: int64}",
            (Safe, ""),
            (Breaking, "format-generalized"),
        ),
        (
            "{type: string, format: uuid}",
            "{type: string, format: date}",
            (Breaking, "format-changed"),
            (Breaking, "format-changed"),
        ),
        ("{enum: [a]}", "{enum: [a, b]}", (Safe, ""), (Warning, "enum-value-added")),
        ("{enum: [a, b]}", "{enum: [a]}", (Breaking, "enum-value-removed"), (Safe, "")),
        ("{type: string}", "{type: string, enum: [a]}", (Breaking, "became-enum"), (Safe, "")),
        (
            "{type: string, pattern: a}",
            "{type: string, pattern: b}",
            (Unknown, "pattern-changed"),
            (Unknown, "pattern-changed"),
        ),
        ("{type: string}", "{type: string, pattern: b}", (Breaking, "pattern-added"), (Safe, "")),
        (
            "{type: string, maxLength: 5}",
            "{type: string, maxLength: 4}",
            (Breaking, "max-length-decreased"),
            (Safe, ""),
        ),
        ("{type: string, maxLength: 5}", "{type: string}", (Safe, ""), (Breaking, "max-length-unset")),
        (
            "{type: integer, minimum: 1}",
            "{type: integer, minimum: 0}",
            (Safe, ""),
            (Breaking, "min-decreased"),
        ),
        (
            "{type: integer, multipleOf: 4}",
            "{type: integer, multipleOf: 2}",
            (Safe, ""),
            (Breaking, "multiple-of-generalized"),
        ),
        (
            "{type: array, items: {type: string}}",
            "{type: array, items: {type: string}, uniqueItems: true}",
            (Breaking, "unique-items-set"),
            (Safe, ""),
        ),
        (
            "{type: object}",
            "{type: object, additionalProperties: false}",
            (Breaking, "additional-properties-forbidden"),
            (Safe, ""),
        ),
        (
            "{type: object, additionalProperties: false}",
            "{type: object}",
            (Safe, ""),
            (Warning, "additional-properties-allowed"),
        ),
        (
            "{not: {type: string}}",
            "{not: {type: [string, boolean]}}",
            (Breaking, "list-of-types-widened"),
            (Safe, ""),
        ),
        ("{$ref: '#/x'}", "{$ref: '#/y'}", (Unknown, ""), (Unknown, "")),
        (
            "{type: object}",
            "{oneOf: [{type: object}, {type: array, minItems: 1}]}",
            (Safe, ""),
            (Breaking, "generalized-to-union"),
        ),
        (
            "{oneOf: [{type: object}, {type: array, minItems: 1}]}",
            "{type: object}",
            (Breaking, "specialized-from-union"),
            (Safe, ""),
        ),
        (
            "{discriminator: {propertyName: a}}",
            "{discriminator: {propertyName: b}}",
            (Unknown, "discriminator-property-name-changed"),
            (Unknown, "discriminator-property-name-changed"),
        ),
    ] {
        let at = |sent: bool, rule: &str, base: &str| {
            if rule.is_empty() {
                Vec::new()
            } else {
                vec![format!("{}-{base}-{rule}", if sent { "request" } else { "response" })]
            }
        };
        for (is_sent, (verdict, rule)) in [(true, sent), (false, received)] {
            let api = |schema: &str| if is_sent { body(schema, "{}") } else { body("{}", schema) };
            let report = diff(&api(old), &api(new));
            assert_eq!(report.verdict, verdict, "{old} {new} sent: {is_sent} {:#?}", report.changes);
            let inside = old.starts_with("{not");
            let wanted = at(is_sent, rule, if inside { "property" } else { "body" });
            if !wanted.is_empty() {
                assert_eq!(found(&report), wanted, "{old} {new}");
            }
        }
    }
}

#[test]
fn properties_by_direction() {
    let object = |properties: &str, required: &str| {
        format!("{{type: object, properties: {{{properties}}}, required: [{required}]}}")
    };
    let (none, plain) = (object("", ""), object("a: {type: string}", ""));
    let required = object("a: {type: string}", "a");
    let read_only = object("a: {type: string, readOnly: true}", "a");
    let write_only = object("a: {type: string, writeOnly: true}", "a");
    for (old, new, sent, received) in [
        (&none, &required, Breaking, Safe),
        (&none, &plain, Safe, Safe),
        (&none, &read_only, Safe, Safe),
        (&required, &none, Warning, Breaking),
        (&plain, &none, Warning, Warning),
        (&write_only, &none, Warning, Safe),
        (&plain, &required, Breaking, Safe),
        (&required, &plain, Safe, Breaking),
        (&read_only, &required, Breaking, Safe),
    ] {
        let report = diff(&body(old, "{}"), &body(new, "{}"));
        assert_eq!(report.verdict, sent, "sent {old} {new} {:#?}", report.changes);
        let report = diff(&body("{}", old), &body("{}", new));
        assert_eq!(report.verdict, received, "received {old} {new} {:#?}", report.changes);
    }
}

#[test]
fn other_words_are_no_change() {
    let components =
        "components: {schemas: {S: {type: object, properties: {a: {type: string}}}, T: {required: [a]}}}\n";
    for (old, new) in [
        ("{$ref: '#/components/schemas/S'}", "{type: object, properties: {a: {type: string}}}"),
        (
            "{allOf: [{$ref: '#/components/schemas/S'}, {$ref: '#/components/schemas/T'}]}",
            "{type: object, required: [a], properties: {a: {type: string}}}",
        ),
        ("{oneOf: [{$ref: '#/components/schemas/S'}]}", "{anyOf: [{$ref: '#/components/schemas/S'}]}"),
        ("{type: [string, 'null']}", "{oneOf: [{type: 'null'}, {type: string}]}"),
        ("{type: string, nullable: true}", "{anyOf: [{type: string}, {type: 'null'}]}"),
        ("{type: [string, integer]}", "{oneOf: [{type: integer}, {type: string}]}"),
        ("{type: string, enum: [a, b]}", "{oneOf: [{const: a, title: x}, {const: b}]}"),
        ("{type: integer, exclusiveMaximum: true, maximum: 3}", "{type: integer, exclusiveMaximum: 3}"),
        ("{const: a}", "{enum: [a]}"),
        ("{type: array, minItems: 0}", "{type: array, uniqueItems: false}"),
    ] {
        for (a, b) in [(old, new), (new, old)] {
            let (a, b) = (body(a, a) + components, body(b, b) + components);
            check(&format!("{old} {new}"), &a, &b, Same, &[]);
        }
    }
    let a = "openapi: 3.0.0\npaths: {'/a/{x}/b/{y}': {get: {parameters: [{name: x, in: path, schema: {type: string}}, {name: y, in: path, schema: {type: integer}}]}}}";
    let b = a.replace("{x}", "{id}").replace("name: x", "name: id");
    check("renamed path parameter", a, &b, Safe, &[]);
}

#[test]
fn parameters_and_answers() {
    let query = |inside: &str| operation(&format!("parameters: [{{name: q, in: query, {inside}}}]"));
    let status = |status: &str, inside: &str| {
        operation(&format!("responses: {{'{status}': {{{inside}}}, '404': {{description: x}}}}"))
    };
    let header = |inside: &str| status("200", &format!("headers: {{X-A: {{{inside}}}}}"));
    for (name, old, new, verdict, rules) in [
        ("new", operation(""), query("required: true"), Breaking, vec!["new-required-request-parameter"]),
        ("gone", query("schema: {type: string}"), operation(""), Warning, vec!["request-parameter-removed"]),
        ("as text", query("schema: {type: integer}"), query("schema: {type: string}"), Safe, vec![]),
        (
            "from text",
            query("schema: {type: string}"),
            query("schema: {type: integer}"),
            Breaking,
            vec!["request-parameter-type-specialized"],
        ),
        (
            "a list of it",
            query("schema: {type: string}"),
            query("schema: {type: array, items: {type: string}}"),
            Safe,
            vec![],
        ),
        (
            "delimited",
            query("explode: false, schema: {type: string}"),
            query("explode: false, schema: {type: array, items: {type: string}}"),
            Unknown,
            vec!["request-parameter-became-delimited-list"],
        ),
        (
            "explode",
            query("schema: {type: array}"),
            query("explode: false, schema: {type: array}"),
            Breaking,
            vec!["request-parameter-serialization-changed"],
        ),
        (
            "explode of one",
            query("schema: {type: string}"),
            query("explode: false, schema: {type: string}"),
            Same,
            vec![],
        ),
        (
            "style",
            query("schema: {type: object}"),
            query("style: deepObject, explode: true, schema: {type: object}"),
            Breaking,
            vec!["request-parameter-serialization-changed"],
        ),
        (
            "success gone",
            status("200", ""),
            status("201", ""),
            Breaking,
            vec!["response-success-status-removed"],
        ),
        ("in a range", status("200", ""), status("2XX", ""), Safe, vec![]),
        (
            "out of a range",
            status("2XX", ""),
            status("200", ""),
            Warning,
            vec!["response-success-range-narrowed"],
        ),
        ("failure gone", status("500", ""), status("503", ""), Safe, vec![]),
        (
            "default only",
            operation("responses: {default: {description: x}}"),
            operation("responses: {}"),
            Breaking,
            vec!["response-success-status-removed"],
        ),
        (
            "header gone",
            header("required: true"),
            status("200", ""),
            Breaking,
            vec!["required-response-header-removed"],
        ),
        (
            "optional header gone",
            header("required: false"),
            status("200", ""),
            Warning,
            vec!["optional-response-header-removed"],
        ),
        ("header as text", header("schema: {type: string}"), header("schema: {type: integer}"), Safe, vec![]),
        (
            "media range",
            status("200", "content: {'application/*': {}}"),
            status("200", "content: {application/json: {}}"),
            Warning,
            vec!["response-media-type-specialized"],
        ),
        (
            "media gone",
            status("200", "content: {a/b: {}, c/d: {}}"),
            status("200", "content: {a/b: {}}"),
            Breaking,
            vec!["response-media-type-removed"],
        ),
    ] {
        check(name, &old, &new, verdict, &rules);
    }
}

#[test]
fn security_lifecycle_and_names() {
    let secured = |list: &str| operation(&format!("security: {list}"));
    let gone = "openapi: 3.0.3\npaths: {}\n".to_owned();
    for (name, old, new, verdict, rules) in [
        ("added", operation(""), secured("[{k: []}]"), Breaking, vec!["api-security-added"]),
        ("optional", operation(""), secured("[{}, {k: []}]"), Same, vec![]),
        ("alternative", secured("[{k: []}]"), secured("[{k: []}, {j: []}]"), Safe, vec![]),
        ("replaced", secured("[{k: []}]"), secured("[{j: []}]"), Breaking, vec!["api-security-removed"]),
        ("both", secured("[{k: []}]"), secured("[{k: [], j: []}]"), Breaking, vec!["api-security-removed"]),
        (
            "scope",
            secured("[{k: [r]}]"),
            secured("[{k: [r, w]}]"),
            Breaking,
            vec!["api-security-scope-added"],
        ),
        ("fewer scopes", secured("[{k: [r, w]}]"), secured("[{k: [r]}]"), Safe, vec![]),
        ("gone", operation(""), gone.clone(), Breaking, vec!["operation-removed"]),
        (
            "deprecated",
            operation("deprecated: true"),
            gone.clone(),
            Warning,
            vec!["operation-removed-with-deprecation"],
        ),
        ("in time", operation("deprecated: true, x-sunset: '2026-05-31'"), gone.clone(), Safe, vec![]),
        (
            "too early",
            operation("deprecated: true, x-sunset: 2026-06-02"),
            gone.clone(),
            Breaking,
            vec!["operation-removed-before-sunset"],
        ),
        ("draft", operation("x-stability-level: draft"), gone, Safe, vec![]),
        (
            "sunset earlier",
            operation("deprecated: true, x-sunset: 2027-01-01"),
            operation("deprecated: true, x-sunset: 2026-12-01"),
            Breaking,
            vec!["sunset-earlier"],
        ),
        (
            "renamed",
            operation("operationId: a"),
            operation("operationId: b"),
            Warning,
            vec!["operation-id-changed"],
        ),
    ] {
        check(name, &old, &new, verdict, &rules);
    }
}

#[test]
fn webhooks_and_callbacks_go_the_other_way() {
    let hook = |schema: &str| {
        format!(
            "openapi: 3.1.0\nwebhooks: {{paid: {{post: {{requestBody: {{content: {{application/json: {{schema: {schema}}}}}}}}}}}}}\n"
        )
    };
    let back = |schema: &str| {
        operation(&format!(
            "callbacks: {{done: {{'{{$request.body#/url}}': {{post: {{requestBody: {{content: {{application/json: {{schema: {schema}}}}}}}}}}}}}}}"
        ))
    };
    let (plain, more) = ("{type: object}", "{type: object, properties: {a: {}}, required: [a]}");
    for api in [&hook as &dyn Fn(&str) -> String, &back] {
        check("more is sent to consumers", &api(plain), &api(more), Safe, &[]);
        check(
            "less is sent to consumers",
            &api(more),
            &api(plain),
            Breaking,
            &["response-property-required-property-removed"],
        );
    }
    check("gone", &hook(plain), "openapi: 3.1.0\nwebhooks: {}", Breaking, &["webhook-removed"]);
}

#[test]
fn places_are_those_in_the_files() {
    let old = load(&[
        ("old/api.yaml", "openapi: 3.0.0\npaths:\n  /a:\n    $ref: 'parts.json#/a'\n"),
        (
            "old/parts.json",
            "{\n \"a\": {\"post\": {\"requestBody\": {\"$ref\": \"#/body\"}}},\n \"body\": {\"content\": {\"application/json\": {\"schema\":\n  {\"type\": \"string\",\n   \"maxLength\": 5}}}}}",
        ),
    ]);
    let new = load(&[(
        "api.yaml",
        "openapi: 3.0.0\npaths:\n  /a:\n    post:\n      requestBody:\n        content:\n          application/json:\n            schema:\n              type: string\n              maxLength: 4\n",
    )]);
    let report = contract::diff(&old, &new, &contract::Options::default()).unwrap();
    let change = &report.changes[0];
    let at = |place: &Option<contract::Place>| place.as_ref().unwrap().to_string();
    assert_eq!(
        (at(&change.place_old), at(&change.place_new)),
        ("old/parts.json:5:4".to_owned(), "api.yaml:10:15".to_owned())
    );
    assert_eq!(change.sentence, "the request body has `maxLength` 4 instead of 5");
    assert_eq!(change.operation.as_ref().unwrap().key, "POST /a");
    assert_eq!(report.changes.len(), 1);
}

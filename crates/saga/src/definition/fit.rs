//! Whether a call fits the operation that it calls.

use std::collections::BTreeSet;
use std::ops::Range;

use serde_json::Value;

use super::draft::With;
use super::fault::{Fault, code};
use super::lower::{Lowering, Place};
use super::section::{Spanned, close};
use crate::contracts::{Contract, Field, Operation};
use crate::expr::Template;
use crate::plan::{Call, Kind, PathPart, Retry};

/// The JSON types that a value may have; `None` if nobody can say.
pub type Types = Option<BTreeSet<String>>;

/// Header fields that the engine sets itself.
const OWN_HEADERS: [&str; 8] = [
    "idempotency-key",
    "content-type",
    "content-length",
    "host",
    "connection",
    "transfer-encoding",
    "traceparent",
    "accept",
];

/// Looks the operation up and fits what is given to it.
pub fn call(
    lowering: &Lowering<'_>,
    (service, id): (&str, &str),
    span: &Range<usize>,
    with: &With,
    place: Place,
    timeout: u64,
    retry: Retry,
) -> Kind {
    let query = lower_all(lowering, &with.query, place);
    let headers = lower_all(lowering, &with.headers, place);
    let params = lower_all(lowering, &with.path, place);
    let body = with.body.as_ref().map(|body| lowering.template(body, place));
    let (mut method, mut path) = (String::new(), Vec::new());
    let contracts = lowering.contracts;
    match contracts.get(service) {
        None => lowering.unknown(
            &lowering.sink.narrow(span, service),
            "service",
            service,
            contracts.keys().map(String::as_str),
        ),
        Some(None) => lowering.no_contract(&lowering.sink.narrow(span, service), service),
        Some(Some(contract)) => match contract.operation(id) {
            None => unknown_operation(lowering, span, service, id, contract),
            Some(operation) => {
                fit(&Fit { lowering, contract, operation, with, span, name: format!("{service}.{id}") });
                method.clone_from(&operation.method);
                path = path_parts(&operation.path, &params);
            }
        },
    }
    let (service, operation) = (service.to_owned(), id.to_owned());
    Kind::Call(Call { service, operation, method, path, query, headers, body, timeout, retry })
}

fn lower_all(
    lowering: &Lowering<'_>,
    named: &[(Spanned<String>, Spanned<Template>)],
    place: Place,
) -> Vec<(String, Template)> {
    named.iter().map(|(name, value)| (name.value.clone(), lowering.template(value, place))).collect()
}

fn unknown_operation(
    lowering: &Lowering<'_>,
    span: &Range<usize>,
    service: &str,
    id: &str,
    contract: &Contract,
) {
    let message = format!("`{service}` has no operation `{id}`");
    let fault = Fault::error(code::UNKNOWN_OPERATION, lowering.sink.narrow(span, id), message);
    let ids: Vec<&str> = contract.ids().collect();
    let likely = ids.iter().find(|known| close(known, id) || known.eq_ignore_ascii_case(id));
    lowering.sink.push(match likely {
        Some(likely) => fault.hint(format!("did you mean `{service}.{likely}`?")),
        None => fault.hint(format!("its contract has: {}", ids.join(", "))),
    });
}

fn path_parts(path: &str, params: &[(String, Template)]) -> Vec<PathPart> {
    let (mut parts, mut rest) = (Vec::new(), path);
    while let Some((plain, more)) = rest.split_once('{') {
        let Some((name, after)) = more.split_once('}') else { break };
        parts.push(PathPart::Text(plain.to_owned()));
        if let Some((_, value)) = params.iter().find(|(n, _)| n == name) {
            parts.push(PathPart::Param(name.to_owned(), value.clone()));
        }
        rest = after;
    }
    parts.push(PathPart::Text(rest.to_owned()));
    parts
}

struct Fit<'a> {
    lowering: &'a Lowering<'a>,
    contract: &'a Contract,
    operation: &'a Operation,
    with: &'a With,
    span: &'a Range<usize>,
    name: String,
}

impl Fit<'_> {
    fn misfit(&self, span: &Range<usize>, message: String) {
        self.lowering.sink.push(Fault::error(code::MISFIT, span.clone(), message));
    }
}

fn fit(fit: &Fit<'_>) {
    for (place, given) in
        [("path", &fit.with.path), ("query", &fit.with.query), ("header", &fit.with.headers)]
    {
        parameters(fit, place, given);
    }
    let span = fit.with.span.as_ref().unwrap_or(fit.span);
    match (&fit.with.body, &fit.operation.body) {
        (None, Some(body)) if body.required => fit.misfit(span, format!("`{}` needs a body", fit.name)),
        (Some(body), None) => fit.misfit(&body.span, format!("`{}` takes no JSON body", fit.name)),
        (Some(given), Some(body)) => value(fit, &given.value, &given.span, &body.schema, "body"),
        (None, _) => {}
    }
}

fn parameters(fit: &Fit<'_>, place: &str, given: &[(Spanned<String>, Spanned<Template>)]) {
    let same = |a: &str, b: &str| if place == "header" { a.eq_ignore_ascii_case(b) } else { a == b };
    let known = || fit.operation.parameters.iter().filter(|p| p.place == place);
    for (name, _) in given {
        if place == "header" {
            if OWN_HEADERS.iter().any(|own| own.eq_ignore_ascii_case(&name.value)) {
                fit.misfit(&name.span, format!("`{}` is set by Isles", name.value));
            }
            let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
            if name.value.is_empty() || !name.value.chars().all(token) {
                fit.misfit(&name.span, format!("`{}` is no name of a header field", name.value));
            }
        } else if !known().any(|p| same(&p.name, &name.value)) {
            fit.misfit(&name.span, format!("`{}` has no {place} parameter `{}`", fit.name, name.value));
        }
    }
    for parameter in known().filter(|p| p.required) {
        let by_us =
            place == "header" && OWN_HEADERS.iter().any(|own| own.eq_ignore_ascii_case(&parameter.name));
        if !by_us && !given.iter().any(|(name, _)| same(&name.value, &parameter.name)) {
            let span = fit.with.span.as_ref().unwrap_or(fit.span);
            fit.misfit(span, format!("`{}` needs the {place} parameter `{}`", fit.name, parameter.name));
        }
    }
}

/// Compares a value with a schema as far as both are known.
fn value(fit: &Fit<'_>, given: &Template, span: &Range<usize>, schema: &Value, at: &str) {
    let found: Types = match given {
        Template::Literal(value) => Some(std::iter::once(type_of(value).to_owned()).collect()),
        Template::Ref(reference) => fit.lowering.types_of(reference),
        Template::Text(_) => Some(std::iter::once("string".to_owned()).collect()),
        Template::List(_) => Some(std::iter::once("array".to_owned()).collect()),
        Template::Map(_) => Some(std::iter::once("object".to_owned()).collect()),
    };
    if let (Some(found), Some(wanted)) = (found, fit.contract.types(schema)) {
        let fits = |t: &str| {
            wanted.contains(t)
                || t == "integer" && wanted.contains("number")
                || t == "number" && wanted.contains("integer")
        };
        if !found.iter().any(|t| fits(t)) {
            let list = |types: &mut dyn Iterator<Item = &str>| types.collect::<Vec<_>>().join(" or ");
            let message = format!(
                "`{at}` of `{}` is {}, and this is {}",
                fit.name,
                list(&mut wanted.iter().copied()),
                list(&mut found.iter().map(String::as_str))
            );
            return fit.misfit(span, message);
        }
    }
    match given {
        Template::Map(entries) => {
            for (name, inner) in entries {
                let span = fit.lowering.sink.narrow(span, name);
                match fit.contract.field(schema, name) {
                    Field::Known(schema) => value(fit, inner, &span, schema, &format!("{at}.{name}")),
                    Field::Absent => fit.misfit(&span, format!("`{at}` of `{}` has no `{name}`", fit.name)),
                    Field::Open => {}
                }
            }
            for name in
                fit.contract.required(schema).into_iter().filter(|r| entries.iter().all(|(n, _)| n != r))
            {
                fit.misfit(span, format!("`{at}` of `{}` needs `{name}`", fit.name));
            }
        }
        Template::List(items) => {
            let schema = fit.contract.resolve(schema).get("items");
            for (item, schema) in items.iter().zip(schema.into_iter().cycle()) {
                value(fit, item, span, schema, &format!("{at}[]"));
            }
        }
        _ => {}
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Goes down a schema; `Ok(None)` where nobody can say.
///
/// # Errors
/// The path up to and with the first name that the schema does not have.
pub fn walk<'a>(
    contract: &'a Contract,
    schema: &'a Value,
    path: &[String],
) -> Result<Option<&'a Value>, String> {
    let mut at = schema;
    for (depth, name) in path.iter().enumerate() {
        match contract.field(at, name) {
            Field::Known(schema) => at = schema,
            Field::Absent => return Err(path.get(..=depth).unwrap_or_default().join(".")),
            Field::Open => return Ok(None),
        }
    }
    Ok(Some(at))
}

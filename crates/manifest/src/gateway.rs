//! `[gateway]`: addresses, limits, routes.

use std::ops::Range;

use model::{AccessLog, Gateway, GatewayRoute};

use crate::fault::Fault;
use crate::keys::Kind;
use crate::listeners::Listeners;
use crate::names::Names;
use crate::section::Section;
use crate::suggest::did_you_mean;
use crate::value::Value;
use crate::{code, paths, quantity, tls};

const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"];

/// A route with its place.
type PlacedRoute = (GatewayRoute, Range<usize>);

pub(crate) fn gateway(table: Section<'_>, names: &Names<'_>, listeners: &Listeners<'_>) -> Option<Gateway> {
    let listen = table.address("listen");
    if let Some((address, span)) = &listen {
        listeners.add(*address, Some(span.clone()), "the gateway");
    }
    let tls = table.section("tls").map(|t| tls::tls(t, &table.sink.root));
    let redirect = table.get("redirect").and_then(|v| Some((v.address()?, v.span())));
    if let Some((address, span)) = &redirect {
        listeners.add(*address, Some(span.clone()), "the redirect to HTTPS");
    }
    let hsts = table.get("hsts").and_then(|v| v.duration());
    for name in ["redirect", "hsts"] {
        if let (None, Some(span)) = (&tls, table.key_span(name)) {
            let fault = Fault::error(code::CONFLICT, span, format!("`{name}` needs `tls`"));
            table.sink.push(fault.hint("there is nothing to lead to where the gateway speaks plain HTTP"));
        }
    }
    let (max_body, max_connections) = (table.size("max_body"), table.integer("max_connections"));
    let access_log = table.get("access_log").and_then(|v| access_log(v, &table));
    let mut routes: Vec<PlacedRoute> = Vec::new();
    for value in table.get("routes").map(Value::items).unwrap_or_default() {
        let Some(found) = value.section(value.span()).and_then(|r| route(r, names)) else { continue };
        if let Some((_, first)) = routes.iter().find(|(r, _)| clash(r, &found.0)) {
            table.sink.push(clash_fault(&found, first.clone()));
        }
        routes.push(found);
    }
    table.done();
    Some(Gateway {
        listen: listen?.0,
        tls: match tls {
            Some(tls) => Some(tls?),
            None => None,
        },
        redirect: redirect.map(|(address, _)| address),
        hsts,
        max_body,
        max_connections,
        access_log,
        routes: routes.into_iter().map(|(route, _)| route).collect(),
    })
}

fn access_log(value: Value<'_>, table: &Section<'_>) -> Option<AccessLog> {
    if value.as_text().is_some() {
        let path = paths::path(&value.alternative(|k| matches!(k, Kind::Path)), &table.sink.root)?;
        return Some(AccessLog::File(path));
    }
    if value.node.get_ref().as_bool().is_none() {
        value.wrong_type();
        return None;
    }
    value.boolean()?.then_some(AccessLog::Standard)
}

fn route(table: Section<'_>, names: &Names<'_>) -> Option<PlacedRoute> {
    // Everything is read before anything is given up, so that no fault hides another.
    let path = table.get("path").map(|v| (v.url_path(), v.span()));
    let service = table.get("service").and_then(|v| names.http_service(&v));
    let host = table.get("host").and_then(|v| host(&v));
    let mut methods: Vec<String> =
        table.get("methods").map(Value::items).unwrap_or_default().iter().filter_map(method).collect();
    methods.sort();
    methods.dedup();
    let strip = table.boolean("strip");
    let timeout = table.get("timeout").and_then(|v| v.duration());
    let rate_limit = table.get("rate_limit").and_then(|v| rate(&v));
    let max_body = table.get("max_body").and_then(|v| v.size());
    let enforce_contract = table.boolean("enforce_contract");
    let asked = table.key_span("enforce_contract").unwrap_or_else(|| table.at());
    let sink = table.sink;
    table.done();
    let service = service?;
    if enforce_contract && !names.has_openapi(service.as_str()) {
        let message = format!("`{service}` has no contract that a request can be held to");
        sink.push(
            Fault::error(code::NO_CONTRACT, asked, message)
                .hint(format!("add `contract = \"openapi.yaml\"` to `[services.{service}]`")),
        );
    }
    let (path, span) = path?;
    // `/api/` and `/api` are one prefix, since a prefix ends on a segment boundary.
    let path = match path?.trim_end_matches('/') {
        "" => "/".to_owned(),
        path => path.to_owned(),
    };
    let route =
        GatewayRoute { path, host, methods, service, strip, timeout, rate_limit, max_body, enforce_contract };
    Some((route, span))
}

fn clash(a: &GatewayRoute, b: &GatewayRoute) -> bool {
    let methods =
        a.methods.is_empty() || b.methods.is_empty() || a.methods.iter().any(|m| b.methods.contains(m));
    a.path == b.path && a.host == b.host && methods
}

fn clash_fault((route, span): &PlacedRoute, first: Range<usize>) -> Fault {
    let message = format!("two routes for `{}` match the same requests", route.path);
    Fault::error(code::ROUTE_CLASH, span.clone(), message)
        .label("and again")
        .related(first, "first here")
        .hint("tell them apart by `path`, `host` or `methods`, or remove one")
}

/// A host name, lower case.
pub(crate) fn host(value: &Value<'_>) -> Option<String> {
    let text = value.some_text()?;
    let host = text.to_ascii_lowercase();
    let label = |l: &str| {
        !l.is_empty()
            && l.len() <= 63
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if host.len() <= 253 && host.split('.').all(label) {
        return Some(host);
    }
    let hint = if text.contains("://") || text.contains('/') {
        "only the name: `\"shop.example\"`"
    } else if text.contains(':') {
        "leave the port out"
    } else if text.contains('*') {
        "there are no patterns: write one route per host"
    } else {
        "letters, digits, `-` and dots, such as `\"shop.example\"`"
    };
    value.bad(format!("`{text}` is not a host name"), Some(hint.to_owned()));
    None
}

fn method(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    let method = text.to_ascii_uppercase();
    let known = METHODS.contains(&method.as_str());
    let meant = did_you_mean(&method, METHODS).filter(|_| !known);
    let token =
        !method.is_empty() && method.bytes().all(|b| b.is_ascii_uppercase() || b == b'-' || b == b'_');
    if !token || meant.is_some() {
        let hint = meant.map(|m| format!("did you mean `\"{m}\"`?"));
        value.bad(format!("`{text}` is not an HTTP method"), hint);
        return None;
    }
    Some(method)
}

fn rate(value: &Value<'_>) -> Option<model::RateLimit> {
    let text = value.text()?;
    let rate = quantity::rate(text);
    if rate.is_none() {
        let hint = "write a number and `/s`, `/m` or `/h`: `100/s`, `5/m`, `10/h`";
        value.bad(format!("`{text}` is not a rate"), Some(hint.to_owned()));
    }
    rate
}

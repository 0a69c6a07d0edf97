//! `[external.NAME]`, `[console]`, `[sagas]`, `[alerts]`, `[telemetry]` and `[events]`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::PathBuf;

use model::{
    Alerts, Console, EventSubscription, External, ExternalLimits, ExternalUrl, ServiceName, Telemetry,
    Template,
};

use crate::code;
use crate::fault::Fault;
use crate::keys::{ALERTS, CONSOLE, EXTERNAL_LIMITS};
use crate::listeners::Listeners;
use crate::names::Names;
use crate::paths;
use crate::section::Section;
use crate::template::{Of, Scope};
use crate::value::Value;

pub(crate) fn external(name: ServiceName, table: Section<'_>) -> Option<External> {
    let url = table.get("url").map(|v| url(&v));
    let ca = table.get("ca").and_then(|v| Some((paths::file(&v, &table.sink.root, "the manifest")?, v)));
    let trace = table.boolean("trace");
    let limits = limits(&table);
    table.done();
    let url = url??;
    if let Some((_, value)) = ca.as_ref().filter(|_| !url.tls) {
        let message = "`ca` is for `https://` only".to_owned();
        value
            .sink
            .push(value.fault(code::CONFLICT, message).hint("write `https://` in `url`, or leave it out"));
    }
    Some(External { name, url, ca: ca.map(|(path, _)| path), trace, limits })
}

fn limits(external: &Section<'_>) -> ExternalLimits {
    let table = external.section("limits").unwrap_or_else(|| Section::empty(external.sink, &EXTERNAL_LIMITS));
    let limits = ExternalLimits {
        timeout: table.duration("timeout"),
        retries: table.integer("retries"),
        in_flight: table.integer("in_flight"),
    };
    table.done();
    limits
}

/// The URL of something outside.
pub(crate) fn url(value: &Value<'_>) -> Option<ExternalUrl> {
    let text = value.some_text()?;
    let (tls, rest) = match text.strip_prefix("https://") {
        Some(rest) => (true, Some(rest)),
        None => (false, text.strip_prefix("http://")),
    };
    let hint = match rest {
        None if text.contains("://") => "only `http://` and `https://` can be called",
        None => {
            let hint = format!("write the scheme too: `\"https://{text}\"`");
            value.bad(format!("`{text}` is not a URL that Isles can call"), Some(hint));
            return None;
        }
        Some(rest) => match url_parts(tls, rest) {
            Ok(url) => return Some(url),
            Err(hint) => hint,
        },
    };
    value.bad(format!("`{text}` is not a URL that Isles can call"), Some(hint.to_owned()));
    None
}

/// A URL after its scheme; or what is wrong with it, as a hint.
fn url_parts(tls: bool, rest: &str) -> Result<ExternalUrl, &'static str> {
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if authority.contains('@') {
        return Err("no user or password in it: whoever calls sends them, from a `${secret.NAME}`");
    }
    // A lone `?` at the end says nothing, and is how some documentations write where an address ends.
    let path = path.strip_suffix('?').unwrap_or(path);
    if path.contains(['?', '#']) {
        return Err("leave out what follows `?` or `#`");
    }
    if rest.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '$' | '{' | '"')) {
        return Err("nothing is filled in here, and spaces are not allowed");
    }
    if !path.bytes().all(|b| b.is_ascii_graphic()) || path.split('/').any(|s| matches!(s, "." | "..")) {
        return Err("write the path as it is sent: ASCII, other characters as `%XX`, without `.` and `..`");
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => match port.parse::<u16>() {
            Ok(port @ 1..) => (host, port),
            _ => return Err("a port is a number from 1 to 65535"),
        },
        _ => (authority, if tls { 443 } else { 80 }),
    };
    let host = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().ok().map(|address| address.to_string()),
        None => {
            let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
            (!host.is_empty() && host.bytes().all(good)).then(|| host.to_ascii_lowercase())
        }
    };
    let host = host.ok_or("a host name or an IP address follows `://`")?;
    Ok(ExternalUrl { tls, host, port, base: path.trim_end_matches('/').to_owned() })
}

pub(crate) fn console(root: &Section<'_>, listeners: &Listeners<'_>) -> Option<Console> {
    let table = root.section("console");
    let written = table.is_some();
    let table = table.unwrap_or_else(|| Section::empty(root.sink, &CONSOLE));
    let listen = table.address("listen");
    table.done();
    let (address, span) = listen?;
    listeners.add(address, written.then_some(span), "the console");
    Some(Console { listen: address })
}

/// The definitions of sagas, and where sagas are kept.
pub(crate) fn sagas(root: &Section<'_>) -> (Vec<PathBuf>, Option<Template>) {
    let Some(table) = root.section("sagas") else { return (Vec::new(), None) };
    let found = table.get("files").map(|v| paths::paths(v, &table.sink.root)).unwrap_or_default();
    let store = table.get("store").and_then(|value| {
        let message = "sagas are kept in PostgreSQL or, without `store`, in SQLite".to_owned();
        let hint = "a URL such as `postgres://user@host/database`; the password may be a `${secret.NAME}`";
        address(&value, &["postgres://", "postgresql://"], (message, hint.to_owned()))
    });
    table.done();
    (found.into_iter().map(|(path, _)| path).collect(), store)
}

/// When somebody is told that something is wrong, and where.
pub(crate) fn alerts(root: &Section<'_>) -> Alerts {
    let table = root.section("alerts").unwrap_or_else(|| Section::empty(root.sink, &ALERTS));
    let webhook = table.get("webhook");
    let webhook = webhook.and_then(|value| by_http(&value, "alerts", "https://hooks.example/${secret.HOOK}"));
    let availability = table.number("availability");
    table.done();
    Alerts { webhook, availability }
}

/// Where telemetry is sent on to.
pub(crate) fn telemetry(root: &Section<'_>) -> Telemetry {
    let Some(table) = root.section("telemetry") else { return Telemetry::default() };
    let export = table.get("export");
    let export = export.and_then(|value| by_http(&value, "spans", "http://127.0.0.1:4318"));
    let headers = table.get("headers").map(headers).unwrap_or_default();
    table.done();
    Telemetry { export, headers }
}

/// Names that are fields of HTTP, which have no case.
fn headers(value: Value<'_>) -> BTreeMap<String, Template> {
    let mut headers = BTreeMap::new();
    for (name, _, value) in value.map() {
        let good = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        let Some(text) = value.some_text() else { continue };
        if name.is_empty() || !name.bytes().all(good) {
            let hint = "letters, digits, `-`, `_` and `.`".into();
            value.bad(format!("`{name}` is no name of a header field"), Some(hint));
            continue;
        }
        headers.insert(name.to_ascii_lowercase(), filled(&value, text));
    }
    headers
}

fn by_http(value: &Value<'_>, what: &str, example: &str) -> Option<Template> {
    let said = (format!("{what} are sent by HTTP"), format!("a URL such as `{example}`"));
    address(value, &["https://", "http://"], said)
}

/// A URL of one of these kinds, whose beginning may be a variable; else a message and a hint.
fn address(value: &Value<'_>, schemes: &[&str], (message, hint): (String, String)) -> Option<Template> {
    let text = value.some_text()?;
    if !schemes.iter().chain(&["${"]).any(|start| text.starts_with(start)) {
        value.bad(message, Some(hint));
        return None;
    }
    Some(filled(value, text))
}

/// A text with variables that are of no one service.
fn filled(value: &Value<'_>, text: &str) -> Template {
    Scope { sink: value.sink, calls: &BTreeSet::new(), of: Of::App }.template(text, &value.span())
}

pub(crate) fn subscriptions(root: &Section<'_>, names: &Names<'_>) -> Vec<EventSubscription> {
    let Some(table) = root.section("events") else { return Vec::new() };
    let mut found: Vec<(EventSubscription, Range<usize>)> = Vec::new();
    for value in table.get("subscribe").map(Value::items).unwrap_or_default() {
        let Some(entry) = value.section(value.span()).and_then(|s| subscription(s, names)) else { continue };
        if let Some((_, first)) = found.iter().find(|(other, _)| *other == entry.0) {
            let message = format!("`{}` is subscribed to `{}` twice", entry.0.service, entry.0.topic);
            let fault = Fault::error(code::DUPLICATE_ENTRY, entry.1.clone(), message).label("again");
            table.sink.push(fault.related(first.clone(), "first here"));
        }
        found.push(entry);
    }
    table.done();
    found.into_iter().map(|(subscription, _)| subscription).collect()
}

fn subscription(table: Section<'_>, names: &Names<'_>) -> Option<(EventSubscription, Range<usize>)> {
    let topic = table.get("topic").map(|v| (topic(&v), v.span()));
    let service = table.get("service").map(|v| names.http_service(&v));
    let path = table.get("path").map(|v| v.url_path());
    table.done();
    let (topic, span) = topic?;
    let subscription = EventSubscription { topic: topic?, service: service??, path: path??.to_owned() };
    Some((subscription, span))
}

fn topic(value: &Value<'_>) -> Option<String> {
    let text = value.some_text()?;
    let word =
        |w: &str| !w.is_empty() && w.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if text.len() <= 200 && text.split('.').all(word) {
        return Some(text.to_owned());
    }
    let hint = "words of letters, digits, `-` and `_`, joined with dots: `order.confirmed`";
    value.bad(format!("`{text}` is not a topic"), Some(hint.to_owned()));
    None
}

//! `[external.NAME]`, `[console]`, `[sagas]` and `[events]`.

use std::ops::Range;
use std::path::PathBuf;

use model::{Console, EventSubscription, External, ServiceName};

use crate::code;
use crate::fault::Fault;
use crate::keys::CONSOLE;
use crate::listeners::Listeners;
use crate::names::Names;
use crate::paths;
use crate::section::Section;
use crate::value::Value;

pub(crate) fn external(name: ServiceName, table: Section<'_>) -> Option<External> {
    let url = table.get("url").map(|v| url(&v));
    table.done();
    Some(External { name, url: url??.to_owned() })
}

fn url<'a>(value: &Value<'a>) -> Option<&'a str> {
    let text = value.some_text()?;
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let hint = match rest {
        None if text.contains("://") => "only `http://` and `https://` can be called".to_owned(),
        None => format!("write the scheme too: `\"https://{text}\"`"),
        Some(rest) => match url_fault(rest) {
            None => return Some(text),
            Some(hint) => hint.to_owned(),
        },
    };
    value.bad(format!("`{text}` is not a URL that Isles can call"), Some(hint));
    None
}

/// What is wrong with a URL after its scheme, as a hint.
fn url_fault(rest: &str) -> Option<&'static str> {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Some("no user or password in it: whoever calls sends them, from a `${secret.NAME}`");
    }
    if rest.contains(['?', '#']) {
        return Some("leave out what follows `?` or `#`");
    }
    if rest.contains(|c: char| c.is_whitespace() || c.is_control() || c == '$' || c == '{' || c == '"') {
        return Some("nothing is filled in here, and spaces are not allowed");
    }
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => match port.parse::<u16>() {
            Ok(1..) => host,
            _ => return Some("a port is a number from 1 to 65535"),
        },
        _ => authority,
    };
    let v6 = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let good = match v6 {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        }
    };
    (!good).then_some("a host name or an IP address follows `://`")
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

pub(crate) fn saga_files(root: &Section<'_>) -> Vec<PathBuf> {
    let Some(table) = root.section("sagas") else { return Vec::new() };
    let found = table.get("files").map(|v| paths::paths(v, &table.sink.root)).unwrap_or_default();
    table.done();
    found.into_iter().map(|(path, _)| path).collect()
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

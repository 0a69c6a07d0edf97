//! What happens to header fields on the way through: hop by hop ones end here, false ones are dropped, ours are set.

use http::header::{self, Entry};
use http::{HeaderMap, HeaderName, HeaderValue, Version};

pub(crate) const CALLER: HeaderName = HeaderName::from_static("x-isles-caller");
pub(crate) const DEADLINE: HeaderName = HeaderName::from_static("x-isles-deadline");
pub(crate) const ERROR: HeaderName = HeaderName::from_static("x-isles-error");
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(crate) const FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// Which fields a pass removes beside those of the hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// A request from outside: nothing about identity, time or origin is believed.
    Outside,
    /// A request from a service of the app.
    Inside,
    /// A response.
    Response,
}

/// Removes the fields of one hop (RFC 9110, 7.6.1), those named by `Connection` included, and those that are not to
/// be believed. Returns the protocol to which an upgrade is asked for or agreed.
pub(crate) fn clean(headers: &mut HeaderMap, version: Version, trust: Trust) -> Option<HeaderValue> {
    let mut doomed: Vec<HeaderName> = Vec::new();
    let mut named_upgrade = false;
    let mut trailers = false;
    for (name, value) in headers.iter() {
        if *name == header::CONNECTION {
            named_upgrade |= read_connection(value, &mut doomed);
        } else if *name == header::TE {
            trailers |= has_token(value, "trailers");
        }
        if is_dropped(name, trust) && doomed.last() != Some(name) {
            doomed.push(name.clone());
        }
    }
    let upgrade = (named_upgrade && version == Version::HTTP_11)
        .then(|| headers.get(header::UPGRADE).cloned())
        .flatten()
        // Both sides speak HTTP/2 to us only if they begin with it; a switch in the middle of a connection ends here.
        .filter(|protocol| !has_token(protocol, "h2c"));
    for name in doomed {
        headers.remove(name);
    }
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    upgrade
}

/// Says again that the connection is to change its protocol, which [`clean`] took off.
pub(crate) fn set_upgrade(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, protocol);
}

/// Sets where a request from outside came from.
pub(crate) fn set_origin(headers: &mut HeaderMap, client: &HeaderValue) {
    headers.insert(FORWARDED_FOR, client.clone());
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    if let Some(host) = headers.get(header::HOST).cloned() {
        headers.insert(FORWARDED_HOST, host);
    }
}

/// Sets trace and request id: continues those that are there.
pub(crate) fn set_trace(headers: &mut HeaderMap) {
    match crate::ids::next_span(headers) {
        Some(next) => {
            headers.insert(TRACEPARENT, next);
        }
        None => {
            // A state without its trace says nothing.
            headers.remove(TRACESTATE);
            headers.insert(TRACEPARENT, crate::ids::new_trace());
        }
    }
    if let Entry::Vacant(vacant) = headers.entry(REQUEST_ID) {
        vacant.insert(crate::ids::request_id());
    }
}

/// The milliseconds that the caller still has.
pub(crate) fn deadline(headers: &HeaderMap) -> Option<u64> {
    headers.get(DEADLINE)?.to_str().ok()?.parse().ok()
}

/// Whether the body is gRPC. `application/grpc-web` is not: it is made for HTTP/1.1.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let rest = kind.and_then(|kind| kind.strip_prefix(b"application/grpc"));
    matches!(rest, Some([] | [b'+' | b';', ..]))
}

fn is_dropped(name: &HeaderName, trust: Trust) -> bool {
    let text = name.as_str();
    let hop = || {
        matches!(
            text,
            "connection"
                | "keep-alive"
                | "proxy-connection"
                | "proxy-authorization"
                | "te"
                | "transfer-encoding"
                | "upgrade"
                | "http2-settings"
        )
    };
    let claimed = || {
        matches!(text, "traceparent" | "tracestate" | "x-request-id" | "forwarded")
            || text.starts_with("x-isles-")
            || text.starts_with("x-forwarded-")
    };
    // The first letter rules out nearly every field.
    match text.as_bytes().first() {
        Some(b'c' | b'k' | b'p' | b't' | b'u' | b'h' | b'x' | b'f' | b'e') => {}
        _ => return false,
    }
    match trust {
        // The expectation is met here: the body is asked for when a replica takes it.
        Trust::Outside => hop() || text == "expect" || claimed(),
        Trust::Inside => hop() || text == "expect",
        Trust::Response => hop() || text == "x-isles-error",
    }
}

/// Adds the fields that `Connection` names; whether `upgrade` is among them.
fn read_connection(value: &HeaderValue, doomed: &mut Vec<HeaderName>) -> bool {
    let mut upgrade = false;
    for token in tokens(value) {
        if token.eq_ignore_ascii_case(b"upgrade") {
            upgrade = true;
        } else if token.eq_ignore_ascii_case(b"close") || token.eq_ignore_ascii_case(b"keep-alive") {
            // Options, not fields.
        } else if let Ok(name) = HeaderName::from_bytes(token)
            // These say where a message goes and where it ends: no sender may have them taken away.
            && name != header::HOST
            && name != header::CONTENT_LENGTH
        {
            doomed.push(name);
        }
    }
    upgrade
}

fn has_token(value: &HeaderValue, wanted: &str) -> bool {
    tokens(value).any(|token| token.eq_ignore_ascii_case(wanted.as_bytes()))
}

fn tokens(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(text: &str) -> HeaderMap {
        text.lines()
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap()))
            .collect()
    }

    fn cleaned(text: &str, trust: Trust) -> (String, Option<HeaderValue>) {
        let mut headers = map(text);
        let upgrade = clean(&mut headers, Version::HTTP_11, trust);
        let mut left: Vec<String> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        left.sort();
        (left.join("\n"), upgrade)
    }

    #[test]
    fn fields_of_the_hop_end_here() {
        let text = "host: a\nconnection: x-mine, close, host\nx-mine: 1\nkeep-alive: 5\nte: gzip, trailers\n\
                    transfer-encoding: chunked\nproxy-authorization: b\nauthorization: c\nexpect: 100-continue\n\
                    trailer: x-sum\nx-other: 2";
        let left = "authorization: c\nhost: a\nte: trailers\ntrailer: x-sum\nx-other: 2";
        assert_eq!(cleaned(text, Trust::Inside), (left.to_owned(), None));
        assert_eq!(cleaned("te: gzip", Trust::Inside), (String::new(), None));
    }

    #[test]
    fn claims_from_outside_are_dropped_those_from_inside_are_kept() {
        let text = "forwarded: for=1\nx-forwarded-for: 1\nx-forwarded-prefix: /a\nx-isles-caller: admin\n\
                    x-isles-other: 1\nx-request-id: 1\ntraceparent: 1\ntracestate: 1\nx-kept: 1";
        assert_eq!(cleaned(text, Trust::Outside).0, "x-kept: 1");
        let mut all: Vec<&str> = text.lines().map(str::trim).collect();
        all.sort_unstable();
        assert_eq!(cleaned(text, Trust::Inside).0, all.join("\n"));
        assert_eq!(
            cleaned("x-isles-error: no_route\nx-isles-caller: a", Trust::Response).0,
            "x-isles-caller: a"
        );
    }

    #[test]
    fn an_upgrade_is_noticed_but_not_one_to_http_2() {
        let upgrade = cleaned("connection: keep-alive, Upgrade\nupgrade: websocket", Trust::Outside).1;
        assert_eq!(upgrade.unwrap(), "websocket");
        assert!(cleaned("upgrade: websocket", Trust::Outside).1.is_none());
        assert!(cleaned("connection: upgrade", Trust::Outside).1.is_none());
        assert!(cleaned("connection: upgrade\nupgrade: h2c", Trust::Outside).1.is_none());
    }

    #[test]
    fn grpc_is_told_from_grpc_web() {
        for (kind, grpc) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc; charset=x", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            assert_eq!(is_grpc(&map(&format!("content-type: {kind}"))), grpc, "{kind}");
        }
    }
}

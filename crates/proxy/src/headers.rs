//! What happens to header fields on the way through: hop by hop ones end here, false ones are dropped, ours are set.

use std::time::Duration;

use http::header::{self, Entry};
use http::{HeaderMap, HeaderName, HeaderValue, Version};

use crate::ids::Trace;

/// The number of the attempt, from 2 on: the hop before sends this request again.
pub(crate) const ATTEMPT: HeaderName = HeaderName::from_static("x-isles-attempt");
pub(crate) const CALLER: HeaderName = HeaderName::from_static("x-isles-caller");
pub(crate) const DEADLINE: HeaderName = HeaderName::from_static("x-isles-deadline");
pub(crate) const ERROR: HeaderName = HeaderName::from_static("x-isles-error");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// W3C Baggage, which travels with a trace.
const BAGGAGE: HeaderName = HeaderName::from_static("baggage");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// The longest request id that is taken over from a service, in bytes; a UUID has 36.
const LONGEST_ID: usize = 200;
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

/// Removes from trailers what only a head may say: where a message goes and ends, who asks, and what is of one hop
/// (RFC 9110, 6.5.1). Readers that merge trailers into the head would believe it.
pub(crate) fn clean_trailers(trailers: &mut HeaderMap, trust: Trust) {
    // In both directions nothing about identity is a trailer, whoever sends it.
    let trust = if trust == Trust::Inside { Trust::Outside } else { trust };
    let is_bad = |name: &HeaderName| {
        *name == header::HOST || *name == header::CONTENT_LENGTH || is_dropped(name, trust)
    };
    let doomed: Vec<HeaderName> = trailers.keys().filter(|name| is_bad(name)).cloned().collect();
    for name in doomed {
        trailers.remove(name);
    }
}

/// Puts the pieces of `Cookie` together, which HTTP/2 may split and HTTP/1.1 may not (RFC 9113, 8.2.3).
pub(crate) fn join_cookies(headers: &mut HeaderMap) {
    let mut pieces = headers.get_all(header::COOKIE).iter();
    if let (Some(_), Some(_)) = (pieces.next(), pieces.next()) {
        let pieces: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
        if let Ok(whole) = HeaderValue::from_bytes(&pieces.join(&b"; "[..])) {
            headers.insert(header::COOKIE, whole);
        }
    }
}

/// Says again that the connection is to change its protocol, which [`clean`] took off.
pub(crate) fn set_upgrade(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, protocol);
}

/// Takes off what is for services of the app alone, and the trace where it is not to be told either.
pub(crate) fn keep_home(headers: &mut HeaderMap, trace: bool) {
    let ours = |name: &HeaderName| {
        name.as_str().starts_with("x-isles-")
            || (!trace
                && (*name == TRACEPARENT || *name == TRACESTATE || *name == REQUEST_ID || *name == BAGGAGE))
    };
    let doomed: Vec<HeaderName> = headers.keys().filter(|name| ours(name)).cloned().collect();
    for name in doomed {
        headers.remove(name);
    }
}

/// Sets where a request from outside came from.
pub(crate) fn set_origin(headers: &mut HeaderMap, client: &HeaderValue, secure: bool) {
    headers.insert(FORWARDED_FOR, client.clone());
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(if secure { "https" } else { "http" }));
    if let Some(host) = headers.get(header::HOST).cloned() {
        headers.insert(FORWARDED_HOST, host);
    }
}

/// Sets trace and request id: continues those that are there and make sense. `sample` decides whether a new trace is recorded.
pub(crate) fn set_trace(headers: &mut HeaderMap, sample: impl FnOnce() -> bool) -> Trace {
    let trace = Trace::of(headers).unwrap_or_else(|| {
        // A state without its trace says nothing.
        headers.remove(TRACESTATE);
        Trace::new(sample())
    });
    headers.insert(TRACEPARENT, trace.header());
    match headers.entry(REQUEST_ID) {
        Entry::Vacant(vacant) => {
            vacant.insert(crate::ids::request_id());
        }
        // It goes into every log on the way.
        Entry::Occupied(mut given) if given.get().len() > LONGEST_ID => {
            given.insert(crate::ids::request_id());
        }
        Entry::Occupied(_) => {}
    }
    trace
}

/// The time that the caller still has: what the data plane told it, or what its own gRPC library says.
pub(crate) fn time_left(headers: &HeaderMap, trust: Trust) -> Option<Duration> {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let told = text(&DEADLINE).filter(|_| trust == Trust::Inside).and_then(|text| text.parse().ok());
    let told = told.map(Duration::from_millis);
    let own = text(&GRPC_TIMEOUT).and_then(parse_grpc_timeout);
    [told, own].into_iter().flatten().min()
}

/// Tells the next hop how much time it has: in our own way unless it is outside, and in the way of gRPC.
pub(crate) fn set_time_left(headers: &mut HeaderMap, left: Duration, inside: bool, grpc: bool) {
    let millis = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
    if inside {
        headers.insert(DEADLINE, HeaderValue::from(millis));
    }
    if grpc {
        // At most eight digits.
        let short = if millis < 100_000_000 {
            format!("{millis}m")
        } else {
            format!("{}S", (millis / 1000).min(99_999_999))
        };
        if let Ok(value) = HeaderValue::try_from(short) {
            headers.insert(GRPC_TIMEOUT, value);
        }
    }
}

fn parse_grpc_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(amount * 3600)),
        "M" => Some(Duration::from_secs(amount * 60)),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
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
        matches!(text, "traceparent" | "tracestate" | "baggage" | "x-request-id" | "forwarded" | "x-real-ip")
            || text.starts_with("x-isles-")
            || text.starts_with("x-forwarded-")
    };
    // The first letter rules out nearly every field.
    match text.as_bytes().first() {
        Some(b'b' | b'c' | b'k' | b'p' | b't' | b'u' | b'h' | b'x' | b'f' | b'e') => {}
        _ => return false,
    }
    if trust != Trust::Response && text.contains('_') {
        // CGI and its heirs (WSGI, Rack) read `_` as `-`: what may not be said in one spelling may not be in the other.
        let spelt = text.replace('_', "-");
        let framing = matches!(spelt.as_str(), "host" | "content-length" | "transfer-encoding");
        let forged = spelt.starts_with("x-isles-");
        let hyphenated = HeaderName::try_from(spelt);
        return framing || forged || hyphenated.is_ok_and(|name| is_dropped(&name, trust));
    }
    match trust {
        // The expectation is met here: the body is asked for when a replica takes it.
        Trust::Outside => hop() || text == "expect" || claimed(),
        Trust::Inside => hop() || text == "expect",
        // What a replica says of itself as a proxy, or in our name, is not so.
        Trust::Response => {
            hop()
                || matches!(text, "proxy-authenticate" | "proxy-authentication-info")
                || text.starts_with("x-isles-")
        }
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
    fn underscores_do_not_get_a_claim_through() {
        let text = "x_isles_caller: admin\nx-isles_caller: admin\ncontent_length: 5\ntransfer_encoding: chunked\n\
                    x_forwarded_for: 1\nx_mine: 1\npage_size: 5";
        assert_eq!(cleaned(text, Trust::Outside).0, "page_size: 5\nx_mine: 1");
        assert_eq!(cleaned(text, Trust::Inside).0, "page_size: 5\nx_forwarded_for: 1\nx_mine: 1");
        assert_eq!(cleaned("x_isles_error: a", Trust::Response).0, "x_isles_error: a");
    }

    #[test]
    fn trailers_say_nothing_that_only_a_head_may_say() {
        let text = "x-sum: 1\nhost: a\ncontent-length: 3\ntransfer-encoding: chunked\nconnection: x-sum\n\
                    x-isles-caller: admin\nx-isles-error: a\nx-forwarded-for: 1\ntraceparent: 1\ngrpc-status: 0";
        for (trust, left) in [
            (Trust::Outside, "grpc-status x-sum"),
            (Trust::Inside, "grpc-status x-sum"),
            (Trust::Response, "grpc-status traceparent x-forwarded-for x-sum"),
        ] {
            let mut trailers = map(text);
            clean_trailers(&mut trailers, trust);
            let mut names: Vec<&str> = trailers.keys().map(HeaderName::as_str).collect();
            names.sort_unstable();
            assert_eq!(names.join(" "), left, "{trust:?}");
        }
    }

    #[test]
    fn pieces_of_a_cookie_become_one() {
        for (text, joined) in [
            ("a: 1", "a: 1"),
            ("cookie: a=b", "cookie: a=b"),
            ("cookie: a=b\ncookie: c=d; e\ncookie: f", "cookie: a=b; c=d; e; f"),
        ] {
            let mut headers = map(text);
            join_cookies(&mut headers);
            assert_eq!(headers, map(joined));
        }
    }

    #[test]
    fn claims_from_outside_are_dropped_those_from_inside_are_kept() {
        let text = "forwarded: for=1\nx-forwarded-for: 1\nx-forwarded-prefix: /a\nx-isles-caller: admin\n\
                    x-isles-other: 1\nx-request-id: 1\ntraceparent: 1\ntracestate: 1\nbaggage: 1\nx-real-ip: 1\n\
                    x-kept: 1";
        assert_eq!(cleaned(text, Trust::Outside).0, "x-kept: 1");
        let mut all: Vec<&str> = text.lines().map(str::trim).collect();
        all.sort_unstable();
        assert_eq!(cleaned(text, Trust::Inside).0, all.join("\n"));
        assert_eq!(
            cleaned(
                "x-isles-error: no_route\nx-isles-caller: a\nproxy-authenticate: Basic\nproxy-authentication-info: b\n\
                 proxy-status: c\nwww-authenticate: d\nx-forwarded-for: e",
                Trust::Response
            )
            .0,
            "proxy-status: c\nwww-authenticate: d\nx-forwarded-for: e"
        );
    }

    #[test]
    fn the_smaller_of_two_times_counts_and_from_outside_only_that_of_grpc() {
        let millis = |n| Some(Duration::from_millis(n));
        for (text, inside, outside) in [
            ("a: 1", None, None),
            ("x-isles-deadline: 70", millis(70), None),
            ("x-isles-deadline: 70\ngrpc-timeout: 1S", millis(70), millis(1000)),
            ("x-isles-deadline: 7000\ngrpc-timeout: 1M", millis(7000), millis(60_000)),
            ("x-isles-deadline: -1\ngrpc-timeout: 2H", millis(7_200_000), millis(7_200_000)),
            (
                "grpc-timeout: 99999999n",
                Some(Duration::from_nanos(99_999_999)),
                Some(Duration::from_nanos(99_999_999)),
            ),
            ("grpc-timeout: 5u", Some(Duration::from_micros(5)), Some(Duration::from_micros(5))),
            ("grpc-timeout: 999999999m", None, None),
            ("grpc-timeout: +5m", None, None),
            ("grpc-timeout: m", None, None),
            ("grpc-timeout: 5", None, None),
        ] {
            assert_eq!(time_left(&map(text), Trust::Inside), inside, "{text}");
            assert_eq!(time_left(&map(text), Trust::Outside), outside, "{text}");
        }
    }

    #[test]
    fn a_time_that_was_told_is_read_as_it_was_meant() {
        for millis in [0, 1, 99_999_999, 100_000_000, 3_600_000_000] {
            let left = Duration::from_millis(millis);
            let mut headers = HeaderMap::new();
            set_time_left(&mut headers, left, true, true);
            assert_eq!(time_left(&headers, Trust::Inside), Some(left));
            assert_eq!(time_left(&headers, Trust::Outside), Some(left), "of gRPC");
            set_time_left(&mut headers, Duration::MAX, true, true);
            assert!(time_left(&headers, Trust::Inside).is_some());
        }
    }

    #[test]
    fn a_request_id_of_any_length_is_not_taken_over() {
        for (given, kept) in [("a".repeat(200), true), ("a".repeat(201), false)] {
            let mut headers = map(&format!("x-request-id: {given}"));
            set_trace(&mut headers, || false);
            assert_eq!(headers[REQUEST_ID] == given, kept);
            assert!(headers[REQUEST_ID].len() <= 200);
        }
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

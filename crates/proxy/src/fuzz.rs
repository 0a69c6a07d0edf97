//! What reads bytes from outside, for fuzzing: each function takes any bytes and panics only on a bug. Not an interface.
//!
//! The targets are in `crates/proxy/fuzz`; `tests/it/wire/corpus.rs` sends their seeds through the same functions.

#![allow(clippy::panic, reason = "a fuzzer finds what panics")]

use std::time::Duration;

use futures_util::FutureExt;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, Version, header};
use model::ListenerKind;

use crate::compile::Compiler;
use crate::headers::{self, Trust};
use crate::link::{Reply, Request, frame};
use crate::route::{self, Found, Router};
use crate::{framing, identify, ids, retry};

/// Frames of the link, in both directions; a table that comes of it is compiled twice, as a change of it would be.
pub fn link(bytes: &[u8]) {
    let mut rest = bytes;
    // A slice never keeps a reader waiting.
    while let Some(Ok(Some(request))) = frame::read::<Request>(&mut rest).now_or_never() {
        if let Request::Apply { mut table } = request {
            table.listeners.iter_mut().for_each(|listener| without_files(&mut listener.kind));
            table.upstreams.values_mut().for_each(|upstream| upstream.shapes = None);
            let mut compiler = Compiler::new(2);
            let first = compiler.compile(&table, 1);
            let second = compiler.compile(&table, 2);
            assert_eq!(first.entries.len(), second.entries.len(), "compiled in two ways");
            assert!(
                first.entries.values().all(|entry| entry.lanes.iter().all(|lane| *lane < first.lanes.len()))
            );
        }
    }
    let mut rest = bytes;
    while let Some(Ok(Some(_))) = frame::read::<Reply>(&mut rest).now_or_never() {}
}

/// Certificates and logs are files and tasks, and the paths here are anybody's.
fn without_files(kind: &mut ListenerKind) {
    if let ListenerKind::Gateway { settings, .. } = kind {
        (settings.tls, settings.access_log) = (None, None);
    }
}

/// Header fields, one a line, as a request's, an answer's and trailers.
pub fn fields(bytes: &[u8]) {
    let mut all = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n').take(64) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            all.append(name, value);
        }
    }
    for trust in [Trust::Outside, Trust::Inside, Trust::Response] {
        let mut fields = all.clone();
        headers::clean(&mut fields, Version::HTTP_11, trust);
        for gone in ["connection", "keep-alive", "transfer-encoding", "upgrade", "proxy-authorization"] {
            assert!(!fields.contains_key(gone), "{gone} passed: {all:?}");
        }
        for kept in [header::HOST, header::CONTENT_LENGTH] {
            assert_eq!(all.contains_key(&kept), fields.contains_key(&kept), "{kept}: {all:?}");
        }
        let forged = |name: &HeaderName| name.as_str().replace('_', "-").starts_with("x-isles-");
        assert!(trust != Trust::Outside || !fields.keys().any(forged), "a claim passed: {all:?}");
        let mut trailers = all.clone();
        headers::clean_trailers(&mut trailers, trust);
        assert!(!trailers.contains_key(header::CONTENT_LENGTH) && !trailers.contains_key(header::HOST));
    }
    let left = headers::time_left(&all, Trust::Inside);
    headers::set_time_left(&mut all, left.unwrap_or(Duration::MAX), true, true);
    assert!(headers::time_left(&all, Trust::Inside).is_some(), "a time of ours is not read: {all:?}");
    let trace = headers::set_trace(&mut all, || true);
    let next = ids::Trace::of(&all).unwrap_or_else(|| panic!("a trace of ours is not followed: {all:?}"));
    assert_eq!(next.is_sampled(), trace.is_sampled(), "{all:?}");
    headers::is_grpc(&all);
    headers::join_cookies(&mut all);
    let mut sized = all.clone();
    if framing::settle(&mut sized, Some(1)).is_ok() {
        assert!(sized.get_all(header::CONTENT_LENGTH).iter().count() <= 1, "{all:?}");
    }
    if framing::settle(&mut all, None).is_ok() {
        let both = all.contains_key(header::CONTENT_LENGTH) && all.contains_key(header::TRANSFER_ENCODING);
        assert!(!both && all.get_all(header::COOKIE).iter().count() <= 1, "{all:?}");
    }
    let mut answer = Response::new(());
    *answer.headers_mut() = all;
    *answer.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
    assert!(retry::unavailable(&answer).is_some());
}

/// A target, header fields, an empty line and a body: held to a contract as a request, and as an answer.
pub fn message(bytes: &[u8]) {
    crate::conformance::probe::probe(bytes);
}

/// A target and a host, in two lines.
pub fn target(bytes: &[u8]) {
    let mut lines = bytes.splitn(2, |byte| *byte == b'\n');
    let (path, host) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let host = std::str::from_utf8(host).unwrap_or_default();
    if identify::is_host(host.as_bytes()) {
        let name = route::host_of(host);
        assert!(!name.is_empty() && host.starts_with(name), "{host:?} has the name {name:?}");
        assert!(name.starts_with('[') || !name.contains(':'), "{host:?} has the name {name:?}");
    }
    let Ok(path) = PathAndQuery::try_from(path) else { return };
    assert_eq!(route::has_dot_segment(path.path()), has_dot_segment(path.path()), "{path}");
    let declared = |prefix: &str| model::Route {
        path: prefix.to_owned(),
        host: None,
        methods: Vec::new(),
        // A name that is one.
        service: "s".parse().unwrap_or_else(|_| unreachable!()),
        strip: true,
        timeout: None,
        rate_limit: None,
        max_body: None,
        enforce_contract: false,
    };
    let compile = |(lane, path): (_, &&str)| {
        let counters = std::sync::Arc::new(crate::counters::Counters::new(1));
        route::compile(&declared(path), lane, u64::MAX, None, counters)
    };
    let routes = ["/", "/a", "/a/b"].iter().enumerate().map(compile);
    if let Found::Route(found) = Router::new(routes.collect()).find(path.path(), host, &Method::GET) {
        let rest = route::without_prefix(Some(path.clone()), &found.path);
        let rest = rest.unwrap_or_else(|| panic!("{path} was routed and cannot be passed on"));
        assert!(
            found.path.is_empty() || (rest.path().starts_with('/') && !rest.as_str().starts_with("//")),
            "{rest}"
        );
    }
}

/// The same question as [`route::has_dot_segment`], answered by decoding and splitting.
fn has_dot_segment(path: &str) -> bool {
    let mut text = path.to_owned();
    for (code, plain) in [("%2e", "."), ("%2f", "/"), ("%5c", "/"), ("%3b", ";"), ("\\", "/")] {
        text = text.replace(code, plain).replace(&code.to_uppercase(), plain);
    }
    text.split('/')
        .map(|segment| segment.split(';').next())
        .any(|segment| matches!(segment, Some("." | "..")))
}

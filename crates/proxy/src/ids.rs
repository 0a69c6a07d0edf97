//! Request ids and W3C trace context.

use std::fmt::Write;
use std::time::SystemTime;

use http::{HeaderMap, HeaderValue};

const TRACEPARENT: &str = "traceparent";

/// A new request id: a UUID of version 7, which sorts by time.
///
/// Its random part is not from the system's generator, which would cost a system call per request: it is a name, not
/// a secret.
pub(crate) fn request_id() -> HeaderValue {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let millis = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    let mut random = [0; 10];
    fastrand::fill(&mut random);
    let uuid = uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
    let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
    visible(uuid.hyphenated().encode_lower(&mut text))
}

/// The first `traceparent` of a new trace.
pub(crate) fn new_trace() -> HeaderValue {
    let trace = (u128::from(fastrand::u64(1..)) << 64) | u128::from(fastrand::u64(..));
    let mut text = String::with_capacity(55);
    // Writing to a string cannot fail.
    let _ = write!(text, "00-{trace:032x}-{:016x}-01", fastrand::u64(1..));
    visible(&text)
}

/// The `traceparent` for the next hop: the same trace, a new span. None if there is none that is well formed.
pub(crate) fn next_span(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut all = headers.get_all(TRACEPARENT).iter();
    let (Some(value), None) = (all.next(), all.next()) else { return None };
    let (trace, flags) = parse(value.to_str().ok()?)?;
    let mut text = String::with_capacity(55);
    let _ = write!(text, "00-{trace}-{:016x}-{flags}", fastrand::u64(1..));
    Some(visible(&text))
}

/// Trace id and flags of a `traceparent`.
fn parse(text: &str) -> Option<(&str, &str)> {
    let hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let mut parts = text.splitn(5, '-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    // A later version may have more parts, this one may not.
    let well_formed = hex(version, 2)
        && version != "ff"
        && (parts.next().is_none() || version != "00")
        && hex(trace, 32)
        && hex(span, 16)
        && hex(flags, 2);
    let non_zero = |part: &str| part.bytes().any(|b| b != b'0');
    (well_formed && non_zero(trace) && non_zero(span)).then_some((trace, flags))
}

fn visible(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_uuids_of_version_7_and_differ() {
        let (a, b) = (request_id(), request_id());
        assert_ne!(a, b);
        let id: uuid::Uuid = a.to_str().unwrap().parse().unwrap();
        assert_eq!(id.get_version_num(), 7);
    }

    #[test]
    fn traces_are_kept_and_spans_are_new() {
        let first = new_trace();
        let mut headers = HeaderMap::new();
        assert!(next_span(&headers).is_none());
        headers.insert(TRACEPARENT, first.clone());
        let next = next_span(&headers).unwrap();
        let (a, b) = (first.to_str().unwrap(), next.to_str().unwrap());
        assert_eq!((&a[..36], &a[52..]), (&b[..36], &b[52..]));
        assert_ne!(a[36..52], b[36..52]);
        headers.append(TRACEPARENT, first);
        assert!(next_span(&headers).is_none(), "two are ambiguous");
    }

    #[test]
    fn what_is_malformed_is_not_followed() {
        let (trace, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        assert!(parse(&format!("00-{trace}-{span}-01")).is_some());
        assert!(parse(&format!("cc-{trace}-{span}-01-more")).is_some());
        for bad in [
            String::new(),
            format!("00-{trace}-{span}"),
            format!("00-{trace}-{span}-01-more"),
            format!("ff-{trace}-{span}-01"),
            format!("00-{}-{span}-01", trace.to_uppercase()),
            format!("00-{}-{span}-01", "0".repeat(32)),
            format!("00-{trace}-{}-01", "0".repeat(16)),
            format!("00-{trace}-{span}-0é"),
        ] {
            assert!(parse(&bad).is_none(), "{bad}");
        }
    }
}

//! Request ids and W3C trace context.

use std::time::SystemTime;

use http::{HeaderMap, HeaderValue};
use model::{SpanId, TraceId};

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

/// A request's place in its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trace {
    pub id: TraceId,
    /// The span of the caller, if there is one.
    pub parent: Option<SpanId>,
    /// The span of this hop, under which those of the next one hang.
    pub span: SpanId,
    flags: u8,
}

/// The flag that says that the caller may have recorded the trace.
const SAMPLED: u8 = 1;

impl Trace {
    /// A new trace.
    pub(crate) fn new(sampled: bool) -> Self {
        let id = (u128::from(fastrand::u64(1..)) << 64) | u128::from(fastrand::u64(..));
        Self { id: TraceId(id), parent: None, span: new_span(), flags: if sampled { SAMPLED } else { 0 } }
    }

    /// The trace of a request, one span further. None if its `traceparent` is missing, doubled or not well formed.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut all = headers.get_all(TRACEPARENT).iter();
        let (Some(value), None) = (all.next(), all.next()) else { return None };
        let (id, parent, flags) = parse(value.to_str().ok()?)?;
        Some(Self { id, parent: Some(parent), span: new_span(), flags })
    }

    pub(crate) fn is_sampled(self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The `traceparent` for the next hop.
    pub(crate) fn header(self) -> HeaderValue {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        hex(&mut text[3..35], self.id.0);
        hex(&mut text[36..52], self.span.0.into());
        hex(&mut text[53..55], self.flags.into());
        HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
    }
}

fn new_span() -> SpanId {
    SpanId(fastrand::u64(1..))
}

/// Writes the lowest digits of a number.
fn hex(text: &mut [u8], mut number: u128) {
    for digit in text.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 15) as usize];
        number >>= 4;
    }
}

/// Trace id, span id and flags of a `traceparent`.
fn parse(text: &str) -> Option<(TraceId, SpanId, u8)> {
    let hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let mut parts = text.splitn(5, '-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    // A later version may have more parts, this one may not.
    let well_formed =
        hex(version, 2) && version != "ff" && (parts.next().is_none() || version != "00") && hex(flags, 2);
    let flags = u8::from_str_radix(flags, 16).ok()?;
    if !well_formed {
        return None;
    }
    Some((trace.parse().ok()?, span.parse().ok()?, flags))
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
        for sampled in [true, false] {
            let first = Trace::new(sampled);
            let mut headers = HeaderMap::new();
            assert!(Trace::of(&headers).is_none());
            headers.insert(TRACEPARENT, first.header());
            let next = Trace::of(&headers).unwrap();
            assert_eq!((next.id, next.parent, next.is_sampled()), (first.id, Some(first.span), sampled));
            assert_ne!(next.span, first.span);
            headers.append(TRACEPARENT, first.header());
            assert!(Trace::of(&headers).is_none(), "two are ambiguous");
        }
    }

    #[test]
    fn a_header_is_written_in_full() {
        let trace = Trace { id: TraceId(0xabc), parent: None, span: SpanId(0x1f), flags: 3 };
        assert_eq!(trace.header(), "00-00000000000000000000000000000abc-000000000000001f-03");
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

//! Where a body ends, as its head says.

use http::{HeaderMap, HeaderValue, header};

/// The body is framed in a way that the next reader might read otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unclear {
    /// It has a transfer coding beside chunked, or one that is said in several fields.
    Coded,
    /// It has lengths that differ, or that are no numbers.
    Lengths,
}

/// Looks at how a body is framed. Only where its `length` is not known can there be a transfer coding; a
/// `Content-Length` beside that is wrong, and is taken off (RFC 9112, 6.3).
///
/// hyper takes `chunked` off the wire, and only that: of any other coding the next reader would not learn.
pub(crate) fn settle(headers: &mut HeaderMap, length: Option<u64>) -> Result<(), Unclear> {
    if length.is_some() {
        return settle_length(headers);
    }
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") => {
            headers.remove(header::CONTENT_LENGTH);
            Ok(())
        }
        _ => Err(Unclear::Coded),
    }
}

/// A length that is said several times is said once (RFC 9110, 8.6).
fn settle_length(headers: &mut HeaderMap) -> Result<(), Unclear> {
    let is_number = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let mut all = headers.get_all(header::CONTENT_LENGTH).iter();
    match (all.next(), all.next()) {
        (None, _) => return Ok(()),
        (Some(only), None) if is_number(only.as_bytes()) => return Ok(()),
        _ => {}
    }
    let all = headers.get_all(header::CONTENT_LENGTH).iter();
    let mut said = all.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    let first = said.next().unwrap_or_default();
    if !is_number(first) || said.any(|other| other != first) {
        return Err(Unclear::Lengths);
    }
    let once = HeaderValue::from_bytes(first).map_err(|_| Unclear::Lengths)?;
    headers.insert(header::CONTENT_LENGTH, once);
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    #[test]
    fn chunked_is_the_only_coding_and_has_no_length_beside_it() {
        for (fields, settled) in [
            (&[][..], Ok(0)),
            (&[("content-length", "5")][..], Ok(1)),
            (&[("transfer-encoding", "chunked")], Ok(0)),
            (&[("transfer-encoding", " Chunked "), ("content-length", "5")], Ok(0)),
            (&[("transfer-encoding", "gzip, chunked")], Err(Unclear::Coded)),
            (&[("transfer-encoding", "chunked, chunked")], Err(Unclear::Coded)),
            (&[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")], Err(Unclear::Coded)),
            (&[("transfer-encoding", "")], Err(Unclear::Coded)),
        ] {
            let pairs = fields.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)));
            let mut headers: HeaderMap = pairs.collect();
            let lengths =
                settle(&mut headers, None).map(|()| headers.get_all("content-length").iter().count());
            assert_eq!(lengths, settled, "{fields:?}");
        }
    }

    #[test]
    fn a_length_is_said_once() {
        for (said, settled) in [
            (&[][..], Ok(None)),
            (&["5"][..], Ok(Some("5"))),
            (&["5", "5"], Ok(Some("5"))),
            (&["5, 5", "5"], Ok(Some("5"))),
            (&["5, 6"], Err(Unclear::Lengths)),
            (&["5", "05"], Err(Unclear::Lengths)),
            (&["+5"], Err(Unclear::Lengths)),
            (&[""], Err(Unclear::Lengths)),
            (&["5,"], Err(Unclear::Lengths)),
        ] {
            let lengths = said.iter().map(|text| (header::CONTENT_LENGTH, HeaderValue::from_static(text)));
            let mut headers: HeaderMap = lengths.collect();
            let result = settle(&mut headers, Some(5));
            let all: Vec<_> = headers.get_all(header::CONTENT_LENGTH).iter().collect();
            assert_eq!(
                result.clone().map(|()| all.first().map(|v| v.to_str().unwrap())),
                settled,
                "{said:?}"
            );
            assert!(result.is_err() || all.len() <= 1, "{said:?}");
        }
    }
}

//! The signature of a webhook: HMAC-SHA256 over `timestamp.body`, in the header `Shop-Signature: t=…,v1=…`.
//! The timestamp is that of the sending, so an old message that was recorded cannot be sent again.

use std::fmt::Write as _;

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// The header that carries the signature.
pub const HEADER: &str = "Shop-Signature";
/// How far the timestamp may be from the receiver's clock, either way.
pub const TOLERANCE_SECONDS: i64 = 300;

/// Why a message must not be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadSignature {
    /// The header is not `t=…,v1=…`.
    #[error("the signature header is malformed")]
    Malformed,
    /// The timestamp is too far from now.
    #[error("the signature is too old, or from the future")]
    OutOfTolerance,
    /// The body is not what was signed, or another secret signed it.
    #[error("the signature does not match the body")]
    Mismatch,
}

/// The header's value for `body`, sent at `timestamp` (Unix seconds).
#[must_use]
pub fn sign(secret: &[u8], timestamp: i64, body: &[u8]) -> String {
    let digest = mac(secret, timestamp, body).map(|mac| mac.finalize().into_bytes());
    let mut header = format!("t={timestamp},v1=");
    for byte in digest.iter().flatten() {
        // Writing to a String cannot fail.
        let _ = write!(header, "{byte:02x}");
    }
    header
}

/// Checks a header's value against the body that came with it. `now` is Unix seconds. A header may hold several
/// `v1`, while a secret is being changed: one that matches is enough.
///
/// # Errors
/// Why the message must not be believed.
pub fn verify(secret: &[u8], header: &str, body: &[u8], now: i64) -> Result<(), BadSignature> {
    let (mut timestamp, mut signatures) = (None, Vec::new());
    for part in header.split(',') {
        match part.trim().split_once('=') {
            Some(("t", seconds)) => timestamp = seconds.parse::<i64>().ok(),
            Some(("v1", hex)) => signatures.push(decode(hex).ok_or(BadSignature::Malformed)?),
            Some(_) => {}
            None => return Err(BadSignature::Malformed),
        }
    }
    let timestamp = timestamp.ok_or(BadSignature::Malformed)?;
    if signatures.is_empty() {
        return Err(BadSignature::Malformed);
    }
    if now.abs_diff(timestamp) > TOLERANCE_SECONDS.unsigned_abs() {
        return Err(BadSignature::OutOfTolerance);
    }
    // The comparison takes the same time wherever the first difference is.
    let matches = |signature: &Vec<u8>| {
        mac(secret, timestamp, body).is_some_and(|mac| mac.verify_slice(signature).is_ok())
    };
    if signatures.iter().any(matches) { Ok(()) } else { Err(BadSignature::Mismatch) }
}

/// `None` never happens: HMAC takes a key of any length.
fn mac(secret: &[u8], timestamp: i64, body: &[u8]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
    mac.update(timestamp.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    Some(mac)
}

fn decode(hex: &str) -> Option<Vec<u8>> {
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    (0..64).step_by(2).map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"whsec_test";
    const BODY: &[u8] = br#"{"id":"evt_1"}"#;

    #[test]
    fn a_signature_is_the_documented_hmac() {
        // printf '1700000000.{"id":"evt_1"}' | openssl dgst -sha256 -hmac whsec_test
        let expected = "c89214b5b5da833daed6f0b8c5bb6bd58cea9022bd80ccc78230f3942d632925";
        assert_eq!(sign(SECRET, 1_700_000_000, BODY), format!("t=1700000000,v1={expected}"));
    }

    #[test]
    fn what_was_signed_is_believed_within_tolerance() {
        let header = sign(SECRET, 1000, BODY);
        for now in [700, 1000, 1300] {
            assert_eq!(verify(SECRET, &header, BODY, now), Ok(()), "{now}");
        }
        for now in [699, 1301, i64::MAX, i64::MIN] {
            assert_eq!(verify(SECRET, &header, BODY, now), Err(BadSignature::OutOfTolerance), "{now}");
        }
    }

    #[test]
    fn any_change_is_noticed() {
        let header = sign(SECRET, 1000, BODY);
        assert_eq!(verify(SECRET, &header, b"{}", 1000), Err(BadSignature::Mismatch));
        assert_eq!(verify(b"other", &header, BODY, 1000), Err(BadSignature::Mismatch));
        let later = header.replace("t=1000", "t=1001");
        assert_eq!(verify(SECRET, &later, BODY, 1000), Err(BadSignature::Mismatch));
    }

    #[test]
    fn one_of_several_signatures_is_enough() {
        let (old, new) = (sign(b"old", 1000, BODY), sign(SECRET, 1000, BODY));
        let header = format!("{old},{}", new.trim_start_matches("t=1000,"));
        assert_eq!(verify(SECRET, &header, BODY, 1000), Ok(()));
    }

    #[test]
    fn nonsense_is_malformed_and_never_a_panic() {
        let long = format!("t=1,v1={}", "é".repeat(32));
        for header in ["", "t", "t=1", "v1=00", "t=x,v1=00", "t=1,v1=zz", "t=1,v1=é", "=,=", long.as_str()] {
            assert_eq!(verify(SECRET, header, BODY, 1), Err(BadSignature::Malformed), "{header}");
        }
    }
}

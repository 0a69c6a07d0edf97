//! A certificate chain with its key, from PEM to what a handshake uses.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_cert::der::Decode;

/// A pair that can be served, and until when.
#[derive(Debug)]
pub(crate) struct Pair {
    pub certified: CertifiedKey,
    pub ends: SystemTime,
    pub begins: SystemTime,
}

/// Reads a chain and a key, and proves that they belong together.
///
/// # Errors
/// What is wrong, in words.
pub(crate) fn read(chain: &[u8], key: &[u8]) -> Result<Pair, String> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("the certificate is not PEM: {error}"))?;
    let leaf = chain.first().ok_or("there is no certificate in PEM form in the file")?;
    let (begins, ends) = validity(leaf)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| format!("the key is not PEM: {error}"))?;
    let certified =
        CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => "the key does not belong to the certificate".to_owned(),
            other => format!("certificate and key cannot be used: {other}"),
        })?;
    Ok(Pair { certified, ends, begins })
}

fn validity(leaf: &CertificateDer<'_>) -> Result<(SystemTime, SystemTime), String> {
    let parsed = x509_cert::Certificate::from_der(leaf)
        .map_err(|error| format!("the certificate cannot be read: {error}"))?;
    let validity = parsed.tbs_certificate.validity;
    let at = |time: x509_cert::time::Time| UNIX_EPOCH + time.to_unix_duration();
    Ok((at(validity.not_before), at(validity.not_after)))
}

impl Pair {
    /// What clients will say about its time, if they will.
    pub(crate) fn complaint(&self, now: SystemTime) -> Option<String> {
        const SOON: Duration = Duration::from_secs(7 * 86_400);
        match self.ends.duration_since(now) {
            Err(_) => Some("the certificate has expired: clients refuse it".to_owned()),
            Ok(left) if left < SOON && self.lifetime() > SOON * 2 => {
                Some(format!("the certificate expires in {} hours", left.as_secs() / 3600))
            }
            Ok(_) => None,
        }
    }

    /// How long it is valid altogether.
    pub(crate) fn lifetime(&self) -> Duration {
        self.ends.duration_since(self.begins).unwrap_or_default()
    }
}

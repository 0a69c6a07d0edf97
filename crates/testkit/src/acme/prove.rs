//! Looking whether a host shows the proof of tls-alpn-01 (RFC 8737, 3).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const PROTOCOL: &[u8] = b"acme-tls/1";
/// id-pe-acmeIdentifier, 1.3.6.1.5.5.7.1.31, as DER with its critical flag and the header of a string of 32 bytes in another.
const EXTENSION: &[u8] =
    &[0x06, 0x08, 0x2b, 6, 1, 5, 5, 7, 1, 0x1f, 0x01, 0x01, 0xff, 0x04, 0x22, 0x04, 0x20];

/// Connects to `address` and asks for `host`.
///
/// # Errors
/// What is missing.
pub async fn look(address: SocketAddr, host: &str, key_authorization: &str) -> Result<(), String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anything(provider)))
        .with_no_client_auth();
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
    let shaking = async {
        let stream = TcpStream::connect(address).await?;
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    };
    let shaken = tokio::time::timeout(Duration::from_secs(5), shaking).await;
    let stream = shaken.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    let session = stream.get_ref().1;
    if session.alpn_protocol() != Some(PROTOCOL) {
        return Err("acme-tls/1 was not agreed on".to_owned());
    }
    let certificate = session.peer_certificates().and_then(<[_]>::first).ok_or("no certificate")?;
    let digest = ring::digest::digest(&ring::digest::SHA256, key_authorization.as_bytes());
    let wanted = [EXTENSION, digest.as_ref()].concat();
    if !certificate.windows(wanted.len()).any(|window| window == wanted) {
        return Err("the certificate does not have the right acmeIdentifier".to_owned());
    }
    if !certificate.windows(host.len()).any(|window| window == host.as_bytes()) {
        return Err("the certificate is not for this host".to_owned());
    }
    Ok(())
}

/// A proof is signed by nobody but itself. What counts is the digest in it, which only the account's holder can make.
#[derive(Debug)]
struct Anything(Arc<CryptoProvider>);

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    // webpki reads no certificate with a critical extension that it does not know, and this one has one.
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

//! TLS to systems outside: whom to trust, and what to offer to speak (ALPN, RFC 7301).

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::outbound::Speech;

/// How connections to one system are secured.
pub(crate) struct Tls {
    name: ServerName<'static>,
    http1: TlsConnector,
    http2: TlsConnector,
    either: TlsConnector,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tls({:?})", self.name)
    }
}

impl Tls {
    /// For the host of this name, whose certificate must be signed by one of `roots`.
    pub(crate) fn new(host: &str, roots: Arc<RootCertStore>) -> Result<Self, String> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| format!("`{host}` is not a name that a certificate can have"))?;
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let offer = |protocols: &[&[u8]]| {
            let mut config = config.clone();
            config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
            TlsConnector::from(Arc::new(config))
        };
        let (http1, http2) = (b"http/1.1".as_slice(), b"h2".as_slice());
        Ok(Self { name, http1: offer(&[http1]), http2: offer(&[http2]), either: offer(&[http2, http1]) })
    }

    /// Secures a connection on which this is to be spoken.
    pub(crate) async fn connect(&self, tcp: TcpStream, speech: Speech) -> io::Result<TlsStream<TcpStream>> {
        let connector = match speech {
            Speech::Http1 => &self.http1,
            Speech::Http2 => &self.http2,
            Speech::Negotiated => &self.either,
        };
        let stream = connector.connect(self.name.clone(), tcp).await?;
        if speech == Speech::Http2 && !agreed_on_h2(&stream) {
            return Err(io::Error::other("it does not speak HTTP/2"));
        }
        Ok(stream)
    }
}

/// Whether both sides agreed to speak HTTP/2.
pub(crate) fn agreed_on_h2(stream: &TlsStream<TcpStream>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(b"h2")
}

/// What the system trusts.
pub(crate) fn system_roots() -> Result<Arc<RootCertStore>, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // A system's store may have certificates that nothing here can read; those of others still count.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
        return Err(format!(
            "this system trusts no certificate (on Debian, install `ca-certificates`), or name one with `ca`{why}"
        ));
    }
    Ok(Arc::new(roots))
}

/// The certificates in the text of a PEM file.
pub(crate) fn roots_in(pem: &[u8], path: &Path) -> Result<Arc<RootCertStore>, String> {
    let path = path.display();
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| format!("{path} is not PEM: {error}"))?;
        roots.add(certificate).map_err(|error| format!("{path} holds no usable certificate: {error}"))?;
    }
    if roots.is_empty() {
        return Err(format!("{path} holds no certificate"));
    }
    Ok(Arc::new(roots))
}

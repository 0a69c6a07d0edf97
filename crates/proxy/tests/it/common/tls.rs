//! Certificates, and clients that check them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use model::{GatewaySettings, TlsSource};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Body, Response};

/// An authority whose certificates are trusted.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub root: CertificateDer<'static>,
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).unwrap().der().clone();
        Self { issuer: Issuer::new(params, key), root }
    }

    /// Chain and key for a host, PEM.
    pub fn issue(&self, host: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// A client that trusts it and speaks these protocols.
    pub fn client(&self, protocols: &[&str]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}

/// The two files of a gateway, and settings that name them.
pub struct Files {
    pub cert: PathBuf,
    pub key: PathBuf,
    _folder: tempfile::TempDir,
}

impl Files {
    pub fn new((cert, key): (String, String)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = Self {
            cert: folder.path().join("cert.pem"),
            key: folder.path().join("key.pem"),
            _folder: folder,
        };
        files.write((cert, key));
        files
    }

    pub fn write(&self, (cert, key): (String, String)) {
        std::fs::write(&self.cert, cert).unwrap();
        std::fs::write(&self.key, key).unwrap();
    }

    pub fn settings(&self) -> GatewaySettings {
        let tls = TlsSource::Files { cert: self.cert.clone(), key: self.key.clone() };
        GatewaySettings { tls: Some(tls), ..GatewaySettings::default() }
    }
}

pub async fn shake(
    address: SocketAddr,
    client: &Arc<ClientConfig>,
    host: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(host.to_owned()).unwrap();
    TlsConnector::from(Arc::clone(client)).connect(name, stream).await
}

/// The certificate that a server shows.
pub async fn shown(address: SocketAddr, client: &Arc<ClientConfig>, host: &str) -> CertificateDer<'static> {
    let stream = shake(address, client, host).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

/// One request over TLS, in HTTP/2 if that is agreed on; what was agreed on, and the answer.
pub async fn fetch_tls(
    address: SocketAddr,
    client: &Arc<ClientConfig>,
    request: http::Request<Body>,
) -> (Option<Vec<u8>>, Response<Incoming>) {
    let stream = shake(address, client, "app.example").await.unwrap();
    let agreed = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
    let io = TokioIo::new(stream);
    let response = if agreed.as_deref() == Some(b"h2") {
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    } else {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    };
    (agreed, response)
}

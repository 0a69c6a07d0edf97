//! TLS at the gateway: certificates that can change while connections go on.
//!
//! A listener has one rustls configuration for its whole life. What changes is behind it: the certificate, which each
//! handshake takes from one atomic pointer. A task on the coordinator's thread keeps it up to date, from
//! [`files`] or from an authority ([`acme`]); no handshake and no request waits for that.

mod acme;
mod certificate;
mod files;
mod store;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};
use model::TlsSource;
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, crypto};
use tracing::{info, warn};

/// The protocol in which an authority asks for the proof that a host is ours (RFC 8737).
const ACME_TLS: &[u8] = b"acme-tls/1";
const H2: &[u8] = b"h2";

/// What a gateway needs to speak TLS.
#[derive(Debug)]
pub(crate) struct Tls {
    pub config: Arc<ServerConfig>,
    certificates: Arc<Certificates>,
    /// Hosts that there will be a certificate for, even if it is not there yet.
    promised: Vec<String>,
}

/// The certificates in force.
#[derive(Debug, Default)]
pub(crate) struct Certificates {
    current: ArcSwapOption<CertifiedKey>,
    /// Proofs for an authority, by host.
    proofs: ArcSwap<HashMap<String, Arc<CertifiedKey>>>,
    /// What a person has to look after.
    problem: Mutex<Option<String>>,
}

/// What was agreed in a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Agreed {
    Http1,
    Http2,
    /// The other side was an authority, and has seen what it wanted.
    Proof,
}

impl Tls {
    /// Loads what is there, and starts the task that keeps it up to date; the task ends once the `Tls` is dropped.
    ///
    /// Runs inside a `LocalSet`.
    pub(crate) fn start(source: &TlsSource) -> Result<Self, rustls::Error> {
        let certificates = Arc::new(Certificates::default());
        let weak = Arc::downgrade(&certificates);
        let mut protocols = vec![H2.to_vec(), b"http/1.1".to_vec()];
        let promised = match source.clone() {
            TlsSource::Files { cert, key } => {
                let watch = files::Watch::begin(cert, key, &certificates);
                tokio::task::spawn_local(watch.run(weak));
                Vec::new()
            }
            TlsSource::Acme { domains, email, directory, ca, store } => {
                protocols.push(ACME_TLS.to_vec());
                let order = acme::Order { domains: domains.clone(), email, directory, ca };
                let keeper = acme::Keeper::begin(order, store, &certificates);
                tokio::task::spawn_local(keeper.run(weak));
                domains
            }
        };
        let provider = Arc::new(crypto::ring::default_provider());
        let resolver = Arc::clone(&certificates) as Arc<dyn ResolvesServerCert>;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.alpn_protocols = protocols;
        // Tickets, whose keys are made anew every six hours: the other way to resume is a table that all threads lock.
        config.ticketer = crypto::ring::Ticketer::new()?;
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        Ok(Self { config: Arc::new(config), certificates, promised })
    }

    /// What a person has to look after.
    pub(crate) fn problem(&self) -> Option<String> {
        self.certificates.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a client that asks for `host` gets a certificate for it.
    pub(crate) fn is_for(&self, host: &str) -> bool {
        if self.promised.iter().any(|promised| promised.eq_ignore_ascii_case(host)) {
            return true;
        }
        let current = self.certificates.current.load();
        let Some(leaf) = current.as_ref().and_then(|current| current.cert.first()) else { return false };
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let name = rustls::pki_types::ServerName::try_from(bare);
        let parsed = ParsedCertificate::try_from(leaf);
        matches!((parsed, name), (Ok(leaf), Ok(name)) if rustls::client::verify_server_name(&leaf, &name).is_ok())
    }
}

impl Certificates {
    fn replace(&self, certificate: CertifiedKey) {
        self.current.store(Some(Arc::new(certificate)));
    }

    fn is_empty(&self) -> bool {
        self.current.load().is_none()
    }

    /// Shows an authority the proofs for these hosts.
    fn show(&self, proofs: HashMap<String, Arc<CertifiedKey>>) {
        self.proofs.store(Arc::new(proofs));
    }

    /// Says what has to be looked after, in the log when it is news.
    fn report(&self, problem: Option<String>) {
        let mut known = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        if *known == problem {
            return;
        }
        match &problem {
            Some(problem) => warn!(problem, "the gateway's certificate"),
            None => info!("the gateway's certificate is in order"),
        }
        *known = problem;
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if hello.alpn().is_some_and(|mut offered| offered.any(|protocol| protocol == ACME_TLS)) {
            return self.proofs.load().get(&hello.server_name()?.to_ascii_lowercase()).cloned();
        }
        self.current.load_full()
    }
}

/// What a handshake agreed on.
pub(crate) fn agreed(protocol: Option<&[u8]>) -> Agreed {
    match protocol {
        Some(H2) => Agreed::Http2,
        Some(ACME_TLS) => Agreed::Proof,
        _ => Agreed::Http1,
    }
}

//! Certificates by ACME, from an authority that looks whether the host is ours.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::common::tls::*;
use crate::common::*;
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use model::{GatewaySettings, Protocol, RouteTable, TlsSource};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use testkit::{AcmeOptions, AcmeServer};

const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// A table whose gateway gets its certificates from `authority` and keeps them in `folder`.
fn table(address: SocketAddr, back: SocketAddr, authority: &AcmeServer, folder: &Path) -> RouteTable {
    let ca = folder.join("root.pem");
    std::fs::write(&ca, authority.root()).unwrap();
    let tls = TlsSource::Acme {
        domains: vec!["app.example".to_owned(), "www.app.example".to_owned()],
        email: "ops@app.example".to_owned(),
        directory: authority.directory(),
        ca: Some(ca),
        store: folder.join("acme"),
    };
    let settings = GatewaySettings { tls: Some(tls), ..Default::default() };
    let table = Table::new().gateway_with(address, vec![route("/", "s")], settings);
    table.upstream("s", Protocol::Http, &[back]).0
}

fn client(authority: &AcmeServer) -> Arc<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.root().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Arc::new(config.unwrap().with_root_certificates(roots).with_no_client_auth())
}

/// The certificate that the gateway shows, once it has one.
async fn certificate(address: SocketAddr, client: &Arc<rustls::ClientConfig>) -> CertificateDer<'static> {
    until("there is a certificate", async || {
        let stream = shake(address, client, "www.app.example").await.ok()?;
        Some(stream.get_ref().1.peer_certificates()?[0].clone().into_owned())
    })
    .await
}

#[tokio::test]
async fn a_certificate_is_got_kept_and_there_after_a_restart_without_the_authority() {
    let (folder, address, back) = (tempfile::tempdir().unwrap(), free(), named("ok").await);
    let authority = AcmeServer::start(AcmeOptions { lifetime: YEAR, refusals: 0 });
    authority.look_at(address);
    let (table, client) = (table(address, back, &authority, folder.path()), client(&authority));
    let mut plane = Plane::with(&table).await;
    let first = certificate(address, &client).await;
    let (_, answered) = fetch_tls(address, &client, request("GET", "/", "")).await;
    assert_eq!(text(answered).await, "ok");
    until("nothing is to be looked after", async || {
        plane.stats().await.listeners[0].problem.is_none().then_some(())
    })
    .await;
    assert_eq!((authority.issued(), authority.accounts()), (1, 1));
    let kept = std::fs::read_dir(folder.path().join("acme")).unwrap().next().unwrap().unwrap().path();
    for name in ["account.json", "certificate.pem"] {
        let mode = std::fs::metadata(kept.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{name}");
    }

    plane.client.shutdown().await.unwrap();
    let thread = plane.thread.take().unwrap();
    tokio::task::spawn_blocking(move || thread.join().unwrap().unwrap()).await.unwrap();
    drop(authority);
    let _plane = Plane::with(&table).await;
    assert_eq!(shown(address, &client, "app.example").await, first);
}

#[tokio::test]
async fn a_refusal_is_told_tried_again_and_requests_do_not_wait() {
    let (folder, address, back) = (tempfile::tempdir().unwrap(), free(), named("ok").await);
    let authority = AcmeServer::start(AcmeOptions { lifetime: YEAR, refusals: 1 });
    authority.look_at(address);
    let (mut table, client) = (table(address, back, &authority, folder.path()), client(&authority));
    let edge = free();
    let (caller, callee) = ("web".parse().unwrap(), "s".parse().unwrap());
    table
        .listeners
        .push(model::Listener { address: edge, kind: model::ListenerKind::Edge { caller, callee } });
    let mut plane = Plane::with(&table).await;
    let problem = until("it is told", async || {
        let stats = plane.stats().await;
        let gateway = stats.listeners.iter().find(|listener| listener.address == address)?;
        gateway.problem.clone().filter(|problem| problem.contains("not today"))
    })
    .await;
    assert!(problem.contains("asked again in 2 s") && problem.contains("no client can connect"), "{problem}");
    assert!(shake(address, &client, "app.example").await.is_err());
    assert_eq!(get(edge, "/").await.1, "ok");
    certificate(address, &client).await;
    assert_eq!((authority.refused(), authority.issued(), authority.accounts()), (1, 1, 1));
}

#[tokio::test]
async fn a_certificate_is_renewed_in_time_and_connections_stay() {
    let (folder, address, back) = (tempfile::tempdir().unwrap(), free(), named("ok").await);
    let authority = AcmeServer::start(AcmeOptions { lifetime: Duration::from_secs(6), refusals: 0 });
    authority.look_at(address);
    let (table, client) = (table(address, back, &authority, folder.path()), client(&authority));
    let _plane = Plane::with(&table).await;
    let first = certificate(address, &client).await;
    let io = TokioIo::new(shake(address, &client, "app.example").await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    until("it is renewed", async || (certificate(address, &client).await != first).then_some(())).await;
    let answered = sender.send_request(request("GET", "/", "")).await.unwrap();
    assert_eq!(answered.into_body().collect().await.unwrap().to_bytes(), "ok");
    assert!(authority.issued() >= 2 && authority.accounts() == 1);
}

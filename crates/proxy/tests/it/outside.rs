//! Edges to systems outside: real names, real TLS.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::common::*;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use model::{ExternalUrl, Outside, Protocol, RouteTable};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// A table with an edge from `web` to the system outside `api`.
fn outside(edge: SocketAddr, url: ExternalUrl, ca: Option<&Path>) -> RouteTable {
    let mut table = Table::new().edge(edge, "web", "api").upstream("api", Protocol::Http, &[]).0;
    let outside = Outside { url, ca: ca.map(Path::to_owned), trace: true };
    table.upstreams.get_mut("api").unwrap().outside = Some(outside);
    table
}

fn url(tls: bool, host: &str, at: SocketAddr, base: &str) -> ExternalUrl {
    ExternalUrl { tls, host: host.to_owned(), port: at.port(), base: base.to_owned() }
}

/// A certificate authority of this test's own.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A server's settings with a certificate for `name`.
    fn server(&self, name: &str, alpn: &[&[u8]]) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        config
    }
}

/// Serves HTTPS that answers with the request's head as text; counts its connections.
async fn https(config: ServerConfig) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, count) = (acceptor.clone(), Arc::clone(&count));
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                count.fetch_add(1, Relaxed);
                let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                let service = service_fn(|request| async move { Ok::<_, Infallible>(head_of(&request)) });
                let io = TokioIo::new(stream);
                let _ = if h2 {
                    let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    http.serve_connection(io, service).await
                } else {
                    hyper::server::conn::http1::Builder::new().serve_connection(io, service).await
                };
            });
        }
    });
    (address, connections)
}

fn head_of(request: &Request<Incoming>) -> Response<Body> {
    let mut text = format!("{} {} {:?}\n", request.method(), request.uri(), request.version());
    for (name, value) in request.headers() {
        text += &format!("{name}: {}\n", value.to_str().unwrap());
    }
    Response::new(full(text))
}

fn field<'a>(mirrored: &'a str, name: &str) -> Option<&'a str> {
    mirrored.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[tokio::test]
async fn what_arrives_outside_names_the_host_and_nothing_of_ours() {
    let there = mirror().await;
    let edge = free();
    let mut table = outside(edge, url(false, "localhost", there, "/v1"), None);
    let mut plane = Plane::with(&table).await;
    let sent = || {
        let mut request = request("POST", "/charges?a=/b", "body");
        for (name, value) in [
            ("x-isles-deadline", "4000"),
            ("x-isles-attempt", "2"),
            ("x-isles-mine", "1"),
            ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            ("tracestate", "a=b"),
            ("baggage", "c=d"),
            ("x-request-id", "mine"),
            ("authorization", "Bearer key"),
            ("x-custom", "kept"),
        ] {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        request
    };
    let seen = text(fetch(edge, sent()).await).await;
    assert!(seen.starts_with("POST /v1/charges?a=/b HTTP/1.1\n"), "{seen}");
    assert_eq!(field(&seen, "host"), Some(format!("localhost:{}", there.port()).as_str()));
    assert!(!seen.contains("x-isles-"), "{seen}");
    assert!(field(&seen, "traceparent").unwrap().starts_with("00-0af7651916cd43dd8448eb211c80319c-"));
    for (name, value) in [
        ("x-request-id", "mine"),
        ("tracestate", "a=b"),
        ("baggage", "c=d"),
        ("authorization", "Bearer key"),
        ("x-custom", "kept"),
        ("content-length", "4"),
    ] {
        assert_eq!(field(&seen, name), Some(value), "{seen}");
    }

    table.version = 2;
    table.upstreams.get_mut("api").unwrap().outside.as_mut().unwrap().trace = false;
    plane.apply(&table).await;
    let seen = text(fetch(edge, sent()).await).await;
    for name in ["traceparent", "tracestate", "baggage", "x-request-id"] {
        assert_eq!(field(&seen, name), None, "{seen}");
    }
    let stats = plane.stats().await;
    assert_eq!(stats.listeners[0].requests, 2);
    assert!(stats.outside[0].addresses.contains(&there), "{:?}", stats.outside);
}

#[tokio::test]
async fn https_is_spoken_as_the_other_side_prefers_and_connections_are_kept() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, &authority.pem).unwrap();
    let (h1, h2) = (b"http/1.1".as_slice(), b"h2".as_slice());
    for (alpn, version) in [(&[h2, h1][..], "HTTP/2.0"), (&[h1][..], "HTTP/1.1"), (&[][..], "HTTP/1.1")] {
        let (there, connections) = https(authority.server("localhost", alpn)).await;
        let edge = free();
        let _plane = Plane::with(&outside(edge, url(true, "localhost", there, ""), Some(&ca))).await;
        let io = TokioIo::new(tokio::net::TcpStream::connect(edge).await.unwrap());
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        for _ in 0..5 {
            sender.ready().await.unwrap();
            let answer = sender.send_request(request("PUT", "/a", "body")).await.unwrap();
            assert_eq!(answer.status(), 200);
            let seen = text(answer).await;
            assert!(seen.lines().next().unwrap().ends_with(version), "{alpn:?}: {seen}");
            let host = format!("localhost:{}", there.port());
            assert!(seen.contains(&host), "{seen}");
            assert!(!seen.contains("x-isles-") && !seen.contains("transfer-encoding"), "{seen}");
        }
        assert_eq!(connections.load(Relaxed), 1, "{alpn:?}");
    }
}

#[tokio::test]
async fn a_certificate_of_somebody_else_is_not_accepted() {
    let (ours, other) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, &ours.pem).unwrap();
    for (config, what) in [
        (other.server("localhost", &[]), "invalid peer certificate"),
        (ours.server("elsewhere.example", &[]), "invalid peer certificate"),
    ] {
        let (there, connections) = https(config).await;
        let edge = free();
        let mut table = outside(edge, url(true, "localhost", there, ""), Some(&ca));
        table.upstreams.get_mut("api").unwrap().retries = 0;
        let _plane = Plane::with(&table).await;
        let answer = fetch(edge, request("GET", "/", "")).await;
        assert_eq!(answer.status(), 502);
        assert_eq!(answer.headers()["x-isles-error"], "connect_failed");
        let detail = text(answer).await;
        assert!(detail.contains(what), "{detail}");
        assert_eq!(connections.load(Relaxed), 0);
    }
}

#[tokio::test]
async fn a_name_that_leads_nowhere_and_a_missing_ca_are_said() {
    let nowhere = free();
    let edge = free();
    let mut plane = Plane::with(&outside(edge, url(false, "no-such-name.invalid", nowhere, ""), None)).await;
    let (status, body) = get(edge, "/").await;
    let problem: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, problem["code"].as_str()), (503, Some("unresolved")));
    let trouble = plane.stats().await.outside[0].trouble.clone();
    assert!(trouble.is_some_and(|t| t.contains("no-such-name.invalid")));

    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    let mut table = outside(edge, url(true, "localhost", nowhere, ""), Some(&ca));
    table.version = 2;
    plane.apply(&table).await;
    let (status, body) = get(edge, "/").await;
    assert_eq!(status, 503);
    assert!(body.contains("ca.pem cannot be read"), "{body}");
}

#[tokio::test]
async fn locations_inside_the_system_lead_through_the_edge() {
    let there = backend(false, |request: Request<Incoming>| async move {
        let host = request.headers()["host"].to_str().unwrap().to_owned();
        let to = match request.uri().path() {
            "/v1/own" => format!("http://{host}/v1/next"),
            _ => "https://login.example/".to_owned(),
        };
        Response::builder().status(302).header("location", to).body(full("")).unwrap()
    })
    .await;
    let edge = free();
    let _plane = Plane::with(&outside(edge, url(false, "127.0.0.1", there, "/v1"), None)).await;
    for (path, location) in [("/own", "/next"), ("/other", "https://login.example/")] {
        let answer = fetch(edge, request("GET", path, "")).await;
        assert_eq!(answer.headers()["location"], location);
    }
}

#[tokio::test]
async fn a_failing_system_is_asked_again_and_cut_off_like_a_service() {
    let (there, seen) = scripted(false, |n, _| answer(if n == 0 { 503 } else { 200 }, "")).await;
    let edge = free();
    let mut table = outside(edge, url(false, "127.0.0.1", there, ""), None);
    let mut plane = Plane::with(&table).await;
    assert_eq!(get(edge, "/").await.0, 200);
    assert_eq!(seen.load(Relaxed), 2, "sent again");

    let (sick, seen) = scripted(false, |_, _| answer(503, "")).await;
    table.version = 2;
    table.upstreams.get_mut("api").unwrap().outside.as_mut().unwrap().url = url(false, "127.0.0.1", sick, "");
    table.upstreams.get_mut("api").unwrap().retries = 0;
    plane.apply(&table).await;
    let statuses = hammer(edge, 1, 60, "GET").await;
    assert!(statuses.iter().all(|status| *status == 503));
    assert!(seen.load(Relaxed) < 60, "the circuit opened");
    assert!(plane.stats().await.listeners[0].circuit_open);
}

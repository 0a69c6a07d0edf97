//! TLS at the gateway: protocols, certificates that change, the redirect to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use crate::common::tls::*;
use crate::common::*;
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use model::Protocol;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const HSTS: &str = "strict-transport-security";

#[tokio::test]
async fn both_protocols_are_agreed_on_and_the_service_is_told_that_it_is_https() {
    let (authority, address) = (Authority::new(), free());
    let files = Files::new(authority.issue("app.example"));
    let back = mirror().await;
    let settings = model::GatewaySettings { hsts: Some(Duration::from_secs(3600)), ..files.settings() };
    let table = Table::new().gateway_with(address, vec![route("/a", "s")], settings);
    let _plane = Plane::with(&table.upstream("s", Protocol::Http, &[back]).0).await;

    for (offered, agreed) in
        [(&["h2", "http/1.1"][..], Some("h2")), (&["http/1.1"], Some("http/1.1")), (&[], None)]
    {
        let client = authority.client(offered);
        let origin = if agreed == Some("h2") { "https://app.example" } else { "" };
        let get = |path| fetch_tls(address, &client, request("GET", &format!("{origin}{path}"), ""));
        let (spoken, response) = get("/a").await;
        assert_eq!(spoken.as_deref(), agreed.map(str::as_bytes));
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()[HSTS], "max-age=3600");
        let seen = text(response).await;
        assert!(seen.contains("x-forwarded-proto: https\n"), "{seen}");
        assert!(seen.contains("x-forwarded-for: 127."), "{seen}");

        let (_, refused) = get("/b").await;
        assert_eq!(
            (refused.status().as_u16(), &refused.headers()[HSTS]),
            (404, &"max-age=3600".parse().unwrap())
        );
    }
    let plain = raw(address, b"GET /a HTTP/1.1\r\nhost: app.example\r\n\r\n").await;
    assert!(plain.starts_with("HTTP/1.1 400 ") && plain.ends_with("https:// URL"), "{plain}");
}

#[tokio::test]
async fn plain_http_says_no_hsts() {
    let (address, back) = (free(), named("a").await);
    let settings = model::GatewaySettings { hsts: Some(Duration::from_secs(3600)), ..Default::default() };
    let table = Table::new().gateway_with(address, vec![route("/", "s")], settings);
    let _plane = Plane::with(&table.upstream("s", Protocol::Http, &[back]).0).await;
    let response = fetch(address, request("GET", "/", "")).await;
    assert!(response.headers().get(HSTS).is_none());
}

#[tokio::test]
async fn a_handshake_that_does_not_come_ends_the_connection() {
    let (authority, address) = (Authority::new(), free());
    let files = Files::new(authority.issue("app.example"));
    let table = Table::new().gateway_with(address, vec![], files.settings());
    let handshake = Duration::from_millis(100);
    let mut plane = Plane::patient(proxy::Patience { handshake, ..Default::default() }).await;
    plane.apply(&table.0).await;
    let mut silent = TcpStream::connect(address).await.unwrap();
    assert_eq!(silent.read(&mut [0; 16]).await.unwrap_or(0), 0);
}

/// Requests on connections that stay and on ones that come and go, while the certificate changes five times.
#[tokio::test]
async fn new_certificates_under_load_lose_nothing() {
    let (authority, address) = (Authority::new(), free());
    let files = Files::new(authority.issue("app.example"));
    let back = named("ok").await;
    let routes = vec![route("/", "s")];
    let table = Table::new().gateway_with(address, routes, files.settings());
    let _plane = Plane::with(&table.upstream("s", Protocol::Http, &[back]).0).await;
    let client = authority.client(&["http/1.1"]);
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut load = JoinSet::new();
    for _ in 0..4 {
        let (stop, done, client) = (Arc::clone(&stop), Arc::clone(&done), Arc::clone(&client));
        load.spawn(async move {
            let io = TokioIo::new(shake(address, &client, "app.example").await.unwrap());
            let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
            tokio::spawn(connection);
            while !stop.load(Relaxed) {
                sender.ready().await.unwrap();
                let response = sender.send_request(request("POST", "/", "body")).await.unwrap();
                assert_eq!(response.status(), 200);
                response.into_body().collect().await.unwrap();
                let (_, fresh) = fetch_tls(address, &client, request("GET", "/", "")).await;
                assert_eq!(fresh.status(), 200);
                done.fetch_add(2, Relaxed);
            }
        });
    }
    // A client of its own each time: in a session that is resumed, it is the first certificate that is seen again.
    let seen = async || shown(address, &authority.client(&["http/1.1"]), "app.example").await;
    let mut last = seen().await;
    for _ in 0..5 {
        files.write(authority.issue("app.example"));
        last = until("the new certificate is shown", async || {
            let now = seen().await;
            (now != last).then_some(now)
        })
        .await;
    }
    stop.store(true, Relaxed);
    for ended in load.join_all().await {
        let () = ended;
    }
    assert!(done.load(Relaxed) > 20, "{done:?}");
}

#[tokio::test]
async fn a_broken_pair_is_told_and_the_old_one_stays() {
    let (authority, address) = (Authority::new(), free());
    let files = Files::new(authority.issue("app.example"));
    let table = Table::new().gateway_with(address, vec![route("/", "s")], files.settings());
    let mut plane = Plane::with(&table.0).await;
    let client = authority.client(&[]);
    let good = shown(address, &client, "app.example").await;
    assert_eq!(plane.stats().await.listeners[0].problem, None);
    for (what, pair) in [
        ("belong", (authority.issue("app.example").0, authority.issue("app.example").1)),
        ("PEM", ("no certificate".to_owned(), "no key".to_owned())),
    ] {
        files.write(pair);
        until("it is told", async || {
            let problem = plane.stats().await.listeners[0].problem.clone()?;
            (problem.contains(what) && problem.contains("before it stays in force")).then_some(())
        })
        .await;
        assert_eq!(shown(address, &client, "app.example").await, good);
    }
    files.write(authority.issue("app.example"));
    until("all is well again", async || plane.stats().await.listeners[0].problem.is_none().then_some(()))
        .await;
    assert_ne!(shown(address, &client, "app.example").await, good);
}

#[tokio::test]
async fn another_table_with_another_certificate_closes_no_connection() {
    let (authority, address) = (Authority::new(), free());
    let (first, second) =
        (Files::new(authority.issue("app.example")), Files::new(authority.issue("app.example")));
    let back = named("ok").await;
    let table = |version, files: &Files| {
        let settings = files.settings();
        let table = Table::new().version(version).gateway_with(address, vec![route("/", "s")], settings);
        table.upstream("s", Protocol::Http, &[back]).0
    };
    let mut plane = Plane::with(&table(1, &first)).await;
    let client = authority.client(&[]);
    let io = TokioIo::new(shake(address, &client, "app.example").await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    assert_eq!(text(sender.send_request(request("GET", "/", "")).await.unwrap()).await, "ok");
    let before = shown(address, &client, "app.example").await;
    plane.apply(&table(2, &second)).await;
    assert_ne!(shown(address, &client, "app.example").await, before);
    assert_eq!(text(sender.send_request(request("GET", "/", "")).await.unwrap()).await, "ok");
}

#[tokio::test]
async fn plain_http_is_led_to_https_for_hosts_with_a_certificate() {
    let (authority, gateway, address) = (Authority::new(), free(), free());
    let files = Files::new(authority.issue("app.example"));
    let table = Table::new().gateway_with(gateway, vec![], files.settings()).redirect(address, gateway);
    let _plane = Plane::with(&table.0).await;
    let port = gateway.port();
    for (method, target, host, expected) in [
        ("GET", "/a%20b?c=d", "app.example", Ok(format!("https://app.example:{port}/a%20b?c=d"))),
        ("POST", "/", "app.example:8081", Ok(format!("https://app.example:{port}/"))),
        ("GET", "//evil.example/x", "app.example", Ok(format!("https://app.example:{port}//evil.example/x"))),
        ("GET", "/", "evil.example", Err(421)),
        ("GET", "/", "evil.example/", Err(400)),
        ("GET", "/", "", Err(400)),
    ] {
        let mut request = request(method, target, "");
        request.headers_mut().insert("host", host.parse().unwrap());
        let response = fetch(address, request).await;
        let found = match response.status().as_u16() {
            308 => Ok(response.headers()["location"].to_str().unwrap().to_owned()),
            status => Err(status),
        };
        assert_eq!(found, expected, "{host}");
    }
}

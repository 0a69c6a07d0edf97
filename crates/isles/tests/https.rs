//! HTTPS at the gateway, from the manifest to a client that checks the certificate.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use testkit::{AcmeOptions, AcmeServer, App, free_port, get_tls, request, wait_for, wait_until};

#[test]
fn an_app_gets_its_certificate_and_keeps_it_over_every_restart() {
    let authority = AcmeServer::start(AcmeOptions { lifetime: Duration::from_secs(86_400), refusals: 0 });
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority.root()).unwrap();
    let redirect = std::net::SocketAddr::from(([127, 0, 0, 1], free_port()));
    let manifest = format!(
        r#"name = "test"
[gateway]
listen = "127.0.0.1:8080"
redirect = "{redirect}"
hsts = "24h"
access_log = true
tls = {{ acme = ["shop.example"], email = "ops@shop.example", directory = "{}", ca = "{}" }}
[[gateway.routes]]
path = "/"
service = "web"
rate_limit = "1000/s"
[services.web]
dir = "."
command = "{}"
"#,
        authority.directory(),
        ca.display(),
        testkit::scripted_service().display(),
    );
    let app = App::of_manifest(&manifest, &[]);
    authority.look_at(app.gateway());
    app.up();
    let ask = || get_tls(app.gateway(), "shop.example", authority.root(), "/headers");
    let answer = wait_for("there is a certificate", || ask().ok());
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["strict-transport-security"], "max-age=86400");
    assert_eq!(answer.json()["x-forwarded-proto"], "https");
    let status =
        wait_until("nothing is wrong", || app.status(), |status| status["gateway_problem"].is_null());
    assert_eq!(status["gateway"], format!("https://shop.example:{}", app.gateway().port()));

    let led = request(redirect, "GET", "/a?b=c", &[], "").unwrap();
    assert_eq!(led.status, 421, "there is no certificate for an IP address");

    let log = app.root().join(".isles/logs/gateway-access.log");
    wait_until(
        "it is written down",
        || std::fs::read_to_string(&log).unwrap_or_default(),
        |text| text.contains(r#""url.scheme":"https""#),
    );

    let down = app.isles(&["down"]);
    assert_eq!(down.code, Some(0), "{down:?}");
    app.up();
    assert_eq!(ask().unwrap().status, 200, "at once: it was kept");
    assert_eq!((authority.issued(), authority.accounts()), (1, 1));
}

#[test]
fn check_looks_at_certificate_and_key() {
    let app = App::of_manifest(
        "name = \"test\"\n[gateway]\nlisten = \"127.0.0.1:8080\"\ntls = { cert = \"c.pem\", key = \"k.pem\" }\n",
        &[],
    );
    for file in ["c.pem", "k.pem"] {
        std::fs::write(app.root().join(file), "not PEM").unwrap();
    }
    let checked = app.isles(&["check"]);
    assert_eq!(checked.code, Some(2), "{checked:?}");
    assert!(checked.stderr.contains("manifest-certificate"), "{checked:?}");
}
